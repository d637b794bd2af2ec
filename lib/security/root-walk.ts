import { readlink } from 'node:fs/promises'
import type { Ground, Place } from './root-ground.js'
import { type Name, type RootPath, pathError, splitNames } from './root-path.js'

/** Most symbolic links on the way: as many as Linux follows. */
const maxLinks = 40

/** Most directories entered on the way; a path of 4096 bytes has half as many names. */
const maxSteps = 4096

export interface Walk {
  readonly ground: Ground
  /** Where the path begins, and what it cannot leave. Stays open. */
  readonly top: Place
  /** For errors. */
  readonly path: RootPath
  readonly names: readonly Name[]
  readonly signal?: AbortSignal | undefined
}

/**
 * Goes along a path and gives its last name to `visit`, with the directory that it is in. A `visit` that
 * meets a symbolic link to follow returns undefined, and is asked again where the link leads. No system call
 * is given more than one name, and none follows a link: links are read here, and their names walked like
 * those of the path.
 *
 * At most two directories are held at a time. Rules as in Go's `os.Root`: `..` above the top and absolute
 * links lead out.
 */
export async function walk<T extends {} | null>(
  { ground, top, path, names, signal }: Walk,
  visit: (place: Place, name: Name) => Promise<T | undefined>
): Promise<T> {
  const pending = [...names]
  /** The directories from the top to `place`, none of them a link when it was entered. */
  const entered: Name[] = []
  let place = top
  let links = 0

  const move = (to: Place): void => {
    if (place !== top) place.close()
    place = to
  }

  try {
    for (let steps = 0; steps < maxSteps; steps += 1) {
      signal?.throwIfAborted()
      const name = pending.shift() ?? '.'
      if (name === '.' && pending.length > 0) continue
      if (name === '..') {
        if (entered.pop() === undefined) throw pathError(path, 'escapes')
        // Down again from the top: what the system calls the parent may have been moved out meanwhile.
        pending.unshift(...entered.splice(0))
        move(top)
        continue
      }
      let notADirectory: Error | undefined
      if (pending.length === 0) {
        const found = await visit(place, name)
        if (found !== undefined) return found
      } else {
        const next = await ground.enter(place, name).catch((error: NodeJS.ErrnoException) => {
          if (error.code !== 'ENOTDIR' && error.code !== 'ELOOP') throw error
          notADirectory = error
        })
        if (next !== undefined) {
          move(next)
          entered.push(name)
          continue
        }
      }
      const target = await linkTarget(place, name)
      if (target === undefined) {
        // Not a link: a file, or it was one when `visit` saw it and has been replaced.
        if (notADirectory !== undefined) throw notADirectory
        pending.unshift(name)
        continue
      }
      links += 1
      if (links > maxLinks) throw pathError(path, 'ELOOP')
      pending.unshift(...splitNames(target, path))
    }
    throw pathError(path, 'steps')
  } finally {
    move(top)
  }
}

async function linkTarget(place: Place, name: Name): Promise<Buffer | undefined> {
  try {
    return await readlink(place.at(name), { encoding: 'buffer' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EINVAL') return undefined
    throw error
  }
}
