import '../helpers/plain-children.js'
import t from 'tap'
import type { Arguments } from '../../benchmarks/args.js'
import { cases } from '../../benchmarks/cases.js'
import type { Row } from '../../benchmarks/rows.js'
import { type Outcome, run } from '../../benchmarks/run.js'

const timing = { warmUpMs: 1, durationMs: 2 }

/** A row whose host program is a line of JavaScript, with the request it got as `request`. */
function program(name: string, script: string, more: Partial<Row> = {}): Row {
  const code = `const request = JSON.parse(process.argv[1]); ${script}`
  return { name, text: name, host: { t: 'program', command: [process.execPath, '-e', code] }, ...more }
}

/** Answers at once. */
const quick = (name: string, more: Partial<Row> = {}): Row =>
  program(
    name,
    'console.log(JSON.stringify({ p50: 1, rate: request.durationMs, heap: request.row.length }))',
    more
  )

async function runOf(
  rows: readonly Row[],
  rounds: Arguments['rounds'],
  names: readonly string[] = ['unary-64B'],
  rowsNamed = true
): Promise<{ readonly outcome: Outcome; readonly shown: string[] }> {
  const shown: string[] = []
  const progress = {
    show: (done: number, total: number, what: string) => void shown.push(`${done}/${total} ${what}`),
    clear() {}
  }
  const chosen = cases.filter(({ name }) => names.includes(name))
  const args = { cases: chosen, rows, rowsNamed, timing, rounds, json: undefined }
  return { outcome: await run(args, progress, new AbortController().signal), shown }
}

t.test('the rows of a case follow each other, and each round begins with another row', async (t) => {
  const rows = ['a', 'bb'].map((name) => quick(name))
  const { outcome, shown } = await runOf(rows, { t: 'exact', count: 2 }, ['unary-64B', 'idle'])
  t.same(shown, [
    '0/8 unary-64B a',
    '1/8 unary-64B bb',
    '2/8 idle a',
    '3/8 idle bb',
    '4/8 unary-64B bb',
    '5/8 unary-64B a',
    '6/8 idle bb',
    '7/8 idle a'
  ])
  t.equal(outcome.rounds, 2)
  t.same(
    outcome.measurements.map(({ round, row }) => `${round}${row}`),
    ['0a', '0bb', '0a', '0bb', '1bb', '1a', '1bb', '1a']
  )
  t.same(outcome.measurements[1]?.metrics, { p50: 1, rate: 2, heap: 2 }, 'the program got its request')
})

t.test('without a number there are as many rounds as the time allows', async (t) => {
  const within = async (limitMs: number): Promise<number> =>
    (await runOf([quick('a')], { t: 'within', limitMs, most: 3 })).outcome.rounds
  t.equal(await within(0), 1, 'at least one')
  t.equal(await within(Infinity), 3, 'at most so many')
})

t.test('what cannot be measured is listed, with the reason', async (t) => {
  const { outcome } = await runOf(
    [
      quick('absent', { prepare: async () => 'not installed: absent' }),
      quick('unable', { cannot: { dial: 'no broker' } }),
      program('crashes', "throw new TypeError('boom')"),
      program('ends', 'process.exit(3)'),
      { ...quick('nowhere'), host: { t: 'program', command: ['/nowhere/at/all'] } },
      quick('fine')
    ],
    { t: 'exact', count: 1 },
    ['dial']
  )
  t.same(outcome.missing, [
    { case: 'dial', row: 'absent', reason: 'not installed: absent' },
    { case: 'dial', row: 'unable', reason: 'no broker' },
    { case: 'dial', row: 'crashes', reason: 'TypeError: boom' },
    { case: 'dial', row: 'ends', reason: 'its host has ended with 3' },
    { case: 'dial', row: 'nowhere', reason: '/nowhere/at/all: ENOENT' }
  ])
  t.match(outcome.measurements, [{ case: 'dial', row: 'fine' }])
})

t.test('a host that leaves children behind is waited for no longer than itself', async (t) => {
  const child = "require('child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']"
  const { outcome } = await runOf(
    [program('a', `${child}, { stdio: 'inherit' }); console.log('{}'); process.exit(0)`)],
    { t: 'exact', count: 1 }
  )
  t.same(outcome.measurements, [{ round: 0, case: 'unary-64B', row: 'a', metrics: {} }])
})

t.test(
  'a row much like another is measured in the cases of a quick run alone, unless it is named',
  async (t) => {
    const rows = [quick('a'), { ...quick('b'), brief: true }]
    const names = ['unary-64B', 'idle']
    const all = await runOf(rows, { t: 'exact', count: 1 }, names, false)
    t.same(all.shown, ['0/3 unary-64B a', '1/3 unary-64B b', '2/3 idle a'])
    t.match(all.outcome.missing, [{ case: 'idle', row: 'b', reason: /unless --rows names it/ }])
    const named = await runOf(rows, { t: 'exact', count: 1 }, names)
    t.equal(named.shown.length, 4)
  }
)
