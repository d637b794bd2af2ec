import '../helpers/plain-children.js'
import { type SpawnOptions, spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

/** The path of a program that `npm run test:interop` has built. */
export function goProgram(name: string): string {
  return fileURLToPath(new URL(`go/bin/${name}`, import.meta.url))
}

export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program to its end. */
export async function runProgram(
  command: readonly [string, ...string[]],
  options: Pick<SpawnOptions, 'cwd' | 'env'> = {}
): Promise<Finished> {
  const [program, ...args] = command
  const child = spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject).once('close', resolve)
  })
  const [code, stdout, stderr] = await Promise.all([ended, text(child.stdout), text(child.stderr)])
  return { code, stdout, stderr }
}
