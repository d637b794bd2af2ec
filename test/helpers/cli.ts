import './plain-children.js'
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { join } from 'node:path'
import { packageRoot } from './paths.js'

export { packageRoot } from './paths.js'

/** The program that users run. */
export const binHost = join(packageRoot, 'bin/host')

export interface CliResult {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** The test runner's loaders are for this process, not for the program under test. */
function plainEnv(): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _loaders, ...env } = process.env
  return env
}

/** Starts `bin/host` as a shell would: by its shebang line. */
export function startCli(args: readonly string[], options: SpawnOptions = {}): ChildProcess {
  return spawn(binHost, args, { stdio: ['ignore', 'pipe', 'pipe'], env: plainEnv(), ...options })
}

/** Runs `bin/host` to its end. */
export async function runCli(args: readonly string[], options: SpawnOptions = {}): Promise<CliResult> {
  const child = startCli(args, options)
  const [stdout, stderr, [code, signal]] = await Promise.all([
    text(child.stdout!),
    text(child.stderr!),
    once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>
  ])
  return { code, signal, stdout, stderr }
}
