import * as fs from 'node:fs'
import type { Dir, Stats } from 'node:fs'
import { type FileHandle, lstat, open, opendir, realpath, stat } from 'node:fs/promises'
import { sep } from 'node:path'
import { promisify } from 'node:util'
import { PluginError } from '../errors.js'
import type { Name } from './root-path.js'

/** A directory that is held while names in it are looked up. */
export interface Place {
  /** A path for system calls that leads to `name` in this directory. */
  at(name: Name): Buffer
  /** The same for the directory itself, to be followed; it needs no permission to search the directory. */
  readonly self: string | Buffer
  close(): void
}

/** What a name stood for when it was looked up: itself, not what a link leads to. */
export interface Pinned {
  readonly stats: Stats
  /** Opens it; a regular file only. */
  open(flags: number): Promise<FileHandle>
  close(): void
}

/**
 * How directories are held and names looked up without following a symbolic link. Errors are the system's.
 */
export interface Ground {
  /** The directory to share; links in its own path are followed. */
  start(path: string): Promise<Place>
  /**
   * A directory in a directory, or the same again for `.`. ENOTDIR for anything else, also for a link to one.
   */
  enter(place: Place, name: Name): Promise<Place>
  pin(place: Place, name: Name): Promise<Pinned>
  /** Names and types of what is in it. */
  list(place: Place): Promise<Dir>
}

/** Those that a system lacks are undefined there, which `|` takes for 0. */
const { O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_NOCTTY } = fs.constants

/** Another process may hold a lease on the file, or the file have been replaced by a FIFO or a terminal. */
const neverWait = O_NONBLOCK | O_NOCTTY

/** Not among Node's constants; the same on every architecture that Node runs on. */
const O_PATH = 0o10000000

const fstat = promisify(fs.fstat)
const openDescriptor = promisify<fs.PathLike, number, number>(fs.open)

/**
 * A descriptor that names a file or directory without opening it. To close it takes no I/O, so that need not
 * wait.
 */
function hold(place: Place, name: Name, flags: number): Promise<number> {
  return name === '.'
    ? openDescriptor(place.self, O_PATH | flags)
    : openDescriptor(place.at(name), O_PATH | O_NOFOLLOW | flags)
}

/**
 * Linux. Every directory and file is held by a descriptor that only names it, and the next name is looked up
 * from there through `/proc/self/fd`, which leads to the very thing that is held: whoever renames or replaces
 * it meanwhile changes nothing. A FIFO or device is held without being opened.
 */
export const descriptorGround: Ground = {
  async start(path) {
    const held = await openDescriptor(path, O_PATH | O_DIRECTORY)
    const place = placeOf(held)
    try {
      const [own, seen] = await Promise.all([fstat(held), stat(place.self)])
      if (own.ino === seen.ino && own.dev === seen.dev) return place
    } catch {
      // Told below.
    }
    place.close()
    throw new PluginError('ERR_CONFIG_INVALID', 'paths cannot be kept inside a directory without /proc', {
      hint: 'Mount the proc file system on /proc.'
    })
  },

  async enter(place, name) {
    return placeOf(await hold(place, name, O_DIRECTORY))
  },

  async pin(place, name) {
    const held = await hold(place, name, 0)
    try {
      return {
        stats: await fstat(held),
        open: (flags) => open(`/proc/self/fd/${held}`, flags | neverWait),
        close: () => fs.closeSync(held)
      }
    } catch (error) {
      fs.closeSync(held)
      throw error
    }
  },

  list: (place) => opendir(place.self, { encoding: 'buffer' as never })
}

function placeOf(held: number): Place {
  const self = `/proc/self/fd/${held}`
  return {
    self,
    at: (name) => Buffer.from(`${self}/${name}`, 'latin1'),
    close: () => fs.closeSync(held)
  }
}

/**
 * Any other system. Each name is looked at before it is used, and what was opened is compared with what was
 * seen: a process that replaces a directory by a link between the two may still lead one look-up astray.
 */
export const pathGround: Ground = {
  async start(path) {
    const real = await realpath(path)
    await (await opendir(real)).close()
    return namedPlace(real, Buffer.from(real).toString('latin1'))
  },

  async enter(place, name) {
    if (name === '.') return namedPlace(rootOf(place), place.self.toString('latin1'))
    const path = place.at(name)
    if (!(await lstat(path)).isDirectory()) throw systemError('ENOTDIR', 'open')
    return namedPlace(rootOf(place), path.toString('latin1'))
  },

  async pin(place, name) {
    const path = name === '.' ? place.self : place.at(name)
    const stats = await lstat(path)
    return {
      stats,
      async open(flags) {
        const handle = await open(path, flags | O_NOFOLLOW | neverWait)
        try {
          const opened = await handle.stat()
          if (opened.ino !== stats.ino || opened.dev !== stats.dev) throw systemError('ENOENT', 'open')
          await checkInside(rootOf(place), path)
          return handle
        } catch (error) {
          await handle.close()
          throw error
        }
      },
      close: () => {}
    }
  },

  async list(place) {
    await checkInside(rootOf(place), place.self)
    return opendir(place.self, { encoding: 'buffer' as never })
  }
}

interface NamedPlace extends Place {
  /** The shared directory's real path. */
  readonly root: string
}

function namedPlace(root: string, path: string): NamedPlace {
  const prefix = path.endsWith(sep) ? path : path + sep
  return {
    root,
    self: Buffer.from(path, 'latin1'),
    at: (name) => Buffer.from(prefix + name, 'latin1'),
    close: () => {}
  }
}

function rootOf(place: Place): string {
  return (place as NamedPlace).root
}

async function checkInside(root: string, path: string | Buffer): Promise<void> {
  const real = await realpath(path)
  const prefix = root.endsWith(sep) ? root : root + sep
  if (real !== root && !real.startsWith(prefix)) throw systemError('escapes', 'open')
}

function systemError(code: string, syscall: string): NodeJS.ErrnoException {
  return Object.assign(new Error(code), { code, syscall })
}
