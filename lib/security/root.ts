import { type Dirent, type Stats, constants } from 'node:fs'
import { type FileHandle, lstat, mkdir, open, rename, rmdir, stat, unlink } from 'node:fs/promises'
import { PluginError } from '../errors.js'
import { type Ground, type Pinned, type Place, descriptorGround, pathGround } from './root-ground.js'
import { type Name, type RootPath, namesOf, pathError, toPathError } from './root-path.js'
import { walk } from './root-walk.js'

export type { RootPath } from './root-path.js'

/** What an entry of a directory is; a symbolic link is told as such and not as what it leads to. */
export type EntryType = 'file' | 'directory' | 'symlink' | 'other'

export interface RootEntry {
  /** The name's bytes, as they are on disk. */
  readonly name: Buffer
  readonly type: EntryType
  /**
   * Undefined where it was not asked for, or the directory may be listed and what is in it may not be looked
   * at.
   */
  readonly stats: Stats | undefined
}

export interface RootCallOptions {
  /** Ends the call between two steps; it rejects with the signal's reason then. */
  readonly signal?: AbortSignal | undefined
}

export interface ListOptions extends RootCallOptions {
  /** Whether to look at each entry as well, which costs a system call for each. Default true. */
  readonly stats?: boolean
}

/**
 * A directory that paths cannot leave. Paths are relative, with `/` between names; `.` and the empty path are
 * the directory itself. Symbolic links are followed while they stay inside, absolute ones never. Only regular
 * files are opened.
 *
 * On Linux this holds also while other processes rename and replace what is inside. On other systems such a
 * process may win a race. Every method rejects with `ERR_SECURITY_PATH`, whose message names the path as it
 * was given and whose `status` is the gRPC status for it: a handler may let it through.
 */
export interface Root extends AsyncDisposable {
  /** Opens a file to read. The caller closes it. */
  open(path: RootPath, options?: RootCallOptions): Promise<FileHandle>
  /** A whole file, in memory. */
  readFile(path: RootPath, options?: RootCallOptions): Promise<Buffer>
  /** What is in a directory, in the order of the file system; a few entries are held at a time. */
  entries(path: RootPath, options?: ListOptions): AsyncGenerator<RootEntry, void, undefined>
  /** What is in a directory, all at once and without `stats`. */
  readdir(path: RootPath, options?: RootCallOptions): Promise<RootEntry[]>
  /** What a path leads to. Nothing is opened, so it may be a device. */
  stat(path: RootPath, options?: RootCallOptions): Promise<Stats>
  /** The same, of a symbolic link itself where the last name is one. */
  lstat(path: RootPath, options?: RootCallOptions): Promise<Stats>
  /** Lets the directory go, once calls under way are done. Files and listings that are open stay so. */
  close(): Promise<void>
}

export interface WriteOptions extends RootCallOptions {
  /**
   * Permissions of a file or directory that is made, below the process's umask. Default 0o666, of a directory
   * 0o777.
   */
  readonly mode?: number
}

/** A {@link Root} in which files may also be made, changed and removed. */
export interface WritableRoot extends Root {
  /** Opens a file to write, empty: a new one, or the one that is there. The caller closes it. */
  create(path: RootPath, options?: WriteOptions): Promise<FileHandle>
  /** Writes a whole file, a new one or over the one that is there. */
  writeFile(path: RootPath, data: string | Uint8Array, options?: WriteOptions): Promise<void>
  mkdir(path: RootPath, options?: WriteOptions): Promise<void>
  /** Renames as rename(2) does: a file may take the place of a file. Links are renamed, not followed. */
  rename(from: RootPath, to: RootPath, options?: RootCallOptions): Promise<void>
  /** Removes a file, a link or an empty directory. */
  remove(path: RootPath, options?: RootCallOptions): Promise<void>
}

export interface RootOptions {
  /**
   * Whether the root has the methods that change something. Default false: reading is what most services
   * need.
   */
  readonly writable?: boolean
}

/**
 * Opens a directory to share. It is held from here on: renaming it changes nothing. Close it when nobody uses
 * it any more.
 * @throws `ERR_CONFIG_INVALID` when it is no directory, may not be opened, or, on Linux, /proc is not mounted
 */
