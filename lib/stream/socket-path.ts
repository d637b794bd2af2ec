import { createHash, randomBytes } from 'node:crypto'
import { readlinkSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { PluginError } from '../errors.js'

/**
 * Names of our unix sockets and of directories for them: `plugin-mx-SPACE-PID-RANDOM`. All of go-plugin's
 * begin with `plugin`. `SPACE` stands for this machine and its process IDs: in a directory that containers
 * share, a process ID says nothing of another's.
 */
export interface SocketName {
  readonly space: string
  readonly pid: number
}

const pattern = /^plugin-mx-([0-9a-f]{6})-([1-9]\d{0,9})-[0-9a-f]{12}$/

/**
 * Longest path a socket can be bound to, in bytes: the kernel's field less its end (Linux 108, macOS and BSD
 * 104).
 */
export const longestPathBytes = process.platform === 'linux' ? 107 : 103

/** How much our names add to a directory's path: one of a directory, with a Go plugin's socket in it. */
const longestNameBytes = '/plugin-mx-abcdef-1234567890-0123456789ab/plugin0123456789'.length

/** Where sockets go when nothing else is said: the temporary directory, or `/tmp` when the path of that is too long. */
export function socketTmpdir(): string {
  const dir = resolve(tmpdir())
  return Buffer.byteLength(dir) + longestNameBytes <= longestPathBytes ? dir : '/tmp'
}

/**
 * A new path in `dir`, absolute: the other process has a working directory of its own. In a directory of ours the
 * name is short, because that of the directory says it all.
 * @throws `ERR_CONFIG_INVALID` when it would be too long
 */
export function newSocketPath(dir: string): string {
  const owned = parseSocketName(basename(dir)) !== undefined
  const path = resolve(dir, owned ? `plugin${randomBytes(5).toString('hex')}` : newName())
  checkPathLength(path)
  return path
}

/**
 * A new path in `dir` for a directory of sockets, which a Go plugin's fit into too: `plugin` and up to ten
 * digits.
 * @throws `ERR_CONFIG_INVALID` when they would be too long
 */
export function newSocketDirPath(dir: string): string {
  const path = resolve(dir, newName())
  checkPathLength(join(path, 'plugin0123456789'))
  return path
}

function newName(): string {
  return `plugin-mx-${processSpace()}-${process.pid}-${randomBytes(6).toString('hex')}`
}

/** @throws `ERR_CONFIG_INVALID` */
export function checkPathLength(path: string): void {
  const bytes = Buffer.byteLength(path)
  if (bytes <= longestPathBytes) return
  throw new PluginError(
    'ERR_CONFIG_INVALID',
    `the path of a unix socket has ${bytes} bytes, ${longestPathBytes} are possible: ${path.slice(0, 200)}`,
    { hint: 'Choose a directory with a shorter path: PLUGIN_UNIX_SOCKET_DIR names it, else TMPDIR.' }
  )
}

/** The parts of a file name that is exactly one of ours; undefined for any other. */
export function parseSocketName(name: string): SocketName | undefined {
  const [, space, pid] = pattern.exec(name) ?? []
  return space === undefined || pid === undefined ? undefined : { space, pid: Number(pid) }
}

/** Names the processes among which a process ID is unique: this machine's, or this container's. */
export function processSpace(): string {
  let namespace = ''
  try {
    namespace = readlinkSync('/proc/self/ns/pid')
  } catch {
    // No namespaces on this system: the machine's name does.
  }
  return createHash('sha256').update(`${hostname()}\n${namespace}`).digest('hex').slice(0, 6)
}
