import type { Handshake } from 'muxplug/plugin'

/** The same as in manifest.yaml, where hosts read it. */
export const handshake: Handshake = {
  cookieKey: 'REGISTRY_PLUGIN',
  cookieValue: '1d7ae604-look-up-by-name',
  protocolVersion: 1
}