export function openRoot(
  directory: string,
  options: RootOptions & { readonly writable: true }
): Promise<WritableRoot>
export function openRoot(directory: string, options?: RootOptions): Promise<Root>
export function openRoot(directory: string, options: RootOptions = {}): Promise<Root> {
  return openRootOn(process.platform === 'linux' ? descriptorGround : pathGround, directory, options)
}

/** {@link openRoot} on a ground of choice, always with the methods that the options grant. */
export async function openRootOn(
  ground: Ground,
  directory: string,
  { writable = false }: RootOptions = {}
): Promise<Root | WritableRoot> {
  const lease = leaseOf(await start(ground, directory))
  const reading = readingRoot(ground, lease)
  return writable ? { ...reading, ...writingMethods(ground, lease) } : reading
}

async function start(ground: Ground, directory: string): Promise<Place> {
  try {
    return await ground.start(directory)
  } catch (error) {
    if (error instanceof PluginError) throw error
    const { code = String(error) } = error as NodeJS.ErrnoException
    throw new PluginError('ERR_CONFIG_INVALID', `${directory} cannot be shared: ${code}`, {
      cause: error,
      hint: 'Give a directory that exists and that this process may read.'
    })
  }
}

/** The top of a root, and who uses it. */
interface Lease {
  use<T>(path: RootPath, task: (top: Place) => Promise<T>): Promise<T>
  close(): Promise<void>
}

/**
 * A descriptor's number is given to the next file that is opened, so the top is closed only when nobody may
 * look anything up through it any more.
 */
function leaseOf(top: Place): Lease {
  let users = 0
  let closed: Promise<void> | undefined
  let onIdle = (): void => {}

  return {
    async use(path, task) {
      if (closed !== undefined) throw pathError(path, 'closed')
      users += 1
      try {
        return await task(top)
      } catch (error) {
        throw toPathError(path, error)
      } finally {
        users -= 1
        if (users === 0) onIdle()
      }
    },
    close() {
      closed ??= new Promise<void>((resolve) => {
        onIdle = resolve
        if (users === 0) resolve()
      }).then(() => top.close())
      return closed
    }
  }
}

function readingRoot(ground: Ground, lease: Lease): Root {
  /** What a path leads to, held while `action` runs. */
  function withTarget<T extends {}>(
    path: RootPath,
    signal: AbortSignal | undefined,
    action: (target: Pinned) => Promise<T>
  ): Promise<T> {
    return lease.use(path, (top) =>
      walk({ ground, top, path, names: namesOf(path), signal }, async (place, name) => {
        const target = await ground.pin(place, name)
        try {
          return target.stats.isSymbolicLink() ? undefined : await action(target)
        } finally {
          target.close()
        }
      })
    )
  }

  function openFile(path: RootPath, { signal }: RootCallOptions = {}): Promise<FileHandle> {
    return withTarget(path, signal, (target) => {
      checkFile(path, target.stats)
      return target.open(constants.O_RDONLY)
    })
  }

  /** A directory that the caller closes. */
  function enter(path: RootPath, signal: AbortSignal | undefined): Promise<Place> {
    return lease.use(path, (top) =>
      walk({ ground, top, path, names: [...namesOf(path), '.'], signal }, (place, name) =>
        ground.enter(place, name)
      )
    )
  }

  async function* entries(
    path: RootPath,
    { signal, stats = true }: ListOptions = {}
  ): AsyncGenerator<RootEntry, void, undefined> {
    const place = await enter(path, signal)
    const tell = async (batch: readonly Dirent<Buffer>[]): Promise<RootEntry[]> => {
      if (!stats) return batch.map((entry) => ({ name: entry.name, type: typeOf(entry), stats: undefined }))
      const found = await Promise.all(batch.map((entry) => look(place, entry)))
      return found.filter((entry) => entry !== undefined)
    }
    try {
      const dir = await ground.list(place)
      let batch: Dirent<Buffer>[] = []
      // Closes the directory, however it ends.
      for await (const entry of dir) {
        signal?.throwIfAborted()
        batch.push(entry as unknown as Dirent<Buffer>)
        if (batch.length < batchEntries) continue
        yield* await tell(batch)
        batch = []
      }
      yield* await tell(batch)
    } catch (error) {
      throw toPathError(path, error)
    } finally {
      place.close()
    }
  }

  return {
    open: openFile,

    async readFile(path, options) {
      await using file = await openFile(path, options)
      return await told(path, options?.signal, file.readFile({ signal: options?.signal }))
    },

    entries,

    async readdir(path, options) {
      const found: RootEntry[] = []
      for await (const entry of entries(path, { ...options, stats: false })) found.push(entry)
      return found
    },

    stat: (path, { signal } = {}) => withTarget(path, signal, async ({ stats }) => stats),

    lstat: (path, { signal } = {}) =>
      lease.use(path, (top) =>
        walk({ ground, top, path, names: namesOf(path), signal }, (place, name) =>
          name === '.' ? stat(place.self) : lstat(place.at(name))
        )
      ),

    close: () => lease.close(),
    [Symbol.asyncDispose]: () => lease.close()
  }
}

