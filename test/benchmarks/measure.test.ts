import t from 'tap'
import { type Link, chunk, chunkBytes } from '../../benchmarks/link.js'
import {
  type Measure,
  type Metrics,
  fairness,
  inFlight,
  latency,
  transfers
} from '../../benchmarks/measure.js'

/** A link within this process, that does all right. */
const right: Required<Omit<Link, 'close'>> = {
  call: async (payload) => payload,
  callback: async (payload) => payload,
  dial: async (payload) => payload,
  keep: async (payload) => payload,
  down: async (count, onChunk) => {
    for (let index = 0; index < count; index++) onChunk(chunk(index))
  },
  up: async (count) => ({ count, bytes: count * chunkBytes }),
  both: (count, onChunk) => right.down(count, onChunk),
  usage: async () => ({ cpuSeconds: 0, rssBytes: 1, heapBytes: 1, fds: 1 })
}

/** Measures a link as short as can be, and tells how often it was closed. */
async function measured(
  measure: Measure,
  faults: Partial<Link> = {}
): Promise<{ readonly metrics: Metrics | Error; readonly closed: number }> {
  let closed = 0
  const close = async (): Promise<void> => {
    closed += 1
  }
  const open = async (): Promise<Link> => ({ ...right, ...faults, close })
  const metrics = await measure({ open, warmUpMs: 0, durationMs: 0 }).catch((error: Error) => error)
  return { metrics, closed }
}

t.test('an answer that is not what was sent ends the cell', async (t) => {
  const call = async (payload: Buffer): Promise<Buffer> => Buffer.alloc(payload.length)
  for (const measure of [latency('call', 64), inFlight(8), fairness]) {
    t.match(await measured(measure), { metrics: { cpu: Number }, closed: 1 })
    t.match(await measured(measure, { call }), {
      metrics: { message: 'call: the answer is not what was sent' },
      closed: 1
    })
  }
})

t.test('a chunk that is wrong, missing or too many ends the cell', async (t) => {
  const send = (count: number, first: number): Required<Link>['down'] => {
    return async (_count, onChunk) => {
      for (let index = first; index < count; index++) onChunk(chunk(index))
    }
  }
  for (const direction of ['down', 'both'] as const) {
    const measure = transfers(direction)
    t.match(await measured(measure), { metrics: { rate: Number }, closed: 1 })
    const wrong = async (down: Link['down'], message: RegExp | string): Promise<void> => {
      t.match(await measured(measure, { [direction]: down }), { metrics: { message }, closed: 1 })
    }
    await wrong(send(128, 1), /chunk 0 is wrong/)
    await wrong(send(127, 0), `${direction}: 127 chunks came of 128`)
    await wrong(send(129, 0), `${direction}: 129 chunks came of 128`)
    await wrong(async (_count, onChunk) => onChunk(chunk(0).subarray(1)), /chunk 0 is wrong: 65535 bytes/)
  }
  const up = transfers('up')
  t.match(await measured(up), { metrics: { rate: Number } })
  t.match(await measured(up, { up: async (count) => ({ count, bytes: 0 }) }), {
    metrics: { message: 'up: 0 chunks came of 128' }
  })
})

t.test('a percentile needs as many samples as make one lie above it', async (t) => {
  const { metrics } = await measured(latency('call', 64))
  t.same(Object.keys(metrics).sort(), ['cpu', 'p50'], 'one sample')
})

t.test('a transfer that fails beside the calls ends the cell', async (t) => {
  let transfers = 0
  const down: Required<Link>['down'] = async (count, onChunk) => {
    transfers += 1
    if (transfers === 2) throw new Error('the stream is broken')
    return right.down(count, onChunk)
  }
  // Calls that never end: only the failure can.
  let calls = 0
  const call = (payload: Buffer): Promise<Buffer> => {
    calls += 1
    return calls > 1 ? new Promise(() => {}) : right.call(payload)
  }
  t.match(await measured(fairness, { down, call }), {
    metrics: { message: 'the stream is broken' },
    closed: 1
  })
})

t.test('a case that the link has no way for says so', async (t) => {
  const { dial: _without, ...faults } = right
  const measure = latency('dial', 64)
  await t.rejects(
    measure({ open: async () => ({ ...faults, close: async () => {} }), warmUpMs: 0, durationMs: 0 }),
    {
      message: 'this row has no dial'
    }
  )
})
