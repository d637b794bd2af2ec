import { once } from 'node:events'
import { addAbortSignal } from 'node:stream'
import { finished, pipeline } from 'node:stream/promises'
import t from 'tap'
import { createLibp2pMuxer } from '../../lib/mux/libp2p.js'
import { createNativeMuxer } from '../../lib/mux/native.js'
import { createPair } from '../helpers/pair.js'
import { createSocketPair } from '../helpers/socket-pair.js'
import { ack, createYamuxPeer, data, frame, ping, rst, syn, update } from '../helpers/yamux-peer.js'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Test } from 'tap'
import type { Muxer, MuxerOptions } from '../../lib/mux/muxer.js'
import type { YamuxPeer } from '../helpers/yamux-peer.js'

const windowBytes = 262_144

interface Session {
  readonly muxer: Muxer
  readonly peer: YamuxPeer
  readonly accepted: Duplex[]
}

/** The engine as the client, whose IDs are odd, and a peer that is driven frame by frame. */
function start(t: Test, options: Partial<MuxerOptions> = {}, create = createNativeMuxer): Session {
  const [stream, peerStream] = createPair()
  const accepted: Duplex[] = []
  const listened = (substream: Duplex): Duplex => substream.on('error', () => {})
  const engine = create(stream, {
    role: 'client',
    onSubstream: (substream) => void accepted.push(listened(substream)),
    ...options
  })
  // The engine's own timers hold no process.
  const alive = setInterval(() => {}, 1000)
  t.teardown(async () => {
    clearInterval(alive)
    engine.abort(new Error('teardown'))
    peerStream.destroy()
    await engine.closed
  })
  const muxer = { ...engine, open: () => listened(engine.open()) }
  return { muxer, peer: createYamuxPeer(peerStream), accepted }
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise(setImmediate)
}

void t.test('no more substreams are opened than the peer’s backlog holds', async (t) => {
  const { muxer, peer } = start(t, { acceptBacklog: 2 })
  const [, second, third, fourth] = Array.from({ length: 4 }, () => muxer.open())
  third?.write('3')
  third?.end()
  fourth?.write('4')
  t.same(await peer.settle(), ['update syn 1 0', 'update syn 3 0'])
  t.equal(muxer.stats().substreams, 4)

  peer.send(frame(update, ack, 1))
  t.same(await peer.until('update fin 5 0'), ['data syn 5 "3"', 'update fin 5 0'], 'one place, one more')
  second?.destroy()
  t.same(await peer.until(/4/), ['update rst 3 0', 'data syn 7 "4"'], 'a reset makes room, too')
  peer.send(frame(update, ack, 1), frame(update, ack, 5), frame(update, ack, 9))
  muxer.open()
  t.same(await peer.settle(), ['update syn 9 0'], 'a second ACK frees nothing')
})

void t.test('an ACK waits for what takes it along, for its delay, or until there are sixteen', async (t) => {
  const { peer, accepted } = start(t, { acknowledgeDelayMs: 1000 })
  const open = (id: number): Buffer => frame(update, syn, id)
  peer.send(open(2), open(4))
  while (accepted.length < 2) await turns(1)
  await turns(5)
  accepted[1]?.write('answer')
  t.same(await peer.until(/answer/), ['data ack 4 "answer"'], 'and no ACK of the other before')
  peer.send(...Array.from({ length: 14 }, (_, index) => open(6 + 2 * index)))
  const acks = [2, ...Array.from({ length: 14 }, (_, index) => 6 + 2 * index)]
  // Well before the delay is over.
  const told = await Promise.race([peer.until('update ack 32 0'), turns(1000)])
  t.same(
    told,
    acks.map((id) => `update ack ${id} 0`)
  )

  const soon = start(t, { acknowledgeDelayMs: 1 })
  soon.peer.send(open(2))
  t.same(await soon.peer.until('update ack 2 0'), ['update ack 2 0'])
})

