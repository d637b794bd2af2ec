import { closeSync, openSync } from 'node:fs'
import type { Socket } from 'node:net'
import { devNull } from 'node:os'
import { joinHalves, type RefDuplex } from '../duplex.js'
import { openDescriptor } from './descriptor.js'

export { joinHalves as joinStdio } from '../duplex.js'

const hint =
  'Standard input and output carry the stream between host and plugin. Let the host start this program, ' +
  'through launchers that pass both on unchanged: no terminal (docker -t, ssh -t), no redirection.'

/**
 * The plugin's end of the stream on its own standard input and output, whether these are sockets, as Node makes them,
 * or plain pipes, as ssh and docker do. From then on `process.stdin` cannot be used (Node throws `EEXIST`), and what
 * is written to `process.stdout` lands in the middle of the stream: point both elsewhere first.
 * @throws `ERR_HANDSHAKE_TRANSPORT` when either is closed, a terminal, a file or a device, or when `process.stdin` is
 * being read already
 */
export function openStdio(): RefDuplex {
  const input = openDescriptor(0, 'in', hint)
  const output = openDescriptor(1, 'out', hint)
  vacateOnClose(input, 0)
  vacateOnClose(output, 1)
  return joinHalves(input, output)
}

/**
 * libuv leaves descriptors 0 to 2 open when their handle closes, so a pipe's other end would see no end of stream
 * before this process is gone. The null device takes the number, lest the next file opened become standard output.
 */
function vacateOnClose(socket: Socket, fd: 0 | 1): void {
  if (process.platform === 'win32') return
  socket.once('close', () => {
    try {
      closeSync(fd)
      openSync(devNull, fd === 0 ? 'r' : 'w')
    } catch {
      // Closed by somebody else already.
    }
  })
}
