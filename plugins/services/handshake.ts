import type { Handshake } from 'muxplug/plugin'

/** The same as in manifest.yaml, where hosts read it. */
export const handshake: Handshake = {
  cookieKey: 'SERVICES_PLUGIN',
  cookieValue: '5f2c91be-keep-digests',
  protocolVersion: 1
}
