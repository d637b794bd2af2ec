import type { Handshake } from 'muxplug/plugin'

/** The same as in manifest.yaml, where hosts read it. */
export const handshake: Handshake = {
  cookieKey: 'PAGES_PLUGIN',
  cookieValue: '5b1f6c2e-count-entries',
  protocolVersion: 1
}
