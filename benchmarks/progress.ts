import type { WriteStream } from 'node:tty'

/** The line that shows how far a run is. */
export interface Progress {
  /** Shows that number `done` of `total` cells is being measured. */
  show(done: number, total: number, what: string): void
  /** Takes the line away. */
  clear(): void
}

/** On a terminal, a line that is written over; elsewhere nothing. */
export function createProgress(output: Pick<WriteStream, 'isTTY' | 'write' | 'columns'>): Progress {
  if (!output.isTTY) return { show() {}, clear() {} }
  const started = performance.now()
  const rewrite = (line: string): void => {
    // Some terminals say that they are 0 wide.
    output.write(`\r\u001B[K${line.slice(0, (output.columns || 80) - 1)}`)
  }
  return {
    show: (done, total, what) => rewrite(formatProgress(done, total, what, performance.now() - started)),
    clear: () => rewrite('')
  }
}

/** Cells take about the same time, so the time left follows from that taken: `12 of 90, dial per-dial, 1:05 left`. */
export function formatProgress(done: number, total: number, what: string, elapsedMs: number): string {
  const left = done === 0 ? '' : `, ${formatMinutes((elapsedMs / done) * (total - done))} left`
  return `${done + 1} of ${total}, ${what}${left}`
}

function formatMinutes(ms: number): string {
  const seconds = Math.ceil(ms / 1000)
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
}
