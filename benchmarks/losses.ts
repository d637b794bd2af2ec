import type { Metric } from './measure.js'
import { type Measurement, type Ratio, type Report, type Result, compare, metricNames } from './results.js'
import { baseline } from './rows.js'

/**
 * A metric in which one of this project's rows on one stream is worse than gRPC without this project: the ratio is that
 * to the row which is better by most.
 */
export interface Loss extends Ratio {
  /** How many times worse, above 1 whichever way the metric counts. */
  readonly factor: number
  /** Whether every row of this project on one stream loses here: no choice of another one helps. */
  readonly everyRow: boolean
}

/** gRPC in Node with nothing of this project. Rows in Go compare languages as well, and are left out. */
const rivals = [baseline, 'per-dial-tuned']

/** One round has no range. What is nearer to 1 than this may then be noise. */
const leastFactorOfOneRound = 1.25

/** Phrases in a sentence; a report says more in its list. */
const mostPhrases = 8

/** What each metric counts, as `2x the ... of per-dial`. */
const nouns: Readonly<Record<Metric, string>> = {
  p50: 'latency',
  p90: 'p90 latency',
  p99: 'p99 latency',
  p999: 'p99.9 latency',
  rate: 'throughput',
  rss: 'memory',
  heap: 'heap',
  fds: 'descriptors',
  files: 'socket files',
  cpu: 'processor time',
  ratio: 'time'
}

/**
 * Where the rows named `stream-...` are worse than `per-dial` or `per-dial-tuned`, by how much, the worst first. Listed
 * only when every round says so; with one round, when it says so by a quarter at least.
 */
export function findLosses(report: Report): Loss[] {
  // The ratio to an empty process says again what the time of a cold start says.
  const own = report.results.filter(({ row, metric }) => row.startsWith('stream-') && metric !== 'ratio')
  const losses = own.flatMap((result) => {
    const found = rivals.flatMap((vs) => compareWith(report, result, vs) ?? [])
    return found.toSorted(worstFirst).slice(0, 1)
  })
  const count = (all: readonly Place[], { case: name, metric }: Place): number =>
    all.filter((one) => one.case === name && one.metric === metric).length
  return losses
    .map((loss) => ({ ...loss, everyRow: count(losses, loss) === count(own, loss) }))
    .toSorted(worstFirst)
}

type Place = Pick<Result, 'case' | 'metric'>

/** One sentence of plain text, also when there are no losses: where even the best of our rows loses. */
export function formatLosses(losses: readonly Loss[]): string {
  const told = leading(losses)
  if (told.length === 0) return 'Where we lose: nowhere in what was measured.'
  const phrases = told
    .slice(0, mostPhrases)
    .map(
      ({ case: name, row, metric, vs, ratio }) =>
        `${name} (${row}: ${formatRatio(ratio)} the ${nouns[metric]} of ${vs})`
    )
  const more = told.length - phrases.length
  return `Where we lose: ${phrases.join(', ')}${more > 0 ? `, and ${more} more` : ''}.`
}

/** A phrase for each kind of figure of a case: the row that loses least, and of percentiles the lowest that is lost. */
function leading(losses: readonly Loss[]): readonly Loss[] {
  const kept = new Map<string, Loss>()
  for (const loss of losses.filter(({ everyRow }) => everyRow).toSorted((a, b) => rank(a) - rank(b))) {
    const kind = /^p\d+$/.test(loss.metric) ? 'latency' : loss.metric
    const key = `${loss.case} ${kind}`
    const known = kept.get(key)
    if (known === undefined || (known.metric === loss.metric && known.factor > loss.factor))
      kept.set(key, loss)
  }
  return [...kept.values()].toSorted(worstFirst)
}

function compareWith(report: Report, result: Result, vs: string): Omit<Loss, 'everyRow'> | undefined {
  const { case: caseName, row, metric } = result
  const ratio = ratioTo(report, result, vs)
  if (ratio === undefined) return undefined
  const worse = metric === 'rate' ? ratio.high < 1 : ratio.low > 1
  const factor = metric === 'rate' ? 1 / ratio.ratio : ratio.ratio
  const clear = result.runs.length > 1 || factor >= leastFactorOfOneRound
  return worse && clear ? { case: caseName, row, metric, vs, ...ratio, factor } : undefined
}

function ratioTo(
  report: Report,
  { case: caseName, row, metric }: Result,
  vs: string
): Pick<Loss, 'ratio' | 'low' | 'high'> | undefined {
  const here = (one: { readonly case: string; readonly metric: Metric }): boolean =>
    one.case === caseName && one.metric === metric
  const known =
    vs === baseline
      ? report.ratios
      : compare(
          report.results.filter((one) => here(one)).flatMap((one) => measurementsOf(one, report)),
          vs
        )
  const found = known.find((one) => here(one) && one.row === row)
  return found && { ratio: found.ratio, low: found.low, high: found.high }
}

/** The rounds of a result. A row that missed one does not say which, and has none. */
function measurementsOf({ case: caseName, row, metric, runs }: Result, { options }: Report): Measurement[] {
  if (runs.length !== options.rounds) return []
  return runs.map((value, round) => ({ round, case: caseName, row, metrics: { [metric]: value } }))
}

function rank({ metric }: Pick<Loss, 'metric'>): number {
  return metricNames.indexOf(metric)
}

function worstFirst(a: Omit<Loss, 'everyRow'>, b: Omit<Loss, 'everyRow'>): number {
  return b.factor - a.factor || rank(a) - rank(b)
}

function formatRatio(ratio: number): string {
  return `${Number(ratio.toPrecision(2))}x`
}
