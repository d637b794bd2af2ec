import t from 'tap'
import { type Measurement, compare, summarise, unitOf } from '../../benchmarks/results.js'

const measured = (round: number, row: string, p50: number): Measurement => ({
  round,
  case: 'dial',
  row,
  metrics: { p50 }
})

t.test('a result is the median of the rounds, with the range and all values in order', (t) => {
  const [result, ...others] = summarise([measured(0, 'a', 5), measured(1, 'a', 1), measured(2, 'a', 2)])
  t.same(result, {
    case: 'dial',
    row: 'a',
    metric: 'p50',
    unit: 'us',
    median: 2,
    min: 1,
    max: 5,
    runs: [5, 1, 2]
  })
  t.same(others, [])
  t.match(summarise([measured(0, 'a', 5), measured(1, 'a', 1)]), [{ median: 3 }])
  t.end()
})

t.test('ratios are taken within a round, so that a slow round changes none', (t) => {
  const ratios = compare(
    [
      measured(0, 'base', 100),
      measured(0, 'a', 200),
      measured(1, 'base', 1000),
      measured(1, 'a', 2000),
      measured(2, 'base', 100),
      measured(2, 'a', 300)
    ],
    'base'
  )
  t.same(ratios, [{ case: 'dial', row: 'a', metric: 'p50', vs: 'base', ratio: 2, low: 2, high: 3 }])
  t.end()
})

t.test('a round in which one of the two is missing has no ratio', (t) => {
  t.match(compare([measured(0, 'base', 1), measured(1, 'base', 2), measured(1, 'a', 6)], 'base'), [
    { ratio: 3, low: 3, high: 3 }
  ])
  t.same(compare([measured(0, 'base', 1), measured(1, 'a', 6)], 'base'), [])
  t.same(compare([measured(0, 'base', 0), measured(0, 'a', 6)], 'base'), [], 'a baseline of 0')
  t.end()
})

t.test('a rate is megabytes where bytes are streamed, else calls', (t) => {
  t.equal(unitOf('down-64KiB', 'rate'), 'MB/s')
  t.equal(unitOf('fairness', 'rate'), 'MB/s')
  t.equal(unitOf('inflight-64', 'rate'), 'calls/s')
  t.equal(unitOf('down-64KiB', 'cpu'), 's/10k calls')
  t.end()
})
