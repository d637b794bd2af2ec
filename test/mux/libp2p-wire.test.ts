import { once } from 'node:events'
import { finished } from 'node:stream/promises'
import t from 'tap'
import { createLibp2pMuxer } from '../../lib/mux/libp2p.js'
import { createPair } from '../helpers/pair.js'
import {
  ack,
  createYamuxPeer,
  data,
  fin,
  frame,
  goAway,
  ping,
  rst,
  syn,
  update
} from '../helpers/yamux-peer.js'
import type { Duplex } from 'node:stream'
import type { Test } from 'tap'
import type { Muxer, MuxerOptions } from '../../lib/mux/muxer.js'
import type { PairEnd, PairOptions } from '../helpers/pair.js'
import type { YamuxPeer } from '../helpers/yamux-peer.js'

const windowBytes = 262_144
const half = windowBytes / 2

interface Session {
  readonly muxer: Muxer
  readonly stream: PairEnd
  readonly peer: YamuxPeer
  readonly peerStream: PairEnd
  /** What the peer has opened so far. */
  readonly accepted: Duplex[]
}

/** The engine as the server, and a peer that is us: its IDs are odd, the engine's even. */
function start(t: Test, options: Partial<MuxerOptions> = {}, pair: PairOptions = {}): Session {
  const [stream, peerStream] = createPair(pair)
  const accepted: Duplex[] = []
  const listen = options.onSubstream
  // A test that is over ends its session under its substreams.
  const listened = (substream: Duplex): Duplex => substream.on('error', () => {})
  const engine = createLibp2pMuxer(stream, {
    role: 'server',
    ...options,
    onSubstream: (substream) => {
      accepted.push(listened(substream))
      listen?.(substream)
    }
  })
  const muxer: Muxer = { ...engine, open: () => listened(engine.open()) }
  t.teardown(async () => {
    muxer.abort(new Error('teardown'))
    peerStream.destroy()
    await muxer.closed
  })
  return { muxer, stream, peer: createYamuxPeer(peerStream), peerStream, accepted }
}

/** Notes what a substream emits, data as text. */
function record(substream: Duplex | undefined): string[] {
  const events: string[] = []
  substream?.on('data', (chunk: Buffer) =>
    events.push(chunk.length > 32 ? `${chunk.length}` : chunk.toString())
  )
  for (const event of ['end', 'close']) substream?.on(event, () => events.push(event))
  substream?.on('error', (error: Error & { code?: string }) => events.push(error.code ?? error.message))
  return events
}

await t.test('an opened substream says SYN with its first bytes, in one frame', async (t) => {
  const { muxer, peer, stream } = start(t)
  const substream = muxer.open()
  substream.write('first')
  substream.cork()
  for (const text of [' and', ' more', ' bytes']) substream.write(text)
  substream.end()
  const frames = await peer.until(/fin/)
  t.equal(frames[0], 'data syn 2 "first"')
  t.equal(frames[1], 'data 2 " and more bytes"', 'what was corked is one frame')
  t.equal(frames[2], 'update fin 2 0')
  t.equal(stream.sent.length, 1, 'and all of it leaves in one write')
})

await t.test('an opened substream nobody writes to says SYN by itself, once', async (t) => {
  const { muxer, peer } = start(t)
  muxer.open()
  t.same(await peer.settle(), ['update syn 2 0'])
})

await t.test('IDs follow the role', async (t) => {
  const { muxer, peer } = start(t, { role: 'client' })
  muxer.open()
  muxer.open()
  t.same(await peer.settle(), ['update syn 1 0', 'update syn 3 0'])
})

await t.test('ACK leaves on acceptance, once, also when the substream is paused at once', async (t) => {
  const { peer, accepted } = start(t, { onSubstream: (substream) => void substream.pause() })
  peer.send(frame(update, syn, 1))
  t.same(await peer.settle(), ['update ack 1 0'])
  accepted[0]?.write('answer')
  accepted[0]?.resume()
  peer.send(frame(data, 0, 1, Buffer.from('x')))
  t.same(await peer.settle(), ['data 1 "answer"'])
})

