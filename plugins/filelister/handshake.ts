import type { Handshake } from 'muxplug/plugin'

/** What the filelister plugin and its hosts must agree on. */
export const handshake: Handshake = {
  cookieKey: 'FILELISTER_PLUGIN',
  cookieValue: 'd3b07384-list-a-directory',
  protocolVersion: 1
}
