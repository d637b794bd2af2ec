import { lstat, readdir, unlink } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseSocketName, processSpace } from './socket-path.js'

/** A socket is bound a moment before it listens; one this young may be just that. */
const youngestMs = 60_000

/**
 * Removes socket files that killed processes of this package left in `dir` (default: the temporary
 * directory), and returns their paths. A plugin calls it once, when it starts to listen on unix sockets.
 * Never rejects.
 *
 * A file is removed only when all of this holds: its name is exactly one of ours, from this machine and
 * container; it is a socket, of this user, older than a minute; the process in its name is gone; and a
 * connection to it is refused.
 */
export async function sweepSockets(dir: string = tmpdir()): Promise<string[]> {
  const uid = process.getuid?.()
  if (uid === undefined) return []
  const space = processSpace()
  const removed: string[] = []
  const names = await readdir(dir).catch(() => [])
  for (const name of names) {
    const parsed = parseSocketName(name)
    if (parsed === undefined || parsed.space !== space || isAlive(parsed.pid)) continue
    const path = join(dir, name)
    try {
      const found = await lstat(path)
      if (!found.isSocket() || found.uid !== uid || Date.now() - found.mtimeMs < youngestMs) continue
      if (!(await isRefused(path))) continue
      await unlink(path)
      removed.push(path)
    } catch {
      // Another process sweeps too and was faster, or it may not be removed.
    }
  }
  return removed
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}

/** Whether nobody listens. A listener whose queue is full gives EAGAIN, one of another user EACCES. */
function isRefused(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    const settle = (refused: boolean): void => {
      socket.destroy()
      resolve(refused)
    }
    socket.once('connect', () => settle(false))
    socket.once('error', (error: NodeJS.ErrnoException) => settle(error.code === 'ECONNREFUSED'))
  })
}