await t.test('credit returns by half windows, for what was read', async (t) => {
  const { peer, accepted } = start(t)
  peer.send(frame(data, syn, 1, Buffer.alloc(windowBytes)))
  t.same(await peer.settle(), ['update ack 1 0'], 'nobody has read')
  accepted[0]?.on('data', () => {})
  t.same(await peer.until(/^update 1/), [`update 1 ${windowBytes}`])
  peer.send(frame(data, 0, 1, Buffer.alloc(half - 1)))
  t.same(await peer.settle(), [])
  peer.send(frame(data, 0, 1, Buffer.alloc(1)))
  t.same(await peer.settle(), [`update 1 ${half}`])
})

await t.test('a reader that pauses in its data listener is not sent more than the window', async (t) => {
  const { peer, accepted } = start(t)
  peer.send(frame(update, syn, 1))
  await peer.settle()
  const [substream] = accepted
  let read = 0
  substream?.on('data', (chunk: Buffer) => {
    read += chunk.length
    substream.pause()
  })
  let credit = windowBytes
  let sent = 0
  for (let turn = 0; turn < 200; turn++) {
    const size = Math.min(credit, 8192)
    credit -= size
    sent += size
    if (size > 0) peer.send(frame(data, 0, 1, Buffer.alloc(size)))
    for (const words of await peer.settle()) credit += Number(words.split(' ').at(-1)) || 0
    if (turn % 40 === 39) substream?.resume()
  }
  t.ok(sent - read <= windowBytes + 64 * 1024, `${sent - read} bytes unread`)
})

await t.test('the window does not grow, however fast the reader', async (t) => {
  const { peer } = start(t, { onSubstream: (substream) => void substream.resume() })
  let credit = windowBytes
  peer.send(frame(update, syn, 1))
  for (let round = 0; round < 40; round++) {
    peer.send(frame(data, 0, 1, Buffer.alloc(credit)))
    let granted = 0
    for (const words of await peer.settle()) granted += Number(words.split(' ').at(-1)) || 0
    t.ok(granted <= windowBytes)
    credit = granted
  }
})

for (const situation of ['while open', 'after the own end', 'while paused'] as const) {
  await t.test(`data and FIN in one frame are data, then the end (${situation})`, async (t) => {
    const { peer, accepted } = start(t)
    peer.send(frame(update, syn, 1))
    await peer.settle()
    const [substream] = accepted
    if (situation === 'after the own end') substream?.end()
    if (situation === 'while paused') substream?.pause()
    peer.send(frame(data, fin, 1, Buffer.alloc(1000)))
    await peer.settle()
    const events = record(substream)
    substream?.resume()
    if (substream !== undefined) await once(substream, 'end')
    t.same(events.slice(0, 2), ['1000', 'end'])
  })
}

await t.test('a reset after data: the data, the error, no end', async (t) => {
  const { peer, accepted } = start(t)
  peer.send(frame(update, syn, 1))
  await peer.settle()
  const events = record(accepted[0])
  peer.send(frame(data, 0, 1, Buffer.from('abc')), frame(update, rst, 1))
  t.same(await peer.settle(), [], 'a reset is not answered')
  t.same(events, ['abc', 'ERR_STREAM_RESET', 'close'])
})

await t.test('a reset in the same bytes as the SYN is not told to anyone', async (t) => {
  const { muxer, peer, accepted } = start(t)
  peer.send(frame(update, syn, 1), frame(data, 0, 1, Buffer.from('abc')), frame(update, rst, 1))
  t.same(await peer.settle(), [])
  t.same(accepted, [])
  t.same(muxer.stats(), { substreams: 0, opened: 0, accepted: 0 })
})

