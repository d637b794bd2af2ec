import type { ProcessHandle } from './spawn.js'
import { type Exit } from './exit.js'

/** How often the process is looked for, in ms: its end is told to its parent alone. go-plugin looks every second. */
const pollMs = 250

/** A process that somebody else has started. */
export interface AttachedProcess extends ProcessHandle {
  /** Lets go of it: `exited` settles as if it had ended. */
  detach(): void
}

/**
 * Watches a process that is not this one's child; undefined when there is none of that ID. It may be signalled, unless
 * `mayKill` is false; its end is noticed a moment late, and how it ended is not known. One that has ended, and that its
 * parent has not taken note of, counts as running.
 */
export function attachProcess(pid: number, mayKill: boolean): AttachedProcess | undefined {
  if (!exists(pid)) return undefined
  let ended = false
  let settle: (exit: Exit) => void
  const exited = new Promise<Exit>((resolve) => {
    settle = resolve
  })
  const timer = setInterval(() => {
    if (!exists(pid)) end()
  }, pollMs)
  function end(): void {
    ended = true
    clearInterval(timer)
    settle({ code: null, signal: null })
  }
  return {
    pid,
    exited,
    kill(signal) {
      if (ended || !mayKill) return false
      try {
        return process.kill(pid, signal)
      } catch {
        return false
      }
    },
    ref: () => timer.ref(),
    unref: () => timer.unref(),
    detach: end
  }
}

function exists(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
