import type { Handshake } from 'muxplug/plugin'

/** The same as in manifest.yaml, where hosts read it. */
export const handshake: Handshake = {
  cookieKey: 'COMPRESSION_PLUGIN',
  cookieValue: '7c40be19-smaller-on-the-way',
  protocolVersion: 1
}