await t.test('data after FIN resets the substream, and no other', async (t) => {
  const { peer, accepted } = start(t)
  peer.send(frame(update, syn, 1), frame(update, syn, 3))
  await peer.settle()
  const [one, other] = [record(accepted[0]), record(accepted[1])]
  peer.send(frame(update, fin, 1))
  await peer.settle()
  peer.send(frame(data, 0, 1, Buffer.from('late')), frame(data, 0, 3, Buffer.from('fine')))
  t.same(await peer.settle(), ['update rst 1 0'])
  t.same(one, ['end', 'ERR_STREAM_RESET', 'close'])
  t.same(other, ['fine'])
})

await t.test('what was sent with no window left is sent in full when credit comes, then FIN', async (t) => {
  const { muxer, peer } = start(t, {}, { highWaterMarkBytes: 1024 * 1024 })
  const substream = muxer.open()
  substream.end(Buffer.alloc(windowBytes + 1000))
  const first = await peer.settle()
  t.equal(sum(first), windowBytes)
  t.notOk(first.some((words) => words.includes('fin')))
  peer.send(frame(update, ack, 2, 10))
  t.equal(sum(await peer.settle()), 0, 'the library keeps small credit back')
  peer.send(frame(update, 0, 2, 300))
  t.equal(sum(await peer.settle()), 310)
  peer.send(frame(update, 0, 2, windowBytes))
  const last = await peer.until(/fin/)
  t.equal(sum(last), 690)
})

await t.test('after go-away 0 live substreams go on and nothing is lost', async (t) => {
  const { muxer, peer, accepted } = start(t)
  const own = muxer.open()
  const events = record(own)
  await peer.settle()
  peer.send(frame(goAway, 0, 0, 0), frame(data, ack, 2, Buffer.from('500 more')))
  await peer.settle()
  t.throws(() => muxer.open(), { code: 'ERR_SESSION_GOAWAY' })
  own.end('still sent')
  t.same(await peer.settle(), ['data 2 "still sent"', 'update fin 2 0'])
  peer.send(frame(update, syn, 1), frame(update, fin, 2))
  t.same(await peer.settle(), ['update ack 1 0'], 'it may still open substreams itself')
  t.same(events, ['500 more', 'end', 'close'])
  accepted[0]?.destroy()
  await peer.until(/rst/)
  peer.stream.end()
  t.equal(await muxer.closed, undefined, 'an end after go-away is in order')
})

await t.test('an end of the stream without go-away is an error', async (t) => {
  const { muxer, peer } = start(t)
  peer.stream.end()
  t.match(await muxer.closed, { code: 'ERR_SESSION_CLOSED' })
})

await t.test('an end of the stream after go-away is an error where a substream was live', async (t) => {
  const { muxer, peer } = start(t)
  const events = record(muxer.open())
  await peer.settle()
  peer.send(frame(goAway, 0, 0, 0))
  peer.stream.end()
  t.match(await muxer.closed, { code: 'ERR_SESSION_CLOSED' })
  t.same(events, ['ERR_SESSION_CLOSED', 'close'])
})

await t.test('after a violation the stream is still read, so that the peer can end it', async (t) => {
  const { muxer, peer } = start(t)
  peer.send(frame(4, 0, 0))
  t.same(await peer.end(), ['goAway 0 1'])
  peer.stream.end(Buffer.alloc(1024 * 1024))
  await finished(peer.stream, { readable: false })
  t.match(await muxer.closed, { code: 'ERR_SESSION_PROTOCOL' })
})

await t.test(
  'close says go-away, sends no FIN of its own, resets new substreams, ends the stream',
  async (t) => {
    const { muxer, peer } = start(t)
    const own = muxer.open()
    own.write('x')
    await peer.settle()
    const closing = muxer.close()
    t.same(await peer.settle(), ['goAway 0 0'])
    peer.send(frame(update, syn, 1))
    t.same(await peer.settle(), ['update rst 1 0'])
    own.end()
    own.resume()
    peer.send(frame(update, ack | fin, 2))
    t.same(await peer.end(), ['update fin 2 0'])
    peer.stream.end()
    await closing
  }
)