/** Entries that are looked at together: enough to keep the four threads of Node's pool busy. */
const batchEntries = 64

/** Undefined when the entry has gone since it was listed. */
async function look(place: Place, entry: Dirent<Buffer>): Promise<RootEntry | undefined> {
  const { name } = entry
  try {
    const stats = await lstat(place.at(name.toString('latin1')))
    return { name, type: typeOf(stats), stats }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    return { name, type: typeOf(entry), stats: undefined }
  }
}

/** What a whole file's transfer rejects with: the signal's reason, or the path as it was named. */
async function told<T>(path: RootPath, signal: AbortSignal | undefined, transfer: Promise<T>): Promise<T> {
  try {
    return await transfer
  } catch (error) {
    signal?.throwIfAborted()
    throw toPathError(path, error)
  }
}

/** The type in words, of a directory's entry or of what `stat` has found. */
export function typeOf(entry: Pick<Stats, 'isFile' | 'isDirectory' | 'isSymbolicLink'>): EntryType {
  if (entry.isFile()) return 'file'
  if (entry.isDirectory()) return 'directory'
  return entry.isSymbolicLink() ? 'symlink' : 'other'
}

function checkFile(path: RootPath, stats: Stats): void {
  if (stats.isFile()) return
  throw pathError(path, stats.isDirectory() ? 'EISDIR' : 'special')
}

function writingMethods(ground: Ground, lease: Lease): Omit<WritableRoot, keyof Root> {
  const { O_WRONLY, O_CREAT, O_EXCL, O_TRUNC, O_NOFOLLOW } = constants

  function create(path: RootPath, { mode = 0o666, signal }: WriteOptions = {}): Promise<FileHandle> {
    return lease.use(path, (top) =>
      walk({ ground, top, path, names: namesOf(path), signal }, async (place, name) => {
        try {
          return await open(place.at(name), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode & 0o777)
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
        }
        const target = await ground.pin(place, name)
        try {
          if (target.stats.isSymbolicLink()) return undefined
          checkFile(path, target.stats)
          return await target.open(O_WRONLY | O_TRUNC)
        } finally {
          target.close()
        }
      })
    )
  }

  /** Gives the last name, which is not followed, to `action`. */
  function change(
    path: RootPath,
    names: readonly Name[],
    signal: AbortSignal | undefined,
    action: (place: Place, name: Name) => Promise<void>
  ): Promise<null> {
    return lease.use(path, (top) =>
      walk({ ground, top, path, names, signal }, async (place, name) => {
        if (name === '.') throw pathError(path, 'unnamed')
        await action(place, name)
        return null
      })
    )
  }

  return {
    create,

    async writeFile(path, data, options) {
      await using file = await create(path, options)
      await told(path, options?.signal, file.writeFile(data, { signal: options?.signal }))
    },

    async mkdir(path, { mode = 0o777, signal } = {}) {
      const names = namesOf(path)
      // A slash at the end is usual here; there is no directory yet to enter.
      if (names.length > 1 && names.at(-1) === '.') names.pop()
      await change(path, names, signal, (place, name) => mkdir(place.at(name), mode & 0o777).then(() => {}))
    },

    async rename(from, to, { signal } = {}) {
      await change(from, namesOf(from), signal, async (oldPlace, oldName) => {
        await change(to, namesOf(to), signal, (newPlace, newName) =>
          rename(oldPlace.at(oldName), newPlace.at(newName))
        )
      })
    },

    async remove(path, { signal } = {}) {
      await change(path, namesOf(path), signal, async (place, name) => {
        try {
          await unlink(place.at(name))
        } catch (error) {
          const { code } = error as NodeJS.ErrnoException
          if (code !== 'EISDIR' && code !== 'EPERM') throw error
          await rmdir(place.at(name))
        }
      })
    }
  }
}
