import { settlesWithin } from '../signal.js'
import type { Exit } from './exit.js'
import type { ChildProcessHandle } from './spawn.js'

export interface TerminateOptions {
  /** How long the process, which was asked already, may take to leave by itself. `Infinity`: as long as it likes. */
  readonly exitMs: number
  /** How long it may take after SIGTERM. */
  readonly termMs: number
  /** Told of each signal that reached the process. */
  readonly onStep?: (step: 'SIGTERM' | 'SIGKILL') => void
}

/**
 * The lower rungs of the ladder by which a plugin is stopped:
 *
 * ```text
 * |-- exitMs --|SIGTERM|-- termMs --|SIGKILL, to its whole process group|
 * ```
 *
 * SIGTERM goes to the process alone, which may want to end its own children in order. Resolves once it is reaped.
 */
export async function terminate(
  child: Pick<ChildProcessHandle, 'exited' | 'kill'>,
  options: TerminateOptions
): Promise<Exit> {
  const { exitMs, termMs, onStep } = options
  if (await settlesWithin(child.exited, exitMs)) return child.exited
  if (child.kill('SIGTERM')) onStep?.('SIGTERM')
  if (await settlesWithin(child.exited, termMs)) return child.exited
  if (child.kill('SIGKILL', { group: true })) onStep?.('SIGKILL')
  return child.exited
}
