import type { Arguments } from './args.js'
import { findLosses, formatLosses } from './losses.js'
import type { Metric } from './measure.js'
import type { Report } from './results.js'
import { baseline, rows } from './rows.js'

const begin = '<!-- benchmarks:begin -->'
const end = '<!-- benchmarks:end -->'

type Written = { readonly before: string; readonly after: string }

const compared = [
  'raw-socketpair',
  'node-ipc',
  'vscode-jsonrpc',
  'per-dial',
  'per-dial-tuned',
  'socket-mux',
  'go-per-dial',
  'go-mux'
]

/** Rows that people compare, and each way to use the one stream. Where stdio carries it is left to the full run. */
const shownRows = rows
  .map(({ name }) => name)
  .filter((name) => compared.includes(name) || (name.startsWith('stream-') && !name.endsWith('-stdio')))

interface Column {
  readonly title: string
  readonly case: string
  readonly metric: Metric
  /** The value in the unit that the title or the cell shows. */
  readonly format: (value: number) => string
}

const us = (value: number): string => `${digits(value)} µs`

/** Two tables: one would be too wide to read. */
const tables: readonly (readonly Column[])[] = [
  [
    { title: 'one call, p50', case: 'unary-64B', metric: 'p50', format: us },
    { title: 'calls/s, 64 wide', case: 'inflight-64', metric: 'rate', format: digits },
    { title: 'stream, MB/s', case: 'down-64KiB', metric: 'rate', format: digits },
    { title: 'dial, p50', case: 'dial', metric: 'p50', format: us },
    { title: 'callback, p50', case: 'callback', metric: 'p50', format: us }
  ],
  [
    {
      title: 'cold start',
      case: 'cold-start',
      metric: 'p50',
      format: (value) => `${digits(value / 1000)} ms`
    },
    { title: 'CPU, 10k calls', case: 'unary-64B', metric: 'cpu', format: (value) => `${digits(value)} s` },
    {
      title: 'memory, 1,000 IDs',
      case: 'live-1000',
      metric: 'rss',
      format: (value) => `${digits(value / 2 ** 20)} MiB`
    },
    { title: 'descriptors, 1,000 IDs', case: 'live-1000', metric: 'fds', format: digits }
  ]
]

const shownCases = [...new Set(tables.flat().map((column) => column.case))]

/** Why a run of these cases and rows would leave gaps in the README; undefined when it would not. */
export function readmeGap({ cases, rows: chosen }: Pick<Arguments, 'cases' | 'rows'>): string | undefined {
  const absent = [
    ...shownCases.filter((name) => !cases.some((one) => one.name === name)),
    ...shownRows.filter((name) => !chosen.some((row) => row.name === name))
  ]
  if (absent.length === 0) return undefined
  return `--readme needs the cases and rows of its table; left out are: ${absent.join(', ')}.`
}

/**
 * The README with the report between its markers, formatted as prettier has it.
 * @throws when the markers are missing, doubled or in the wrong order
 */
export function renderReadme(readme: string, report: Report): string {
  return joinReadme(splitReadme(readme), renderReport(report))
}

/** The page with `text` between its markers. */
export function joinReadme({ before, after }: Written, text: string): string {
  return `${before}${begin}\n\n${text}\n\n${end}${after}`
}

/**
 * What is before and after the markers.
 * @throws when they are missing, doubled or in the wrong order
 */
export function splitReadme(readme: string, name = 'README.md'): Written {
  for (const marker of [begin, end]) {
    const count = readme.split(marker).length - 1
    if (count !== 1) throw new Error(`${name} has the marker ${marker} ${count} times in place of once`)
  }
  const first = readme.indexOf(begin)
  const last = readme.indexOf(end)
  if (last < first) throw new Error(`${name} has the marker ${end} before ${begin}`)
  return { before: readme.slice(0, first), after: readme.slice(last + end.length) }
}

function renderReport(report: Report): string {
  const { machine, options, commit } = report
  const versions = Object.entries(report.versions).map(([name, version]) => `${name} ${version}`)
  const notes: string[] = []
  const rendered = tables.map((columns) => renderTable(report, columns, notes))
  return [
    [
      `Measured on ${report.date.slice(0, 10)}: ${machine.cpu}, ${machine.cores} cores, ${machine.system};`,
      `${versions.join(', ')}; commit ${commit ?? 'unknown'}.`,
      `Median of ${options.rounds} ${options.rounds === 1 ? 'round' : 'rounds'}, ${options.durationMs} ms a cell.`,
      `In brackets: as a multiple of \`${baseline}\` in the same round.`
    ].join('\n'),
    ...rendered,
    ...notes.map((note, index) => `${superscript(index + 1)} ${escape(note)}`),
    escape(formatLosses(findLosses(report)))
  ].join('\n\n')
}

/** Adds the reasons for its gaps to `notes`, each once. */
function renderTable(report: Report, columns: readonly Column[], notes: string[]): string {
  const cells = shownRows.map((row) => [
    `\`${row}\``,
    ...columns.map((column) => renderCell(report, row, column, notes))
  ])
  return alignTable([['', ...columns.map(({ title }) => title)], ...cells])
}

/** Lines of cells as a table, the first of them its head: names on the left, figures on the right, as prettier has it. */
export function alignTable(lines: readonly (readonly string[])[]): string {
  const widths = lines[0]!.map((_, at) => Math.max(3, ...lines.map((line) => line[at]!.length)))
  const join = (line: readonly string[]): string => `| ${line.join(' | ')} |`
  const pad = (cell: string, at: number): string =>
    at === 0 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!)
  const rule = widths.map((width, at) => (at === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`))
  const [head, ...body] = lines.map((line) => join(line.map(pad)))
  return [head, join(rule), ...body].join('\n')
}

function renderCell(report: Report, row: string, column: Column, notes: string[]): string {
  const here = (one: { readonly case: string; readonly row: string; readonly metric: Metric }): boolean =>
    one.case === column.case && one.row === row && one.metric === column.metric
  const result = report.results.find(here)
  if (result !== undefined) {
    const ratio = report.ratios.find(here)
    return column.format(result.median) + (ratio === undefined ? '' : ` (${digits(ratio.ratio)}×)`)
  }
  const missing = report.missing.find((gap) => gap.case === column.case && gap.row === row)
  const reason = missing?.reason ?? 'not counted there'
  if (!notes.includes(reason)) notes.push(reason)
  return `–${superscript(notes.indexOf(reason) + 1)}`
}

/** Two digits that count below 100, three above; thousands with a comma. */
export function digits(value: number): string {
  const rounded = Number(value.toPrecision(Math.abs(value) < 100 ? 2 : 3))
  return rounded.toLocaleString('en-US', { maximumFractionDigits: 4 })
}

function superscript(number: number): string {
  return String(number).replaceAll(/\d/g, (digit) => '⁰¹²³⁴⁵⁶⁷⁸⁹'[Number(digit)]!)
}

/** Text that may hold anything, for Markdown: on one line, with nothing that marks it up. */
function escape(text: string): string {
  return text
    .replaceAll(/\s+/g, ' ')
    .trim()
    .replaceAll(/[\\`*_<[\]]/g, String.raw`\$&`)
}
