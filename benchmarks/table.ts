import type { Case } from './cases.js'
import type { Metric } from './measure.js'
import { type Ratio, type Report, type Result, metricNames, unitOf } from './results.js'
import type { Row } from './rows.js'

/** The report for a terminal: a table for each case, a line for each row, values with their ratio to the baseline. */
export function formatTable(report: Report, cases: readonly Case[], rows: readonly Row[]): string {
  const { machine, options, commit } = report
  const versions = Object.entries(report.versions).map(([name, version]) => `${name} ${version}`)
  const header = [
    `${machine.cpu}, ${machine.cores} cores, ${formatBytes(machine.memoryBytes)}, ${machine.system}`,
    `${versions.join(', ')}; commit ${commit ?? 'unknown'}`,
    `${options.rounds} ${options.rounds === 1 ? 'round' : 'rounds'} of ${options.durationMs} ms a cell`,
    'In brackets: as a multiple of per-dial in the same round, median and range over the rounds.'
  ]
  return [header.join('\n'), ...cases.map((one) => formatCase(report, one, rows))].join('\n\n') + '\n'
}

function formatCase(report: Report, { name, text }: Case, rows: readonly Row[]): string {
  const results = report.results.filter((result) => result.case === name)
  const metrics = metricNames.filter((metric) => results.some((result) => result.metric === metric))
  const lines = rows.map(({ name: row }) => {
    const cells = metrics.map((metric) => formatCell(report, name, row, metric))
    const missing = report.missing.find((gap) => gap.case === name && gap.row === row)
    const none = cells.every((cell) => cell === '')
    return none
      ? { row, cells: [], note: missing?.reason ?? '' }
      : { row, cells, note: missing?.reason ?? '' }
  })
  const titles = metrics.map((metric) => `${metric} ${headings[unitOf(name, metric)] ?? ''}`.trim())
  const widths = titles.map((title, column) =>
    Math.max(title.length, ...lines.map(({ cells }) => cells[column]?.length ?? 0))
  )
  const first = Math.max(...rows.map((row) => row.name.length))
  const format = (row: string, cells: readonly string[], note = ''): string =>
    [row.padEnd(first), ...cells.map((cell, column) => cell.padEnd(widths[column]!)), note]
      .join('  ')
      .trimEnd()
  return [
    `${name}: ${text}`,
    ...(metrics.length === 0 ? [] : [format('', titles)]),
    ...lines.map(({ row, cells, note }) => format(row, cells, note))
  ].join('\n')
}

/** Units that the value itself does not show. */
const headings: Readonly<Record<string, string>> = {
  us: 'us',
  'calls/s': 'calls/s',
  'MB/s': 'MB/s',
  's/10k calls': 's/10k calls'
}

function formatCell({ results, ratios }: Report, caseName: string, row: string, metric: Metric): string {
  const here = (one: Result | Ratio): boolean =>
    one.case === caseName && one.row === row && one.metric === metric
  const result = results.find(here)
  if (result === undefined) return ''
  const value = result.unit === 'bytes' ? formatBytes(result.median) : formatNumber(result.median)
  const ratio = ratios.find(here)
  if (ratio === undefined) return value
  const range = result.runs.length === 1 ? '' : ` ${formatNumber(ratio.low)}-${formatNumber(ratio.high)}`
  return `${value} (${formatNumber(ratio.ratio)}x${range})`
}

/** Three digits that count, thousands with a comma. */
function formatNumber(value: number): string {
  const decimals = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))))
  const rounded = value >= 1000 ? Number(value.toPrecision(3)) : value
  return rounded.toLocaleString('en-US', {
    minimumFractionDigits: 0,
    maximumFractionDigits: Math.min(decimals, 4)
  })
}

function formatBytes(value: number): string {
  return value >= 2 ** 30 ? `${formatNumber(value / 2 ** 30)} GiB` : `${formatNumber(value / 2 ** 20)} MiB`
}
