import type { Handshake } from 'muxplug/plugin'

/** The same as in manifest.yaml, where hosts read it. */
export const handshake: Handshake = {
  cookieKey: 'RELAY_PLUGIN',
  cookieValue: 'c81b03f5-call-a-neighbour',
  protocolVersion: 1
}
