import '../helpers/plain-children.js'
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'
import type { ReattachConfig } from '../../lib/host/index.js'
import { packageRoot } from '../helpers/paths.js'

const here = join(packageRoot, 'test/interop')

/** A program and its arguments. */
export type Command = readonly [string, ...string[]]

/** The path of a program that `npm run test:interop` has built. */
export function goProgram(name: string): string {
  return join(here, 'go/bin', name)
}

/** Runs a program of this directory. */
export function nodeProgram(name: string): [string, ...string[]] {
  return [process.execPath, join(here, name)]
}

/** The Echo plugin in both languages. */
export const goPlugin: Command = [goProgram('plugin')]
export const nodePlugin: Command = nodeProgram('plugin.mjs')

/**
 * Gives this process and those it starts a temporary directory of their own, with a short path because
 * sockets are made in it. Returns its path; it goes with the test.
 */
export async function ownTemporaryDirectory(t: Test): Promise<string> {
  const before = process.env['TMPDIR']
  const path = await mkdtemp(join(tmpdir(), 'mx-'))
  process.env['TMPDIR'] = path
  t.teardown(async () => {
    if (before === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = before
    await rm(path, { recursive: true, force: true })
  })
  return path
}

/** The paths of all sockets below a directory. */
export async function socketsBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isSocket()).map((entry) => join(entry.parentPath, entry.name))
}

/** The IDs of the other processes that have this temporary directory. Known on Linux only. */
export async function processesWithin(directory: string): Promise<number[]> {
  if (process.platform !== 'linux') return []
  const entries = await readdir('/proc')
  const ids = entries.map(Number).filter((id) => Number.isInteger(id) && id !== process.pid)
  const found = await Promise.all(
    ids.map(async (id) => {
      // Not to be read: another user's, or gone by now.
      const environment = await readFile(`/proc/${id}/environ`, 'utf8').catch(() => '')
      return environment.split('\0').includes(`TMPDIR=${directory}`)
    })
  )
  return ids.filter((_, index) => found[index])
}

export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program to its end, with `env` added to this process's variables. */
export async function runProgram(
  command: Command,
  options: Pick<SpawnOptions, 'cwd' | 'env'> = {}
): Promise<Finished> {
  const [program, ...args] = command
  const child = spawn(program, args, {
    ...options,
    env: { ...plainEnvironment(), ...options.env },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject).once('close', resolve)
  })
  const [code, stdout, stderr] = await Promise.all([ended, text(child.stdout), text(child.stderr)])
  return { code, stdout, stderr }
}

/**
 * Starts a program that goes on, and waits for its first line: how to attach to its plugin. It is killed when
 * the test is over, if it has not ended.
 */
export async function startProgram(
  t: Test,
  command: Command
): Promise<{ readonly child: ChildProcess; readonly config: ReattachConfig }> {
  const [program, ...args] = command
  const child = spawn(program, args, { env: plainEnvironment(), stdio: ['pipe', 'pipe', 'ignore'] })
  t.teardown(() => child.kill('SIGKILL'))
  const exited = once(child, 'exit').then(([code]) => {
    throw new Error(`${program} has exited with ${String(code)}`)
  })
  exited.catch(() => {})
  const [line] = (await Promise.race([once(createInterface(child.stdout), 'line'), exited])) as [string]
  return { child, config: JSON.parse(line) as ReattachConfig }
}

/** The test runner's loaders are for this process, not for the programs under test. */
function plainEnvironment(): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _loaders, ...env } = process.env
  return env
}
