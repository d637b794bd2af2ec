/** How a process ended: exactly one of the two is not null. */
export interface Exit {
  /** 0 to 255 */
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** In words that follow a subject: `exited with code 3`, `was killed by SIGSEGV`. */
export function describeExit(exit: Exit): string {
  return exit.signal === null ? `exited with code ${exit.code}` : `was killed by ${exit.signal}`
}