await t.test('close settles although the peer does not read, and does not end', async (t) => {
  const { muxer, peer, stream } = start(t, {}, { highWaterMarkBytes: 1024 })
  stream.freeze()
  const own = muxer.open()
  own.write(Buffer.alloc(100_000))
  await muxer.close({ timeoutMs: 10 })
  t.ok(stream.destroyed)
  t.equal(await muxer.closed, undefined)
  t.notOk(
    (await peer.end()).some((words) => words.includes('fin')),
    'what is cut off does not look finished'
  )
})

const violations: [string, Buffer[]][] = [
  ['version 1', [Buffer.from('010000000000000000000000', 'hex')]],
  ['type 4', [frame(4, 0, 0)]],
  ['data with ID 0', [frame(data, 0, 0, Buffer.from('x'))]],
  ['SYN with ID 0', [frame(update, syn, 0)]],
  ['SYN in our half of the IDs', [frame(update, syn, 2)]],
  ['SYN for a live ID', [frame(update, syn, 1), frame(update, syn, 1)]],
  ['SYN for an ID that is gone', [frame(update, syn | fin, 1), frame(update, rst, 1), frame(update, syn, 1)]],
  ['a second FIN', [frame(update, syn | fin, 1), frame(update, fin, 1)]],
  ['a length over the window', [frame(update, syn, 1), frame(data, 0, 1, 0, windowBytes + 1)]],
  ['a length of 2^32-1', [frame(update, syn, 1), frame(data, 0, 1, 0, 2 ** 32 - 1)]],
  ['credit over 32 bits', [frame(update, syn, 1), frame(update, 0, 1, 2 ** 32 - 1)]]
]
for (const [title, frames] of violations) {
  for (const chunkBytes of [Infinity, 1]) {
    await t.test(`${title} ends the session with go-away 1 (${chunkBytes} bytes at once)`, async (t) => {
      const { muxer, peer } = start(t, {}, { chunkBytes })
      const live = record(muxer.open())
      peer.send(...frames)
      const answer = await peer.end()
      t.equal(answer.at(-1), 'goAway 0 1')
      peer.stream.end()
      t.match(await muxer.closed, { code: 'ERR_SESSION_PROTOCOL' })
      t.same(live, ['ERR_SESSION_CLOSED', 'close'])
      t.throws(() => muxer.open(), { code: 'ERR_SESSION_CLOSED' })
    })
  }
}

await t.test('odd frames that harm nobody are survived', async (t) => {
  const { muxer, peer } = start(t)
  const own = muxer.open()
  own.write('x')
  const events = record(own)
  await peer.settle()
  peer.send(
    frame(ping, ack, 0, 99),
    frame(ping, 0, 0, 1),
    frame(data, 0, 77, Buffer.from('unknown')),
    frame(update, fin, 77),
    frame(update, rst, 78),
    frame(update, ack, 80, 5),
    frame(data, ack, 2),
    frame(data, 0, 2, Buffer.from('known'))
  )
  t.same(await peer.settle(), [])
  t.same(events, ['known'])
})

for (const code of [1, 2, 3]) {
  await t.test(`go-away ${code} ends the session and every substream`, async (t) => {
    const { muxer, peer } = start(t)
    const events = record(muxer.open())
    await peer.settle()
    peer.send(frame(goAway, 0, 0, code))
    t.same(await peer.end(), [])
    peer.stream.end()
    t.match(await muxer.closed, { code: code === 1 ? 'ERR_SESSION_PROTOCOL' : 'ERR_SESSION_CLOSED' })
    t.same(events, ['ERR_SESSION_CLOSED', 'close'])
  })
}

for (const kept of [7, 12, 12 + 9]) {
  await t.test(`a stream that ends after ${kept} of 22 bytes of a frame is a truncated one`, async (t) => {
    const { muxer, peer } = start(t)
    const events = record(muxer.open())
    await peer.settle()
    peer.send(
      frame(data, ack, 2, Buffer.from('complete')),
      frame(data, 0, 2, Buffer.alloc(10)).subarray(0, kept)
    )
    peer.stream.end()
    t.match(await muxer.closed, { code: 'ERR_SESSION_PROTOCOL', message: /truncated frame/ })
    t.same(events, ['complete', 'ERR_SESSION_CLOSED', 'close'])
  })
}

