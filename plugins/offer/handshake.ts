import type { Handshake } from 'muxplug/plugin'

/** The same as in manifest.yaml, where hosts read it. */
export const handshake: Handshake = {
  cookieKey: 'OFFER_PLUGIN',
  cookieValue: '90e4d7aa-open-counters',
  protocolVersion: 1
}