for (const [what, answer] of [
  ['data', frame(data, 0, 1, Buffer.from('x'))],
  ['FIN', frame(update, 4, 1)],
  ['RST', frame(update, rst, 1)]
] as const) {
  void t.test(`${what} says that a substream is taken, as ACK does`, async (t) => {
    const { muxer, peer } = start(t, { acceptBacklog: 1 })
    muxer.open()
    muxer.open()
    t.same(await peer.settle(), ['update syn 1 0'])
    peer.send(answer)
    t.same(await peer.settle(), ['update syn 3 0'])
  })
}

void t.test('a substream that waits for a place and is destroyed was never there', async (t) => {
  const { muxer, peer } = start(t, { acceptBacklog: 1 })
  muxer.open()
  muxer.open().destroy()
  const third = muxer.open()
  t.same(await peer.settle(), ['update syn 1 0'])
  peer.send(frame(update, ack, 1))
  third.write('third')
  t.same(await peer.until(/third/), ['data syn 3 "third"'])
})

void t.test('a substream that is not taken in time fails, makes room, and harms no other', async (t) => {
  const { muxer, peer } = start(t, { acceptBacklog: 2, openTimeoutMs: 30 })
  const taken = muxer.open()
  peer.send(frame(update, ack, 1))
  await peer.settle()
  const late = muxer.open()
  const [error] = (await once(late, 'error')) as [unknown]
  t.match(error, {
    code: 'ERR_STREAM_TIMEOUT',
    message: /substream 3 was not taken by the peer within 30 ms/
  })
  t.same(await peer.settle(), ['update syn 3 0', 'update rst 3 0'])
  t.notOk(taken.destroyed)
})

void t.test('a substream that was ended fails when its peer falls silent, and not before', async (t) => {
  const { muxer, peer } = start(t, { closeTimeoutMs: 40 })
  const substream = muxer.open()
  const open = muxer.open()
  peer.send(frame(update, ack, 1), frame(update, ack, 3))
  substream.end()
  const chunks: string[] = []
  substream.on('data', (chunk: Buffer) => chunks.push(chunk.toString()))
  await peer.until('update syn fin 1 0')
  peer.send(frame(data, 0, 1, Buffer.from('still here')))
  const [error] = (await once(substream, 'error')) as [unknown]
  t.match(error, { code: 'ERR_STREAM_TIMEOUT', message: /has sent nothing for 40 ms/ })
  t.same(chunks, ['still here'])
  t.same(await peer.settle(), ['update syn 3 0', 'update rst 1 0'])
  t.notOk(open.destroyed, 'one that was not ended may be silent')
})

for (const [engine, create] of [
  ['native', createNativeMuxer],
  ['libp2p', createLibp2pMuxer]
] as const) {
  void t.test(`${engine}: pings may overlap, and late or unasked answers harm nobody`, async (t) => {
    const { muxer, peer } = start(t, {}, create)
    const first = muxer.ping()
    const second = muxer.ping()
    await peer.until('ping syn 0 1')
    peer.send(frame(ping, ack, 0, 77), frame(ping, ack, 0, 1))
    t.ok((await second) >= 0)
    peer.send(frame(ping, ack, 0, 1), frame(ping, ack, 0, 0))
    t.ok((await first) >= 0)
    await t.rejects(muxer.ping({ timeoutMs: 5 }), { code: 'ERR_SESSION_KEEPALIVE' })
    peer.send(frame(ping, ack, 0, 2))
    await peer.settle()
    t.notOk(muxer.over)
    for (const timeoutMs of [0, -1, Number.NaN]) {
      await t.rejects(muxer.ping({ timeoutMs }), { code: 'ERR_CONFIG_INVALID' })
    }
    const lost = t.rejects(muxer.ping(), { code: 'ERR_SESSION_CLOSED' })
    muxer.abort(new Error('over'))
    await lost
    await t.rejects(muxer.ping(), { code: 'ERR_SESSION_CLOSED' })
  })

  void t.test(`${engine}: keep-alive ends the session of a peer that answers no more`, async (t) => {
    const { muxer, peer } = start(t, { keepAliveIntervalMs: 5, keepAliveTimeoutMs: 30 }, create)
    const substream = muxer.open()
    const failed = once(substream, 'error')
    for (const value of [0, 1, 2]) {
      await peer.until(`ping syn 0 ${value}`)
      peer.send(frame(ping, ack, 0, value))
    }
    t.match(await muxer.closed, { code: 'ERR_SESSION_KEEPALIVE', hint: String })
    t.match(await failed, [{ code: 'ERR_SESSION_CLOSED', cause: { code: 'ERR_SESSION_KEEPALIVE' } }])
  })
}

