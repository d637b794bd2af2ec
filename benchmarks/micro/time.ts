import { Bench } from 'tinybench'
import type { Micro } from './list.js'

/** How one operation did. */
export interface MicroResult {
  readonly name: string
  /** The median, in nanoseconds. */
  readonly nsPerOp: number
  readonly opsPerSecond: number
  /** Margin of error of the mean at 95 %, as a share of it: 0.01 is one per cent. */
  readonly spread: number
}

/** A clock takes longer than some of the operations, so so many are timed together. */
const batch = 1000

/** What an operation has returned last. That others may read it keeps the compiler from leaving the operation out. */
export let sink: unknown

/**
 * Checks each operation, then times each for `durationMs` after a quarter of that as a warm-up.
 * @throws what the check throws, with the name of the operation
 */
export async function timeMicros(micros: readonly Micro[], durationMs: number): Promise<MicroResult[]> {
  for (const { name, run, check } of micros) {
    try {
      check(run())
    } catch (cause) {
      throw new Error(
        `${name} gives a wrong result: ${cause instanceof Error ? cause.message : String(cause)}`,
        {
          cause
        }
      )
    }
  }
  const results: MicroResult[] = []
  for (const { name, run } of micros) {
    const bench = new Bench({
      time: durationMs,
      warmupTime: durationMs / 4,
      iterations: 8,
      warmupIterations: 2
    })
    bench.add(name, () => {
      for (let count = 0; count < batch; count++) sink = run()
    })
    const [task] = await bench.run()
    const result = task!.result
    if (result.state === 'errored') throw result.error
    if (result.state !== 'completed') throw new Error(`${name} has not been timed: ${result.state}`)
    const nsPerOp = (result.latency.p50 * 1e6) / batch
    results.push({ name, nsPerOp, opsPerSecond: 1e9 / nsPerOp, spread: result.latency.rme / 100 })
  }
  return results
}

/** The table for a terminal. */
export function formatMicros(results: readonly MicroResult[]): string {
  const lines = [
    ['operation', 'ns/op', 'ops/s', 'spread'],
    ...results.map(({ name, nsPerOp, opsPerSecond, spread }) => [
      name,
      nsPerOp.toFixed(1),
      Math.round(opsPerSecond).toLocaleString('en-US'),
      `±${(spread * 100).toFixed(1)} %`
    ])
  ]
  const widths = [0, 1, 2, 3].map((column) => Math.max(...lines.map((line) => line[column]!.length)))
  const pad = (cell: string, column: number): string =>
    column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)
  return lines.map((line) => `${line.map(pad).join('  ')}\n`).join('')
}