await t.test('a flood of pings is answered while the peer reads', async (t) => {
  const { peer } = start(t)
  for (let round = 0; round < 100; round++) {
    peer.send(...Array.from({ length: 1000 }, (_, value) => frame(ping, syn, 0, value)))
    t.equal((await peer.settle()).length, 1000)
  }
})

await t.test(
  'a flood of pings from a peer that does not read ends the session, in bounded memory',
  async (t) => {
    const { muxer, peer, stream } = start(t)
    stream.freeze()
    let most = 0
    const flood = Buffer.concat(Array.from({ length: 10_000 }, (_, value) => frame(ping, syn, 0, value)))
    for (let round = 0; round < 40 && !stream.writableEnded; round++) {
      await new Promise((resolve) => peer.stream.write(flood, resolve))
      most = Math.max(most, stream.writableLength)
    }
    t.ok(most < 2 * 1024 * 1024, `${most} bytes waited`)
    t.match(await muxer.closed, { code: 'ERR_SESSION_PROTOCOL' })
  }
)

await t.test('data waits for the stream: what is queued stays bounded with many writers', async (t) => {
  const { muxer, stream } = start(t, {}, { highWaterMarkBytes: 16 * 1024 })
  stream.freeze()
  for (let index = 0; index < 100; index++) muxer.open().write(Buffer.alloc(windowBytes))
  await new Promise(setImmediate)
  t.ok(stream.writableLength < 16 * 1024 + 64 * 1024 + 100 * 12 + 12, `${stream.writableLength} bytes`)
})

await t.test('writers take turns at a full stream, a frame each', async (t) => {
  // Room for two frames: a writer may not take both while others wait.
  const { muxer, peer } = start(t, {}, { highWaterMarkBytes: 100 * 1024 })
  const writers = [muxer.open(), muxer.open(), muxer.open()]
  await peer.settle()
  for (const writer of writers) writer.end(Buffer.alloc(256 * 1024))
  const order: string[] = []
  for (const words of await peer.until(/fin 6/)) {
    if (words.startsWith('data')) order.push(words.split(' ').at(-2) ?? '')
  }
  t.equal(order.join(''), '222462464646')
})

await t.test(
  'a reader that waits for its own write gets what had arrived when the stream is lost',
  async (t) => {
    const { muxer, peer } = start(t)
    const own = muxer.open()
    const reading = new Promise<string[]>((resolve) => {
      // As node:http2 does: no reading while a write is unfinished.
      own.write(Buffer.alloc(windowBytes + 1), () => resolve(record(own)))
    })
    peer.send(frame(data, ack, 2, Buffer.from('answer')))
    await peer.settle()
    peer.stream.destroy()
    await muxer.closed
    const events = await reading
    if (!own.closed) await new Promise((resolve) => own.once('close', resolve))
    t.same(events, ['answer', 'ERR_SESSION_CLOSED', 'close'])
  }
)

await t.test('a substream lost with a write waiting is destroyed although nobody reads', async (t) => {
  const { muxer, peer } = start(t)
  const own = muxer.open()
  own.end(Buffer.alloc(windowBytes + 1))
  peer.send(frame(data, ack, 2, Buffer.from('answer')))
  await peer.settle()
  peer.stream.destroy()
  const [error] = (await once(own, 'error')) as [unknown]
  t.match(error, { code: 'ERR_SESSION_CLOSED' })
})

await t.test('Promise.withResolvers is left as it is', async (t) => {
  t.equal('withResolvers' in Promise, Number(process.versions.node.split('.')[0]) >= 22)
})

/** Payload bytes in frames; short payloads are shown as text. */
function sum(frames: string[]): number {
  let total = 0
  for (const words of frames) {
    if (!words.startsWith('data')) continue
    const text = words.indexOf('"')
    total += text < 0 ? Number(words.split(' ').at(-1)) : words.length - text - 2
  }
  return total
}
