import type { Metric, Metrics } from './measure.js'

/** How a metric is counted, in the file and above the columns of the table. `rate` depends on the case. */
const units: Readonly<Record<Exclude<Metric, 'rate'>, string>> = {
  p50: 'us',
  p90: 'us',
  p99: 'us',
  p999: 'us',
  rss: 'bytes',
  heap: 'bytes',
  fds: 'count',
  files: 'count',
  cpu: 's/10k calls',
  ratio: 'x'
}

/** The order of columns. */
export const metricNames: readonly Metric[] = [
  'p50',
  'p90',
  'p99',
  'p999',
  'rate',
  'ratio',
  'rss',
  'heap',
  'fds',
  'files',
  'cpu'
]

export function unitOf(caseName: string, metric: Metric): string {
  if (metric !== 'rate') return units[metric]
  return caseName === 'fairness' || caseName.endsWith('-64KiB') ? 'MB/s' : 'calls/s'
}

/** One cell that was measured. */
export interface Measurement {
  /** From 0. */
  readonly round: number
  readonly case: string
  readonly row: string
  readonly metrics: Metrics
}

/** One metric of one row in one case, over the rounds. */
export interface Result {
  readonly case: string
  readonly row: string
  readonly metric: Metric
  readonly unit: string
  readonly median: number
  readonly min: number
  readonly max: number
  /** In the order of the rounds. */
  readonly runs: readonly number[]
}

/** The same as a multiple of the baseline's. */
export interface Ratio {
  readonly case: string
  readonly row: string
  readonly metric: Metric
  readonly vs: string
  readonly ratio: number
  readonly low: number
  readonly high: number
}

/** A row that a case was not, or not always, measured for. */
export interface Missing {
  readonly case: string
  readonly row: string
  readonly reason: string
}

/** The file that `--json` writes; docs/benchmarks.md describes it. */
export interface Report {
  readonly date: string
  readonly machine: {
    readonly cpu: string
    readonly cores: number
    readonly memoryBytes: number
    readonly system: string
  }
  readonly versions: Readonly<Record<string, string>>
  readonly commit: string | null
  readonly options: {
    readonly rounds: number
    readonly durationMs: number
    readonly warmUpMs: number
  }
  readonly results: readonly Result[]
  readonly ratios: readonly Ratio[]
  readonly missing: readonly Missing[]
}

export function summarise(measurements: readonly Measurement[]): Result[] {
  return grouped(measurements).map(({ values, ...key }) => {
    const runs = values.map(({ value }) => value)
    return { ...key, unit: unitOf(key.case, key.metric), ...spread(runs), runs }
  })
}

/**
 * Each row beside the baseline. A ratio is made of two cells of one round, which ran close to one another; those of all
 * rounds give the median and the range. A median of ratios, not a ratio of medians: what slows the machine down for a
 * while slows both of a pair.
 */
export function compare(measurements: readonly Measurement[], baseline: string): Ratio[] {
  const groups = grouped(measurements)
  return groups.flatMap(({ values, ...key }) => {
    if (key.row === baseline) return []
    const base = groups.find(
      (group) => group.case === key.case && group.metric === key.metric && group.row === baseline
    )
    const ratios = values.flatMap(({ round, value }) => {
      const beside = base?.values.find((other) => other.round === round)?.value
      return beside === undefined || beside === 0 ? [] : [value / beside]
    })
    if (ratios.length === 0) return []
    const { median, min, max } = spread(ratios)
    return [{ ...key, vs: baseline, ratio: median, low: min, high: max }]
  })
}

interface Group {
  readonly case: string
  readonly row: string
  readonly metric: Metric
  readonly values: { readonly round: number; readonly value: number }[]
}

function grouped(measurements: readonly Measurement[]): Group[] {
  const groups = new Map<string, Group>()
  for (const { round, case: caseName, row, metrics } of measurements) {
    for (const metric of metricNames) {
      const value = metrics[metric]
      if (value === undefined) continue
      const key = [caseName, row, metric].join(' ')
      const group = groups.get(key) ?? { case: caseName, row, metric, values: [] }
      group.values.push({ round, value })
      groups.set(key, group)
    }
  }
  return [...groups.values()]
}

function spread(values: readonly number[]): {
  readonly median: number
  readonly min: number
  readonly max: number
} {
  const sorted = values.toSorted((a, b) => a - b)
  const half = sorted.length >> 1
  const median = sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2
  return { median, min: sorted[0]!, max: sorted.at(-1)! }
}
