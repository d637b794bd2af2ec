// A shared directory whose content another process replaces while it is read.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, sep } from 'node:path'
import { isPluginError } from '../../lib/errors.js'
import { type Root, openRoot } from '../../lib/security/root.js'
import { fixture } from '../helpers/paths.js'

/** How the reads of a race went. */
export interface Tally {
  reads: number
  /** Reads that got what is inside. */
  inside: number
  /** Refused as a way out. */
  refused: number
  /** Not there, or not a file, at that moment. */
  missing: number
  /** Reads that got something from outside. */
  leaked: number
}

export interface Arena extends AsyncDisposable {
  readonly root: Root
  /** The path of the shared directory. */
  readonly directory: string
}

/** A directory with an attacker at work in it; ends with the arena. */
export async function openArena(): Promise<Arena> {
  const base = await mkdtemp(join(tmpdir(), 'muxplug-test-'))
  const directory = join(base, 'root')
  await mkdir(directory)
  const { NODE_OPTIONS: _loaders, ...env } = process.env
  const attacker: ChildProcess = spawn(process.execPath, [fixture('root-attacker.mjs'), base], {
    env,
    stdio: ['pipe', 'pipe', 'inherit']
  })
  const exited = once(attacker, 'exit')
  await Promise.race([
    once(attacker.stdout!, 'data'),
    exited.then(() => Promise.reject(new Error('the attacker ended')))
  ])
  const root = await openRoot(directory)
  return {
    root,
    directory,
    async [Symbol.asyncDispose]() {
      attacker.kill('SIGKILL')
      await exited
      await root.close()
      await rm(base, { recursive: true })
    }
  }
}

/** Each gives what it found: `in` from inside, anything else from outside. */
const attempts: readonly ((root: Root) => Promise<string>)[] = [
  async (root) => (await root.readFile('dir/secret')).toString(),
  async (root) => (await root.readFile('file')).toString(),
  async (root) => (await root.readFile('top/moving/../secret')).toString(),
  async (root) => ((await root.stat('dir/secret')).size === 2 ? 'in' : 'size'),
  async (root) => ((await root.readdir('dir')).length === 1 ? 'in' : 'names')
]

/** Reads, four at a time, for as long as `more` says. */
export async function race({ root }: Pick<Arena, 'root'>, more: (tally: Tally) => boolean): Promise<Tally> {
  const tally: Tally = { reads: 0, inside: 0, refused: 0, missing: 0, leaked: 0 }
  const read = async (): Promise<void> => {
    while (more(tally)) {
      const attempt = attempts[tally.reads % attempts.length]!
      tally.reads += 1
      try {
        tally[(await attempt(root)) === 'in' ? 'inside' : 'leaked'] += 1
      } catch (error) {
        if (!isPluginError(error, 'ERR_SECURITY_PATH')) throw error
        tally[error.cause === undefined && error.message.includes('leads out') ? 'refused' : 'missing'] += 1
      }
    }
  }
  await Promise.all([read(), read(), read(), read()])
  return tally
}

/** The usual way, which loses the race: it looks where a path leads, and opens the path then. */
export async function raceByRealPath(
  { directory }: Pick<Arena, 'directory'>,
  more: (tally: Tally) => boolean
): Promise<Tally> {
  const tally: Tally = { reads: 0, inside: 0, refused: 0, missing: 0, leaked: 0 }
  const real = await realpath(directory)
  while (more(tally)) {
    tally.reads += 1
    try {
      const path = join(directory, 'dir/secret')
      if (!(await realpath(path)).startsWith(real + sep)) tally.refused += 1
      else tally[(await readFile(path, 'utf8')) === 'in' ? 'inside' : 'leaked'] += 1
    } catch {
      tally.missing += 1
    }
  }
  return tally
}
