import { readFileSync } from 'node:fs'
import t from 'tap'
import { formatHtml } from '../../benchmarks/html/report.js'
import { parseReport } from '../../benchmarks/report-file.js'
import { fixture } from '../helpers/paths.js'

const content = readFileSync(fixture('benchmarks-report.json'), 'utf8')
const report = parseReport(content)
const count = (page: string, pattern: RegExp): number => [...page.matchAll(pattern)].length

t.test('each chart is labelled and has a table', (t) => {
  const page = formatHtml(report)
  const figures = page.split('<figure').slice(1)
  t.ok(figures.length > 10)
  for (const figure of figures) {
    t.match(figure, /<figcaption>.*<svg\s+role="img"\s+aria-labelledby=.*<title.*<desc.*<table>\s*<caption>/s)
    t.match(figure, /scope="col".*scope="row"/s)
  }
  t.notMatch(page, /NaN|Infinity|undefined|<script|https?:/)
  for (const id of page.matchAll(/ id="([^"]+)"/g)) t.equal(page.split(` id="${id[1]}"`).length, 2, id[1]!)
  t.end()
})

t.test('what comes from the report is text, never markup', (t) => {
  const evil = '<script>"\'&'
  const page = formatHtml({
    ...report,
    commit: evil,
    versions: { [evil]: evil },
    machine: { ...report.machine, cpu: evil },
    results: report.results.map((one) => ({ ...one, row: one.row === 'go-mux' ? evil : one.row })),
    missing: [{ case: evil, row: evil, reason: evil }]
  })
  t.notOk(page.includes('<script'))
  t.ok(page.includes('&lt;script&gt;&quot;&#39;&amp;'))
  t.end()
})

t.test('there are charts of what was measured, and no others', (t) => {
  const results = report.results.filter((one) => one.case === 'dial' && one.metric === 'p50')
  t.equal(count(formatHtml({ ...report, results }), /<figure/g), 1)
  const none = formatHtml({ ...report, results: [], ratios: [] })
  t.equal(count(none, /<figure/g), 0)
  t.match(none, /Nothing was measured\..*it has no broker IDs/s)
  t.match(none, /Not known: per-dial was not measured/)
  t.end()
})

t.test('one round has no ranges, zero has a place on every axis', (t) => {
  const results = report.results.map((one) => ({
    ...one,
    min: one.median,
    max: one.median,
    runs: [one.median]
  }))
  const page = formatHtml({ ...report, results, options: { ...report.options, rounds: 1 } })
  t.match(page, /There was one round/)
  t.notOk(page.includes('class="whisker"'))
  const zero = report.results.map((one) => ({ ...one, median: 0, min: 0, max: 0, runs: [0, 0] }))
  t.notMatch(formatHtml({ ...report, results: zero }), /NaN|Infinity/)
  t.end()
})

t.test('a file of another shape is refused with the place', (t) => {
  t.throws(() => parseReport('{}'), { message: 'the report.date has to be a text, not missing' })
  const wrong = JSON.stringify({ ...report, results: [{ ...report.results[0], median: 'x' }] })
  t.throws(() => parseReport(wrong), {
    message: 'the report.results[0].median has to be a number from 0, not "x"'
  })
  t.end()
})
