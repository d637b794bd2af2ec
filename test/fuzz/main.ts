import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { engines, loadEngine } from '../../lib/mux/engines.js'
import { playCase, queuedBytesLimit, unreadBytesLimit } from './case.js'
import type { Engine } from '../../lib/mux/engines.js'

const usage = `Plays a hostile yamux peer against an engine.

  npm run fuzz -- [--engine native|libp2p] [--seconds N] [--seed N] [--case N]

  --engine   which engine; default native
  --seconds  how long; default 10
  --seed     of the run; default a new one, which is printed
  --case     only this case of the run, and every step of it
`

/** The time one case may keep the event loop to itself, or go without an end; some take a second. */
const hangMs = 60_000

interface Options {
  readonly engine: Engine
  readonly seconds: number
  readonly seed: number
  /** Undefined: as many as there is time for. */
  readonly only: number | undefined
}

function readOptions(): Options | undefined {
  try {
    const { values } = parseArgs({
      options: {
        engine: { type: 'string', default: 'native' },
        seconds: { type: 'string', default: '10' },
        seed: { type: 'string', default: String(randomInt(2 ** 32 - 1)) },
        case: { type: 'string' },
        help: { type: 'boolean' }
      }
    })
    const engine = engines.find((name) => name === values.engine)
    const numbers = [values.seconds, values.seed, values.case ?? '0'].map(Number)
    if (values.help === true || engine === undefined || !numbers.every((value) => value >= 0))
      return undefined
    const [seconds = 0, seed = 0, only] = numbers
    return { engine, seconds, seed, only: values.case === undefined ? undefined : only }
  } catch {
    return undefined
  }
}

async function fuzz({ engine, seconds, seed, only }: Options): Promise<boolean> {
  const create = await loadEngine(engine)
  const replay = `npm run fuzz -- --engine ${engine} --seed ${seed}`
  process.stdout.write(`engine ${engine}, seed ${seed}\n`)

  const shared = new SharedArrayBuffer(4)
  const current = new Int32Array(shared)
  const watchdog = new Worker(new URL('watchdog.js', import.meta.url), {
    workerData: { shared, replay, timeoutMs: hangMs }
  })
  watchdog.unref()
  const crashes: unknown[] = []
  process.on('uncaughtException', (error) => crashes.push(error))

  const outcomes = new Map<string, number>()
  const startedAt = performance.now()
  const elapsedMs = (): number => performance.now() - startedAt
  let frames = 0
  let bytes = 0
  let queued = 0
  let unread = 0
  let shownAt = 0
  let number = only ?? 0

  for (; only === undefined ? elapsedMs() < seconds * 1000 : number === only; number++) {
    Atomics.store(current, 0, number)
    Atomics.notify(current, 0)
    const report = await playCase(create, seed, number)
    const problems = [...report.problems, ...crashes.map((error) => `uncaught: ${trace(error)}`)]
    frames += report.frames
    bytes += report.bytes
    queued = Math.max(queued, report.mostQueuedBytes)
    unread = Math.max(unread, report.mostUnreadBytes)
    outcomes.set(report.outcome, (outcomes.get(report.outcome) ?? 0) + 1)
    if (problems.length > 0 || only !== undefined) {
      const steps = only === undefined ? report.steps.slice(-10) : report.steps
      process.stdout.write(
        `\ncase ${number}, ${report.outcome}\n${steps.map((step) => `  ${step}\n`).join('')}`
      )
    }
    if (problems.length > 0) {
      process.stdout.write(problems.map((problem) => `FAILED: ${problem}\n`).join(''))
      process.stdout.write(`Replay it:\n  ${replay} --case ${number}\n`)
      return false
    }
    if (process.stdout.isTTY && elapsedMs() - shownAt > 200) {
      shownAt = elapsedMs()
      process.stdout.write(`\r${number + 1} cases, ${frames} frames, ${Math.round(shownAt / 1000)} s `)
    }
  }

  const ends = [...outcomes].map(([outcome, count]) => `${outcome} ${count}`).join(', ')
  process.stdout.write(
    `${process.stdout.isTTY ? '\r' : ''}${only === undefined ? number : 1} cases, ${frames} frames, ` +
      `${(bytes / 2 ** 20).toFixed(1)} MiB in ${(elapsedMs() / 1000).toFixed(1)} s\n` +
      `sessions ended: ${ends}\n` +
      `queued at most ${queued} of ${queuedBytesLimit} bytes, ` +
      `unread at most ${unread} of ${unreadBytesLimit}\n`
  )
  return true
}

function trace(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

const options = readOptions()
if (options === undefined) {
  process.stderr.write(usage)
  process.exitCode = 2
} else if (!(await fuzz(options))) {
  process.exitCode = 1
}
