import type { Arguments } from './args.js'
import type { Case } from './cases.js'
import { measureCell } from './cell.js'
import type { Progress } from './progress.js'
import type { Measurement, Missing } from './results.js'
import type { Row } from './rows.js'

/** What a run has measured, and what not. */
export interface Outcome {
  readonly rounds: number
  readonly measurements: readonly Measurement[]
  readonly missing: readonly Missing[]
}

/**
 * Measures every case of every row, round after round. Within a round the rows of a case follow each other, so that a
 * machine which gets slower or faster does so for all of them; each round begins with another row.
 *
 * Rejects with the reason of `signal` once that is aborted and the processes are gone.
 */
export async function run(args: Arguments, progress: Progress, signal: AbortSignal): Promise<Outcome> {
  const measurements: Measurement[] = []
  const missing = new Map<string, Missing>()
  const miss = (one: Case, row: Row, reason: string): void => {
    missing.set(`${one.name} ${row.name}`, { case: one.name, row: row.name, reason })
  }
  const started = performance.now()
  const able = await prepare(args, miss, signal)
  let rounds = 0
  let done = 0
  let planned = args.rounds.t === 'exact' ? args.rounds.count : 1
  do {
    for (const one of args.cases) {
      for (const row of rotated(able, rounds)) {
        if (whyNot(one, row, args) !== undefined) continue
        progress.show(done, planned * cellsOf(args, able), `${one.name} ${row.name}`)
        const request = { row: row.name, case: one.name, ...args.timing }
        const result = await measureCell(row, request, signal, args.profile)
        if (result.t === 'failed') miss(one, row, result.reason)
        else measurements.push({ round: rounds, case: one.name, row: row.name, metrics: result.metrics })
        done += 1
      }
    }
    rounds += 1
    planned = fitting(args.rounds, rounds, performance.now() - started)
  } while (rounds < planned)
  return { rounds, measurements, missing: [...missing.values()] }
}

/** The rows that can take part; what others lack, and what each of them cannot do, is noted. */
async function prepare(
  args: Arguments,
  miss: (one: Case, row: Row, reason: string) => void,
  signal: AbortSignal
): Promise<readonly Row[]> {
  const able: Row[] = []
  for (const row of args.rows) {
    const lacking = await row.prepare?.(signal)
    if (lacking === undefined) able.push(row)
    for (const one of args.cases) {
      const reason = lacking ?? whyNot(one, row, args)
      if (reason !== undefined) miss(one, row, reason)
    }
  }
  return able
}

/** How many rounds there will be in all, when so many have taken so long. */
function fitting(rounds: Arguments['rounds'], done: number, elapsedMs: number): number {
  if (rounds.t === 'exact') return rounds.count
  return Math.min(rounds.most, Math.max(done, Math.floor((rounds.limitMs * done) / elapsedMs)))
}

/** Why a row that can take part is not measured in a case; undefined when it is. */
function whyNot(one: Case, row: Row, { rowsNamed }: Arguments): string | undefined {
  const lack = row.cannot?.[one.needs]
  if (lack !== undefined || row.brief !== true || one.quick || rowsNamed) return lack
  return 'in the cases of a quick run alone, unless --rows names it'
}

function cellsOf(args: Arguments, rows: readonly Row[]): number {
  return args.cases.flatMap((one) => rows.filter((row) => whyNot(one, row, args) === undefined)).length
}

function rotated<T>(values: readonly T[], by: number): readonly T[] {
  const at = by % Math.max(1, values.length)
  return [...values.slice(at), ...values.slice(0, at)]
}
