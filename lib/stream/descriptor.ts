import { fstatSync } from 'node:fs'
import { Socket } from 'node:net'
import { isatty } from 'node:tty'
import { PluginError } from '../errors.js'

/**
 * A descriptor that this process was started with, as a `net.Socket` of our own: one that user code does not know and
 * so cannot write to, pause or end, as it may do with `process.stdin` and `process.stdout`.
 * @throws `ERR_HANDSHAKE_TRANSPORT` with `hint`, when it is closed or cannot carry bytes in the direction asked for
 */
export function openDescriptor(fd: number, direction: 'both' | 'in' | 'out', hint: string): Socket {
  const kind = descriptorKind(fd)
  if (kind !== 'a socket' && !(kind === 'a pipe' && (direction !== 'both' || process.platform === 'win32'))) {
    const needed = direction === 'both' ? 'a socket that carries both directions' : 'a pipe or a socket'
    throw new PluginError('ERR_HANDSHAKE_TRANSPORT', `descriptor ${fd} is ${kind}, not ${needed}`, { hint })
  }
  try {
    const socket = new Socket({
      fd,
      readable: direction !== 'out',
      writable: direction !== 'in',
      allowHalfOpen: true
    })
    return socket.on('error', () => {})
  } catch (cause) {
    const inUse = (cause as NodeJS.ErrnoException).code === 'EEXIST'
    throw new PluginError(
      'ERR_HANDSHAKE_TRANSPORT',
      inUse ? `descriptor ${fd} is already being read by this process` : `descriptor ${fd} cannot be opened`,
      { cause, hint: inUse ? 'Do not touch process.stdin before the plugin is served.' : hint }
    )
  }
}

function descriptorKind(fd: number): string {
  try {
    const stat = fstatSync(fd)
    if (stat.isSocket()) return 'a socket'
    if (stat.isFIFO()) return 'a pipe'
    if (stat.isFile()) return 'a file'
    if (stat.isDirectory()) return 'a directory'
    if (isatty(fd)) return 'a terminal'
    return stat.isCharacterDevice() ? 'a device' : 'of another kind'
  } catch {
    return 'closed'
  }
}