/** What the engine grants while `total` bytes arrive as fast as it lets them; the answer to a ping takes `turns`. */
async function grants(t: Test, maxWindowBytes: number, turns: number, total: number): Promise<number[]> {
  const { muxer, peer, accepted } = start(t, { role: 'server', maxWindowBytes })
  const credits: number[] = []
  peer.send(frame(update, syn, 1))
  await peer.until('update ack 1 0')
  accepted[0]?.resume()
  let window = windowBytes
  let sent = 0
  while (sent < total) {
    const bytes = Math.min(window, 64 * 1024, total - sent)
    if (bytes > 0) {
      peer.send(frame(data, 0, 1, Buffer.alloc(bytes)))
      window -= bytes
      sent += bytes
    }
    // Which ping of the engine's own this answers is its business; `settle` has numbers from 1000 on.
    for (const text of await peer.settle()) {
      const credit = /^update 1 (\d+)$/.exec(text)
      if (credit !== null) {
        credits.push(Number(credit[1]))
        window += Number(credit[1])
      }
      const asked = /^ping syn 0 (\d+)$/.exec(text)
      if (asked !== null) {
        for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate)
        peer.send(frame(ping, ack, 0, Number(asked[1])))
      }
    }
  }
  t.notOk(muxer.over)
  return credits
}

void t.test(
  'the window grows where the round trip holds the writer up, and no further than allowed',
  async (t) => {
    const credits = await grants(t, 1024 * 1024, 2000, 16 * 1024 * 1024)
    t.equal(credits[0], windowBytes / 2, 'before a round trip is known the window stays')
    const granted = credits.reduce((sum, credit) => sum + credit, 0)
    const consumed = granted - 768 * 1024
    t.ok(consumed > 0 && consumed <= 16 * 1024 * 1024, 'credit is what was read, and 768 KiB more')
    t.ok(credits.at(-1)! >= 512 * 1024, 'half of the larger window at a time')
  }
)

void t.test('a window that must not grow does not', async (t) => {
  const credits = await grants(t, windowBytes, 2000, 4 * 1024 * 1024)
  t.ok(credits.length > 0 && credits.every((credit) => credit < windowBytes / 2 + 64 * 1024))
})

void t.test('what a frame may hold is what the window may hold', async (t) => {
  const { muxer, peer } = start(t, { maxWindowBytes: 1024 * 1024 })
  peer.send(frame(data, 0, 9, 0, 1024 * 1024 + 1))
  t.ok((await peer.end()).includes('goAway 0 1'))
  t.match(await muxer.closed, { code: 'ERR_SESSION_PROTOCOL' })
})

void t.test('options that cannot be are refused', async (t) => {
  const refused: Partial<MuxerOptions>[] = [
    { acceptBacklog: 0 },
    { acceptBacklog: 1.5 },
    { acknowledgeDelayMs: -1 },
    { acknowledgeDelayMs: 1.5 },
    { maxSubstreams: Infinity },
    { openTimeoutMs: 0 },
    { closeTimeoutMs: -1 },
    { keepAliveIntervalMs: 0 },
    { keepAliveTimeoutMs: Number.NaN },
    { maxWindowBytes: windowBytes - 1 },
    { maxWindowBytes: 2 ** 32 },
    { maxWindowBytes: windowBytes + 0.5 }
  ]
  for (const options of refused) {
    const [stream] = createPair()
    t.throws(() => createNativeMuxer(stream, { role: 'client', onSubstream: () => {}, ...options }), {
      code: 'ERR_CONFIG_INVALID',
      hint: String
    })
    stream.destroy()
  }
})

