import { cases } from '../cases.js'
import type { Metric } from '../measure.js'
import { type Measurement, type Ratio, type Report, type Result, compare, summarise } from '../results.js'
import { baseline, rows as knownRows } from '../rows.js'

/** One figure of a panel: the median of the rounds with its range, and as a multiple of the baseline's. */
export interface Value extends Pick<Result, 'median' | 'min' | 'max'> {
  readonly ratio?: Pick<Ratio, 'ratio' | 'low' | 'high'>
}

/** A row of a panel. */
export interface Line {
  readonly name: string
  /** Its place in the whole report, from 0: a row looks the same in all charts. */
  readonly index: number
  readonly isBaseline: boolean
  /** For each column. */
  readonly values: readonly (Value | undefined)[]
  /** Why there are none, where that is known. */
  readonly reason: string | undefined
}

/** What one chart and its table show. */
export interface Panel {
  readonly id: string
  readonly title: string
  readonly text: string
  /** `dots`: columns along one logarithmic axis. `bars`: one column. `lines`: columns from left to right. */
  readonly chart: 'dots' | 'bars' | 'lines'
  readonly unit: string
  readonly better: 'less' | 'more'
  readonly columns: readonly string[]
  /** Those with a value; all in the same order as everywhere. */
  readonly lines: readonly Line[]
  readonly without: readonly Line[]
}

export interface Section {
  readonly title: string
  readonly text: string
  readonly panels: readonly Panel[]
}

/** Processor time is shown for these; the table on the terminal has it for all cases. */
const cpuCases = ['unary-64B', 'unary-1MiB', 'inflight-64', 'down-64KiB', 'both-64KiB', 'dial', 'callback']

const percentiles = [
  ['p50', 'p50'],
  ['p90', 'p90'],
  ['p99', 'p99'],
  ['p999', 'p99.9']
] as const

/** The charts that a report has data for. */
export function sectionsOf(report: Report): readonly Section[] {
  const all: readonly Section[] = [
    {
      title: 'Latency',
      text: 'How long calls, dials and callbacks take, one after another. The axis is logarithmic.',
      panels: namesOf(/^(unary-|dial$|callback$|fairness$)/).flatMap((name) => latency(report, name))
    },
    {
      title: 'Throughput',
      text: 'Many calls at once, and streams of large chunks.',
      panels: [
        ...over(
          report,
          'inflight',
          'rate',
          'Calls in flight',
          'Calls of 64 bytes a second, by how many are in flight.'
        ),
        ...[...namesOf(/-64KiB$/), 'dial-burst', 'fairness'].flatMap((name) => bars(report, name, 'rate'))
      ]
    },
    {
      title: 'Live broker IDs',
      text: 'What it costs to keep broker IDs open: a call beside them, and the memory of both processes.',
      panels: [
        ...over(
          report,
          'live',
          'p50',
          'A call beside open IDs',
          'Median of a call of 64 bytes, by the broker IDs that are open.'
        ),
        ...over(
          report,
          'live',
          'rss',
          'Memory by open IDs',
          'Resident memory of both processes, by the broker IDs that are open.'
        ),
        ...memoryOfAnId(report)
      ]
    },
    {
      title: 'Memory and descriptors',
      text: 'idle: the plugin after one call. live-1000: both processes with 1,000 broker IDs open.',
      panels: ['idle', 'live-1000'].flatMap((name) =>
        (['rss', 'heap', 'fds', 'files'] as const).flatMap((metric) => bars(report, name, metric))
      )
    },
    {
      title: 'Processor time',
      text: 'Seconds of both processes for 10,000 calls, chunks or dials.',
      panels: cpuCases.flatMap((name) => bars(report, name, 'cpu'))
    },
    {
      title: 'Cold start',
      text: 'From the start of the plugin process to its first answer.',
      panels: bars(report, 'cold-start', 'p50')
    }
  ]
  return all.filter(({ panels }) => panels.length > 0)
}

/** The rows that a report names, in their usual order. */
export function rowsOf({ results, missing }: Report): readonly string[] {
  const named = new Set([...results, ...missing].map(({ row }) => row))
  const known = knownRows.map(({ name }) => name).filter((name) => named.has(name))
  return [...new Set([...known, ...named])]
}

function namesOf(pattern: RegExp): readonly string[] {
  return cases.map(({ name }) => name).filter((name) => pattern.test(name))
}

