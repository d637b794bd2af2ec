import t from 'tap'
import { format } from 'prettier'
import { parseArguments } from '../../benchmarks/args.js'
import { cases } from '../../benchmarks/cases.js'
import { readmeGap, renderReadme } from '../../benchmarks/readme.js'
import { type Measurement, type Report, compare, summarise } from '../../benchmarks/results.js'
import { rows } from '../../benchmarks/rows.js'

const readme = '# a\n\n<!-- benchmarks:begin -->\n\nstale\n\n<!-- benchmarks:end -->\n\nlast\n'

function reportOf(rounds: number, more: Partial<Report> = {}): Report {
  const measurements: Measurement[] = ['per-dial', 'node-ipc'].flatMap((row, at) =>
    Array.from({ length: rounds }, (_, round) => ({
      round,
      case: 'unary-64B',
      row,
      metrics: { p50: (at + 1) * 1000, cpu: 0.5 }
    }))
  )
  return {
    date: '2026-01-02T03:04:05.000Z',
    machine: { cpu: 'a cpu', cores: 2, memoryBytes: 2 ** 30, system: 'linux 6 x64' },
    versions: { node: '20.0.0' },
    commit: null,
    options: { rounds, durationMs: 1000, warmUpMs: 500 },
    results: summarise(measurements),
    ratios: compare(measurements, 'per-dial'),
    missing: [{ case: 'dial', row: 'node-ipc', reason: 'it has *no* broker IDs' }],
    ...more
  }
}

t.test('the report replaces what is between the markers, and nothing else', (t) => {
  const text = renderReadme(readme, reportOf(3))
  t.match(text, /^# a\n\n<!-- benchmarks:begin -->\n\nMeasured on 2026-01-02: a cpu, 2 cores, linux 6 x64;\n/)
  t.ok(text.endsWith('\n\n<!-- benchmarks:end -->\n\nlast\n'))
  t.notMatch(text, /stale/)
  t.match(text, /`per-dial` +\| +1,000 µs \|/, 'the baseline has no ratio')
  t.match(text, /`node-ipc` +\| +2,000 µs \(2×\) \|/)
  t.match(text, /Median of 3 rounds/)
  t.match(text, /Where we lose: /)
  t.equal(renderReadme(text, reportOf(3)), text, 'twice gives the same')
  t.end()
})

t.test('one round is called one', (t) => {
  t.match(renderReadme(readme, reportOf(1)), /Median of 1 round,/)
  t.end()
})

t.test('a gap is a dash, with its reason below the tables', (t) => {
  const text = renderReadme(readme, reportOf(1))
  const note = /^([¹²³⁴]) it has \\\*no\\\* broker IDs$/m.exec(text)?.[1]
  t.ok(note)
  const line = text.split('\n').find((one) => one.startsWith('| `node-ipc`'))
  t.match(line?.split('|')[5], `–${note}`, 'in the column of dial')
  t.match(text, /^[¹²³⁴] not counted there$/m, 'without a reason in the report')
  t.end()
})

t.test('it is as prettier would have it', async (t) => {
  const text = renderReadme(readme, reportOf(2))
  t.equal(await format(text, { parser: 'markdown', printWidth: 110 }), text)
})

t.test('markers that are missing, doubled or in the wrong order are refused', (t) => {
  const [begin, end] = ['<!-- benchmarks:begin -->', '<!-- benchmarks:end -->']
  for (const [text, message] of [
    [end, /begin --> 0 times/],
    [begin, /end --> 0 times/],
    [begin + begin + end, /begin --> 2 times/],
    [begin + end + end, /end --> 2 times/],
    [end + begin, /end --> before/]
  ] as const) {
    t.throws(() => renderReadme(text, reportOf(1)), { message }, text)
  }
  t.end()
})

t.test('a selection that leaves gaps is named; a full one is not', (t) => {
  t.equal(readmeGap({ cases, rows }), undefined)
  t.match(readmeGap({ cases: cases.filter(({ quick }) => quick), rows }), /left out are: .*live-1000/)
  const fewer = rows.filter(({ name }) => name !== 'go-mux')
  t.match(readmeGap({ cases, rows: fewer }), /left out are: go-mux\./)
  const noStdio = rows.filter(({ name }) => !name.endsWith('-stdio'))
  t.equal(readmeGap({ cases, rows: noStdio }), undefined, 'not in the table')
  t.end()
})

t.test('--readme is refused before the run with what makes its figures incomplete', (t) => {
  const errors = t.capture(console, 'error')
  for (const [argv, message] of [
    [['--quick'], /leave out --quick/],
    [['--only=dial'], /left out are: unary-64B/],
    [['--profile=x'], /no profile/]
  ] as const) {
    t.same(parseArguments(['--readme', ...argv]), { t: 'exit', code: 2 })
    t.match(errors(), [{ args: [message] }])
    t.match(parseArguments(argv), { t: 'run', args: { readme: false } })
  }
  t.match(parseArguments(['--readme']), { t: 'run', args: { readme: true } })
  t.end()
})
