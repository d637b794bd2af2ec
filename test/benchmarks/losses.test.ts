import t from 'tap'
import { findLosses, formatLosses } from '../../benchmarks/losses.js'
import type { Metric } from '../../benchmarks/measure.js'
import { type Report, compare, summarise } from '../../benchmarks/results.js'

/** A report of one metric of the case `dial`, with the values of the rounds by row. */
function reportOf(metric: Metric, rows: Readonly<Record<string, readonly number[]>>): Report {
  const measurements = Object.entries(rows).flatMap(([row, runs]) =>
    runs.map((value, round) => ({ round, case: 'dial', row, metrics: { [metric]: value } }))
  )
  return {
    date: '2026-01-01T00:00:00.000Z',
    machine: { cpu: 'a', cores: 2, memoryBytes: 1, system: 'b' },
    versions: {},
    commit: null,
    options: {
      rounds: Math.max(...Object.values(rows).map(({ length }) => length)),
      durationMs: 1,
      warmUpMs: 1
    },
    results: summarise(measurements),
    ratios: compare(measurements, 'per-dial'),
    missing: []
  }
}

t.test('a row is worse when it takes longer, or does less in a second', (t) => {
  const rows = { 'per-dial': [10, 10], 'stream-a': [20, 40] }
  t.match(findLosses(reportOf('p50', rows)), [
    { case: 'dial', row: 'stream-a', metric: 'p50', vs: 'per-dial', ratio: 3, low: 2, high: 4, factor: 3 }
  ])
  t.same(findLosses(reportOf('rate', rows)), [])
  const slower = { 'per-dial': [20, 40], 'stream-a': [10, 10] }
  t.match(findLosses(reportOf('rate', slower)), [{ metric: 'rate', low: 0.25, high: 0.5 }])
  t.same(findLosses(reportOf('p50', slower)), [])
  t.end()
})

t.test('a range that holds 1 is no loss', (t) => {
  t.same(findLosses(reportOf('p50', { 'per-dial': [10, 10], 'stream-a': [10, 40] })), [])
  t.end()
})

t.test('one round counts from a quarter on', (t) => {
  t.same(findLosses(reportOf('p50', { 'per-dial': [100], 'stream-a': [124] })), [])
  t.equal(findLosses(reportOf('p50', { 'per-dial': [100], 'stream-a': [126] })).length, 1)
  t.end()
})

t.test('the better of the rows without this project counts, and no row but those of one stream', (t) => {
  const rows = {
    'per-dial': [20, 20],
    'per-dial-tuned': [10, 10],
    'stream-a': [15, 15],
    'socket-mux': [90, 90]
  }
  const found = findLosses(reportOf('p50', rows))
  t.equal(found.length, 1)
  t.match(found, [{ row: 'stream-a', vs: 'per-dial-tuned', ratio: 1.5 }])
  t.end()
})

t.test('the sentence names the best row of each figure, where that loses too', (t) => {
  const losses = findLosses(reportOf('rate', { 'per-dial': [10], 'stream-a': [5], 'stream-b': [4] }))
  t.equal(formatLosses(losses), 'Where we lose: dial (stream-a: 0.5x the throughput of per-dial).')
  const other = findLosses(reportOf('rate', { 'per-dial': [10], 'stream-a': [11], 'stream-b': [4] }))
  t.match(other, [{ row: 'stream-b', everyRow: false }])
  for (const none of [other, []]) t.equal(formatLosses(none), 'Where we lose: nowhere in what was measured.')
  t.end()
})