/** Two engines, and a substream between them. */
async function openBoth(t: Test): Promise<[Duplex, Duplex]> {
  const [one, other] = await createSocketPair()
  const arrived = new Promise<Duplex>((resolve) => {
    const server = createNativeMuxer(other, { role: 'server', onSubstream: resolve })
    t.teardown(() => server.abort(new Error('teardown')))
  })
  const client = createNativeMuxer(one, { role: 'client', onSubstream: () => {} })
  t.teardown(() => client.abort(new Error('teardown')))
  const near = client.open()
  near.on('error', () => {})
  const far = await arrived
  far.on('error', () => {})
  return [near, far]
}

void t.test('a substream has what node:net’s sockets have, as far as others use it', async (t) => {
  const [near, far] = (await openBoth(t)) as [Socket, Socket]
  for (const same of [near.setNoDelay(), near.setKeepAlive(true), near.ref(), near.unref()])
    t.equal(same, near)
  t.same([near.connecting, near.remoteAddress, near.remoteFamily, near.remotePort], [false, ...Array(3)])
  far.resume()
  await new Promise((resolve) => near.write('12345', resolve))
  far.end('678')
  near.resume()
  await once(near, 'end')
  t.same([near.bytesWritten, near.bytesRead, far.bytesRead, far.bytesWritten], [5, 3, 5, 3])

  let timeouts = 0
  const count = (): unknown => timeouts++
  t.equal(near.setTimeout(5, count), near)
  await once(near, 'timeout')
  t.equal(timeouts, 1)
  t.notOk(near.destroyed, 'the timeout is only told')
  near.setTimeout(0, count)
  t.equal(near.listenerCount('timeout'), 0)
})

void t.test('AbortSignals, pipeline, finished and iteration of node:stream work on substreams', async (t) => {
  const reason = new Error('changed my mind')
  {
    const [near, far] = await openBoth(t)
    const cancel = new AbortController()
    addAbortSignal(cancel.signal, near)
    const failed = once(far.resume(), 'error')
    cancel.abort(reason)
    await t.rejects(finished(near), { name: 'AbortError', cause: reason })
    t.match(await failed, [{ code: 'ERR_STREAM_RESET' }])
  }
  {
    const [near, far] = await openBoth(t)
    const cancel = new AbortController()
    const piping = pipeline(far, far, { signal: cancel.signal })
    near.end('echo')
    const chunks: Buffer[] = []
    for await (const chunk of near) chunks.push(chunk as Buffer)
    t.equal(Buffer.concat(chunks).toString(), 'echo')
    await piping
  }
  {
    const [near, far] = await openBoth(t)
    const waiting = finished(near, { signal: AbortSignal.abort(reason) })
    await t.rejects(waiting, { name: 'AbortError' })
    t.notOk(near.destroyed || far.destroyed, 'only the wait is over')
  }
})

void t.test('a listener that throws is an uncaught error, and costs the session nothing', async (t) => {
  const { muxer, peer, accepted } = start(t, { role: 'server' })
  peer.send(frame(update, syn, 1), frame(update, syn, 3))
  await peer.settle()
  const [loud, calm] = accepted
  loud?.once('data', () => {
    throw new Error('a listener’s')
  })
  const thrown = new Promise((resolve) => process.once('uncaughtException', resolve))
  // tap listens, too, and would take it for a failure.
  const others = process.listeners('uncaughtException').slice(0, -1)
  for (const listener of others) process.off('uncaughtException', listener)
  t.teardown(() => others.forEach((listener) => process.on('uncaughtException', listener)))
  const heard: string[] = []
  calm?.on('data', (chunk: Buffer) => heard.push(chunk.toString()))
  loud?.on('end', () => heard.push('end'))
  peer.send(
    Buffer.concat([
      frame(data, 4, 1, Buffer.from('x')),
      frame(data, 0, 3, Buffer.from('calm')),
      frame(ping, syn, 0, 5)
    ])
  )
  await peer.until('ping ack 0 5')
  t.match(await thrown, { message: 'a listener’s' })
  t.same(heard.toSorted(), ['calm', 'end'])
  t.notOk(muxer.over)
})
