import type { Handshake } from 'muxplug/plugin'

/** The same as in manifest.yaml, where hosts read it. */
export const handshake: Handshake = {
  cookieKey: 'ECHO_PLUGIN',
  cookieValue: '2f9a7d61-say-it-again',
  protocolVersion: 1
}
