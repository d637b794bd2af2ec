import type { Socket } from 'node:net'
import { openDescriptor } from './descriptor.js'

/**
 * The plugin's end of the stream on a descriptor of its own, usually 3: a `net.Socket` with `allowHalfOpen` that does
 * not flow until it is read. The host's end is `child.stdio[3]`, which Node makes a Duplex already.
 * @throws `ERR_HANDSHAKE_TRANSPORT` when the descriptor is not open or is not a socket
 */
export function openFd(fd: number): Socket {
  return openDescriptor(
    fd,
    'both',
    `Between host and plugin something dropped descriptor ${fd}: launchers that are Node programs (npx, npm run, tsx) ` +
      `and programs such as ssh, docker or sudo do. Start the plugin's own file with node, or use the stream stdio.`
  )
}
