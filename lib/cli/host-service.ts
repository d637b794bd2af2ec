import type { Dirent } from 'node:fs'
import { readdir, realpath } from 'node:fs/promises'
import { isAbsolute, join, sep } from 'node:path'
import type { HostService } from '#proto/hostserve/v1/hostserve.js'
import { type ServiceImplementation, callError, status } from '../host/index.js'

/**
 * A HostService that reads directories below `root` and nothing else. Paths are relative to `root`; a path that leads
 * out of it, also through a symbolic link, is refused. Errors name the path as the plugin gave it, never the host's.
 */
export function createHostService(root: string): ServiceImplementation<typeof HostService> {
  return {
    async readDir({ path }) {
      try {
        const entries = (await readdir(await resolveInside(root, path), {
          withFileTypes: true,
          encoding: 'buffer'
        })) as unknown as Dirent<Buffer>[]
        return { entries: entries.map(toEntry) }
      } catch (error) {
        throw toCallError(error, path)
      }
    }
  }
}

async function resolveInside(root: string, path: string): Promise<string> {
  if (path.includes('\0')) throw callError(status.INVALID_ARGUMENT, 'a path cannot hold a NUL character')
  if (isAbsolute(path))
    throw callError(status.PERMISSION_DENIED, `${quote(path)}: give a path relative to the root`)
  const realRoot = await realpath(root)
  const real = await realpath(join(realRoot, path))
  const prefix = realRoot.endsWith(sep) ? realRoot : realRoot + sep
  if (real !== realRoot && !real.startsWith(prefix)) {
    throw callError(
      status.PERMISSION_DENIED,
      `${quote(path)} is outside the directory that the plugin may read`
    )
  }
  return real
}

function toEntry(entry: Dirent<Buffer>): { name: string; isDir: boolean; rawName?: Buffer } {
  const name = entry.name.toString('utf8')
  const isDir = entry.isDirectory()
  if (Buffer.from(name).equals(entry.name)) return { name, isDir }
  return { name: escapeInvalid(entry.name), isDir, rawName: entry.name }
}

/** Decodes UTF-8, with each byte that is not part of any as `\xNN`. */
function escapeInvalid(bytes: Buffer): string {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let text = ''
  for (let at = 0; at < bytes.length;) {
    const lead = bytes[at]!
    const length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4
    try {
      text += decoder.decode(bytes.subarray(at, at + length))
      at += length
    } catch {
      text += `\\x${lead.toString(16)}`
      at += 1
    }
  }
  return text
}

function toCallError(error: unknown, path: string): unknown {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'ENOENT':
      return callError(status.NOT_FOUND, `${quote(path)} does not exist`)
    case 'ENOTDIR':
      return callError(status.FAILED_PRECONDITION, `${quote(path)} is not a directory`)
    case 'EACCES':
    case 'EPERM':
      return callError(status.PERMISSION_DENIED, `${quote(path)} may not be read`)
    case 'ELOOP':
    case 'ENAMETOOLONG':
      return callError(status.INVALID_ARGUMENT, `${quote(path)} is not a usable path`)
    default:
      return error
  }
}

function quote(path: string): string {
  return JSON.stringify(path.length > 200 ? `${path.slice(0, 200)}...` : path)
}