function textOf(name: string): string {
  const text = cases.find((one) => one.name === name)?.text ?? name
  return `${text[0]?.toUpperCase() ?? ''}${text.slice(1)}.`
}

function latency(report: Report, name: string): readonly Panel[] {
  const shown = percentiles.filter(([metric]) =>
    report.results.some((one) => one.case === name && one.metric === metric)
  )
  return panel(report, {
    id: `${name}-latency`,
    title: name,
    text: textOf(name),
    chart: 'dots',
    columns: shown.map(([metric, title]) => ({ title, case: name, metric }))
  })
}

const titles: Partial<Record<Metric, string>> = {
  rss: 'resident memory',
  heap: 'heap',
  fds: 'open descriptors',
  files: 'socket files'
}

function bars(report: Report, name: string, metric: Metric): readonly Panel[] {
  const title = titles[metric]
  return panel(report, {
    id: `${name}-${metric}`,
    title: title === undefined ? name : `${name}: ${title}`,
    text: textOf(name),
    chart: 'bars',
    columns: [{ title: metric, case: name, metric }]
  })
}

/** A metric of the cases that differ by a number at the end of their names. */
function over(report: Report, prefix: string, metric: Metric, title: string, text: string): readonly Panel[] {
  const names = namesOf(new RegExp(`^${prefix}-\\d+$`)).filter((name) =>
    report.results.some((one) => one.case === name && one.metric === metric)
  )
  return panel(report, {
    id: `${prefix}-${metric}`,
    title,
    text,
    // One number makes no line.
    chart: names.length > 1 ? 'lines' : 'bars',
    columns: names.map((name) => ({ title: name.slice(prefix.length + 1), case: name, metric }))
  })
}

/** Memory that 990 more IDs took, for each of them: what a process needs without any is in neither. */
function memoryOfAnId(report: Report): readonly Panel[] {
  const [few, many] = [10, 1000]
  const rss = report.results.filter(({ metric }) => metric === 'rss')
  const measurements = rss
    .filter((one) => one.case === `live-${many}`)
    .flatMap(({ row, runs }): Measurement[] => {
      const before = rss.find((one) => one.case === `live-${few}` && one.row === row)?.runs
      // A row that missed a round does not say which: its values cannot be paired.
      if (before?.length !== runs.length) return []
      return runs.map((value, round) => ({
        round,
        case: 'memory of an ID',
        row,
        metrics: { rss: Math.max(0, (value - before[round]!) / (many - few)) }
      }))
    })
  const derived = { ...report, results: summarise(measurements), ratios: compare(measurements, baseline) }
  return panel(derived, {
    id: 'live-memory-of-an-id',
    title: 'Memory of one ID',
    text: 'Resident memory of both processes with 1,000 IDs less that with 10, for each of the 990.',
    chart: 'bars',
    columns: [{ title: 'rss for an ID', case: 'memory of an ID', metric: 'rss' }]
  })
}

interface Column {
  readonly title: string
  readonly case: string
  readonly metric: Metric
}

/** The panel, or none when there is nothing to show. */
function panel(
  report: Report,
  {
    columns,
    ...about
  }: Pick<Panel, 'id' | 'title' | 'text' | 'chart'> & { readonly columns: readonly Column[] }
): readonly Panel[] {
  const lines = rowsOf(report).map((name, index) => ({
    name,
    index,
    isBaseline: name === baseline,
    values: columns.map((column) => valueOf(report, name, column)),
    reason: report.missing.find((gap) => gap.row === name && columns.some((one) => one.case === gap.case))
      ?.reason
  }))
  const hasValue = ({ values }: Line): boolean => values.some((value) => value !== undefined)
  const first = columns[0]
  if (first === undefined || !lines.some(hasValue)) return []
  return [
    {
      ...about,
      unit: report.results.find((one) => one.case === first.case && one.metric === first.metric)?.unit ?? '',
      better: first.metric === 'rate' ? 'more' : 'less',
      columns: columns.map(({ title }) => title),
      lines: lines.filter(hasValue),
      without: lines.filter((line) => !hasValue(line))
    }
  ]
}

function valueOf(report: Report, row: string, column: Column): Value | undefined {
  const here = (one: Result | Ratio): boolean =>
    one.row === row && one.case === column.case && one.metric === column.metric
  const result = report.results.find(here)
  if (result === undefined) return undefined
  const ratio = report.ratios.find(here)
  return { median: result.median, min: result.min, max: result.max, ...(ratio !== undefined && { ratio }) }
}
