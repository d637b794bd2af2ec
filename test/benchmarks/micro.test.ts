import '../helpers/plain-children.js'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { micros } from '../../benchmarks/micro/list.js'
import { timeMicros } from '../../benchmarks/micro/time.js'
import { packageRoot } from '../helpers/paths.js'

function runMicro(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const program = join(packageRoot, 'dist/benchmarks/micro/main.js')
  return new Promise((resolve) => {
    execFile(process.execPath, [program, ...args], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr })
    })
  })
}

t.test('every operation gives the right result, and has a name of its own', (t) => {
  for (const { name, run, check } of micros) t.doesNotThrow(() => check(run()), name)
  t.equal(new Set(micros.map(({ name }) => name)).size, micros.length)
  t.end()
})

t.test('no operation passes with a result that is wrong', (t) => {
  for (const { name, check } of micros) t.throws(() => check('wrong'), name)
  t.end()
})

t.test('a wrong result is an error that names the operation, before anything is timed', async (t) => {
  let runs = 0
  const wrong = {
    name: 'broken',
    text: '',
    run: () => (runs += 1),
    check: () => {
      throw new Error('not 1')
    }
  }
  await t.rejects(timeMicros([wrong], 1), { message: 'broken gives a wrong result: not 1' })
  t.equal(runs, 1)
})

t.test('the chosen operations are timed, and written to a file too', async (t) => {
  const file = join(t.testdir(), 'micro.json')
  const { code, stdout, stderr } = await runMicro(
    '--only=yamux-decode,yamux-encode',
    '--duration-ms=5',
    `--json=${file}`
  )
  t.same([code, stderr], [0, ''], 'quiet')
  t.match(stdout, /^operation +ns\/op +ops\/s +spread\nyamux-encode +\d.*\nyamux-decode +\d.*\n$/)
  const report: unknown = JSON.parse(await readFile(file, 'utf8'))
  t.match(report, {
    durationMs: 5,
    results: [{ name: 'yamux-encode', nsPerOp: Number, opsPerSecond: Number, spread: Number }, {}]
  })
})

t.test('a name that there is not is wrong usage; --help lists those that there are', async (t) => {
  t.match(await runMicro('--only=nothing'), { code: 2, stdout: '', stderr: /no operation "nothing"/ })
  t.match(await runMicro('--help'), { code: 0, stderr: '', stdout: /Operations:.*handshake-parse/s })
})
