import {
  type Stats,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmdirSync,
  unlinkSync
} from 'node:fs'
import { join } from 'node:path'
import { PluginError } from '../errors.js'
import { atExit } from '../at-exit.js'
import { groupId } from './socket-group.js'
import { newSocketDirPath, socketTmpdir } from './socket-path.js'

export interface SocketDirOptions {
  /** Where the directory is made. Default: the temporary directory. */
  readonly dir?: string | undefined
  /**
   * Group, by number or name, that may use it besides this user: its mode is then 0770. Default: none, 0700.
   */
  readonly group?: string | undefined
}

/** A directory for the sockets of one plugin, its own and the host's (`PLUGIN_UNIX_SOCKET_DIR`). */
export interface SocketDir {
  readonly path: string
  /**
   * Removes the sockets in it, whoever made them, and then the directory. Returns the paths of what else is
   * in it, which stays and so does the directory. Safe to repeat; never throws. It is done when the process
   * exits, too, unless a signal ends that: whoever handles the signal has to `process.exit()`.
   */
  remove(): readonly string[]
}

/**
 * Makes a private directory, as go-plugin does for its runners (`client.go`). When this process is killed,
 * the directory is left for `sweepSockets`.
 * @throws `ERR_CONFIG_INVALID` for a group that there is not, a path that is too long, and on Windows;
 * `ERR_SOCKET_LISTEN` when the system refuses. Nothing is left behind
 */
export async function createSocketDir(options: SocketDirOptions = {}): Promise<SocketDir> {
  const { dir = socketTmpdir(), group } = options
  if (process.platform === 'win32') {
    throw new PluginError('ERR_CONFIG_INVALID', 'unix sockets are not used on Windows', {
      hint: 'Listen on tcp.'
    })
  }
  const gid = group === undefined ? undefined : await groupId(group)
  const path = newSocketDirPath(dir)
  const made = make(path, gid)
  const leave = atExit(remove)

  function remove(): readonly string[] {
    const rest = empty(path, made)
    if (rest.length === 0) leave()
    return rest
  }

  return { path, remove }
}

/** Returns what identifies the directory. */
function make(path: string, gid: number | undefined): Stats {
  try {
    mkdirSync(path, 0o700)
  } catch (cause) {
    throw cannotMake(path, cause, 'Check that the directory above is there and may be written to.')
  }
  let fd: number | undefined
  try {
    // By descriptor: a path could be made to lead somewhere else meanwhile.
    fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
    // Before the mode, which would open it to the group it was made with.
    if (gid !== undefined) fchownSync(fd, -1, gid)
    fchmodSync(fd, gid === undefined ? 0o700 : 0o770)
    return fstatSync(fd)
  } catch (cause) {
    try {
      rmdirSync(path)
    } catch {
      // Something else has taken its place.
    }
    throw cannotMake(path, cause, 'Use a group that this user belongs to.')
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

function cannotMake(path: string, cause: unknown, hint: string): PluginError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new PluginError('ERR_SOCKET_LISTEN', `cannot make the directory ${path} for sockets: ${reason}`, {
    cause,
    hint
  })
}

/** Returns the paths that stay: of what is no socket, else of what the system refuses to remove. */
function empty(path: string, made: Stats): readonly string[] {
  try {
    const found = lstatSync(path)
    // Something else has taken its place.
    if (found.ino !== made.ino || found.dev !== made.dev) return []
    const rest = readdirSync(path)
      .map((name) => join(path, name))
      .filter((entry) => !removeSocket(entry))
    if (rest.length === 0) rmdirSync(path)
    return rest
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? [] : [path]
  }
}

/** Whether there is nothing at `path` any more. */
function removeSocket(path: string): boolean {
  try {
    if (!lstatSync(path).isSocket()) return false
    unlinkSync(path)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
  }
}
