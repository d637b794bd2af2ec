import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { handleUnaryCall } from '@grpc/grpc-js'
import t from 'tap'
import { compare, differential, type KeptCase } from '../contract/differential.js'
import type { Carrier } from '../contract/differential-play.js'
import { scenarioFrom } from '../contract/differential-scenario.js'
import { packageRoot } from '../helpers/paths.js'
import { allowed, carriers } from './differential-carriers.js'

/** `SEED` and `PATH_OF_RUN` replay what a failure prints; `RUNS` is how many random scenarios are played. */
const { SEED, RUNS, PATH_OF_RUN } = process.env
if (RUNS !== undefined) t.setTimeout(0)

const cases = JSON.parse(
  await readFile(join(packageRoot, 'test/grpc/differential-cases.json'), 'utf8')
) as KeptCase[]

t.test('each carrier shows the same calls to caller and handler', async (t) =>
  differential(t, carriers, {
    cases,
    allowed,
    runs: Number(RUNS ?? 60),
    seed: Number(SEED ?? 1),
    path: PATH_OF_RUN,
    limitMs: RUNS === undefined ? 60_000 : undefined
  })
)

/** The scenario here is a unary call. */
type Handler = handleUnaryCall<Buffer, Buffer>

t.test('a carrier with a fault is told, with the scenario and what was seen', async (t) => {
  const [sound] = carriers as [Carrier]
  /** The same carrier with another service behind it: faults as a wire could have them. */
  const faulty = (change: (handler: Handler) => Handler): Carrier => ({
    name: 'faulty',
    open: async ({ services, ...rest }) =>
      sound.open({
        ...rest,
        services: services.map((binding) => ({
          ...binding,
          handlers: Object.fromEntries(
            Object.entries(binding.handlers).map(([name, handler]) => [name, change(handler as Handler)])
          )
        }))
      })
  })
  const trailer: KeptCase['scenario'] = { handler: { trailer: [['x-a', 'one']] } }
  const faults = {
    'a trailer is lost': faulty(
      (handler) => (call, answer) => handler(call, (error, message) => answer(error, message))
    ),
    'a message is changed': faulty(
      (handler) => (call, answer) =>
        handler(call, (error, _message, ...rest) => answer(error, Buffer.from('other'), ...rest))
    ),
    'metadata are made up': faulty((handler) => (call, answer) => {
      call.metadata.add('x-made-up', 'by the wire')
      handler(call, answer)
    })
  }
  for (const [title, carrier] of Object.entries(faults)) {
    await t.test(title, async (t) => {
      await t.rejects(compare([sound, carrier], [scenarioFrom(trailer)]), {
        message: /faulty[^]*scenario \{"kind":"unary"[^]*faulty \{/
      })
    })
  }
  await t.resolves(compare([sound, faulty((handler) => handler)], [scenarioFrom(trailer)]))
})
