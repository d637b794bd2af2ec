/** How a process ended: exactly one of the two is not null; both are where only its parent knows. */
export interface Exit {
  /** 0 to 255 */
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** In words that follow a subject: `exited with code 3`, `was killed by SIGSEGV`, `ended`. */
export function describeExit({ code, signal }: Exit): string {
  if (signal !== null) return `was killed by ${signal}`
  return code === null ? 'ended' : `exited with code ${code}`
}
