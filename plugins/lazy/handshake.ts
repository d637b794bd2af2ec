import type { Handshake } from 'muxplug/plugin'

/** The same as in manifest.yaml, where hosts read it. */
export const handshake: Handshake = {
  cookieKey: 'LAZY_PLUGIN',
  cookieValue: 'b8e05c37-connect-on-first-use',
  protocolVersion: 1
}
