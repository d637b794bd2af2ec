import type { Stats } from 'node:fs'
import { lstat, readdir, rmdir, unlink } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { longestPathBytes, parseSocketName, processSpace, socketTmpdir } from './socket-path.js'

/** A socket is bound a moment before it listens; one this young may be just that. */
const youngestMs = 60_000

/**
 * Removes sockets and directories of sockets that killed processes of this package left in `dir` (default:
 * the temporary directory), and returns their paths. To be called once, before a process makes sockets of its
 * own. Never rejects.
 *
 * Something is removed only when all of this holds: its name is exactly one of ours, from this machine and
 * container; it belongs to this user and is older than a minute; the process in its name is gone; and it is a
 * socket which refuses a connection, or a real directory in which everything is such a socket.
 */
export async function sweepSockets(dir: string = socketTmpdir()): Promise<string[]> {
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
      if (found.uid !== uid || Date.now() - found.mtimeMs < youngestMs) continue
      if (found.isDirectory() ? await removeDeadDir(path) : await removeDead(path, found)) removed.push(path)
    } catch {
      // Another process sweeps too and was faster, or it may not be removed.
    }
  }
  return removed
}

/**
 * Removes the main socket of a plugin that has ended: go-plugin leaves its own behind when it is killed, and
 * always where connections are multiplexed (`server.go`). Only a socket of this user that refuses a
 * connection is removed, wherever the plugin said that it listens. Returns whether that was so; never
 * rejects.
 */
export async function removeStaleSocket(path: string): Promise<boolean> {
  try {
    const found = await lstat(path)
    return found.uid === process.getuid?.() && (await removeDead(path, found))
  } catch {
    return false
  }
}

/** Removes a socket on which nobody listens. */
async function removeDead(path: string, found: Stats): Promise<boolean> {
  if (!(await isDead(path, found))) return false
  await unlink(path)
  return true
}

/**
 * Removes a directory together with its sockets, if there is nothing else in it and nobody listens on any.
 */
async function removeDeadDir(path: string): Promise<boolean> {
  const entries = (await readdir(path)).map((name) => join(path, name))
  for (const entry of entries) {
    if (!(await isDead(entry, await lstat(entry)))) return false
  }
  for (const entry of entries) await unlink(entry)
  await rmdir(path)
  return true
}

async function isDead(path: string, found: Stats): Promise<boolean> {
  if (!found.isSocket() || !(await isRefused(path))) return false
  // The answer may have come from one that has taken its place.
  const now = await lstat(path)
  return now.ino === found.ino && now.dev === found.dev
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
  // Node connects to as much of the path as is possible, which is another path.
  if (Buffer.byteLength(path) > longestPathBytes) return Promise.resolve(false)
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
