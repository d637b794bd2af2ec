import type { Handshake } from 'muxplug/plugin'

/** The same as in manifest.yaml, where hosts read it. */
export const handshake: Handshake = {
  cookieKey: 'POOL_PLUGIN',
  cookieValue: 'e6a5280c-several-connections',
  protocolVersion: 1
}
