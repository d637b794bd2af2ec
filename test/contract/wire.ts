import { once } from 'node:events'
import { finished } from 'node:stream/promises'
import { initialWindowBytes as windowBytes } from '../../lib/mux/frame.js'
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
import type { CreateMuxer, Muxer, MuxerOptions } from '../../lib/mux/muxer.js'
import type { PairEnd, PairOptions } from '../helpers/pair.js'
import type { YamuxPeer } from '../helpers/yamux-peer.js'

/** What an engine cannot do, and why; absent: it can. */
export interface WireGaps {
  /** Sends nothing while it has credit for no more than a header. */
  readonly smallCredit?: string
  /** Tells of a substream only when all bytes that came with its SYN were looked at. */
  readonly tellsLate?: string
}

interface Session {
  readonly muxer: Muxer
  readonly stream: PairEnd
  readonly peer: YamuxPeer
  readonly peerStream: PairEnd
  /** What the peer has opened so far. */
  readonly accepted: Duplex[]
}

const half = windowBytes / 2

/** Notes what a substream emits, data as text. What comes in pieces, one after the other, is noted as one. */
function record(substream: Duplex | undefined): string[] {
  const events: string[] = []
  let read = Buffer.alloc(0)
  substream?.on('data', (chunk: Buffer) => {
    if (read.length > 0) events.pop()
    read = Buffer.concat([read, chunk])
    events.push(read.length > 32 ? `${read.length}` : read.toString())
  })
  for (const event of ['end', 'close']) substream?.on(event, () => events.push(event))
  substream?.on('error', (error: Error & { code?: string }) => events.push(error.code ?? error.message))
  return events
}

/** The IDs of a session: the engine's own first one, and those of the peer. */
interface Ids {
  readonly own: number
  readonly a: number
  readonly b: number
}

/** Odd or hostile frames, and what must come of them. The engine has opened `own`, which stays live. */
interface Row {
  readonly title: string
  readonly frames: (ids: Ids) => Buffer[]
}

interface Survived extends Row {
  /** What the engine sends back, in order. */
  readonly answer?: (ids: Ids) => string[]
  /** What the first substream of the peer emits, if the engine told of one. */
  readonly events?: string[]
  /** Substreams that are counted afterwards, besides `own`. Default 0. */
  readonly live?: number
  /** How the application uses what it is told of. Default: reads. */
  readonly use?: (substream: Duplex) => void
}

const text = (words: string): Buffer => Buffer.from(words)
const ACK = (id: number): string => `update ack ${id} 0`
const RST = (id: number): string => `update rst ${id} 0`
const reset = ['ERR_STREAM_RESET', 'close']

/** Frames that end the session with go-away 1: nothing after them can be trusted. */
const violations: Row[] = [
  { title: 'version 1', frames: () => [Buffer.from('010000000000000000000000', 'hex')] },
  { title: 'version 255 of a ping', frames: () => [Buffer.from('ff0200010000000000000000', 'hex')] },
  { title: 'type 4', frames: () => [frame(4, 0, 0)] },
  { title: 'type 255', frames: ({ a }) => [frame(255, 0, a, 7)] },
  { title: 'data with ID 0', frames: () => [frame(data, 0, 0, text('x'))] },
  { title: 'SYN with ID 0', frames: () => [frame(update, syn, 0)] },
  { title: 'credit with ID 0', frames: () => [frame(update, 0, 0, 100)] },
  { title: 'SYN for our own live ID', frames: ({ own }) => [frame(update, syn, own)] },
  { title: 'SYN in our half of the IDs', frames: ({ own }) => [frame(data, syn, own + 100, text('x'))] },
  { title: 'SYN for a live ID', frames: ({ a }) => [frame(update, syn, a), frame(data, syn, a, text('x'))] },
  {
    title: 'SYN for an ID that was reset',
    frames: ({ a }) => [frame(update, syn, a), frame(update, rst, a), frame(update, syn, a)]
  },
  {
    title: 'SYN for an ID that was opened and reset in one frame',
    frames: ({ a }) => [frame(update, syn | rst, a), frame(update, syn, a)]
  },
  { title: 'a second FIN', frames: ({ a }) => [frame(update, syn | fin, a), frame(update, fin, a)] },
  {
    title: 'a second FIN, on data',
    frames: ({ a }) => [frame(update, syn, a), frame(data, fin, a, text('x')), frame(data, fin, a)]
  },
  {
    title: 'a length over the window',
    frames: ({ a }) => [frame(update, syn, a), frame(data, 0, a, 0, windowBytes + 1)]
  },
  {
    title: 'a length over the window, with SYN',
    frames: ({ a }) => [frame(data, syn, a, 0, windowBytes + 1)]
  },
  { title: 'a length of 2^31', frames: ({ own }) => [frame(data, 0, own, 0, 2 ** 31)] },
  { title: 'a length of 2^32-1', frames: ({ own }) => [frame(data, 0, own, 0, 2 ** 32 - 1)] },
  { title: 'a length of 2^32-1 for an unknown ID', frames: () => [frame(data, 0, 78, 0, 2 ** 32 - 1)] },
  { title: 'credit over 32 bits', frames: ({ own }) => [frame(update, 0, own, 2 ** 32 - 1)] },
  { title: 'credit over 32 bits, with SYN', frames: ({ a }) => [frame(update, syn, a, 2 ** 32 - 1)] },
  {
    title: 'credit over 32 bits, bit by bit',
    frames: ({ own }) => [frame(update, 0, own, 2 ** 31), frame(update, 0, own, 2 ** 31)]
  }
]

/** Frames that harm nobody, or one substream. */
const survived: Survived[] = [
  { title: 'a ping with an ID', frames: ({ a }) => [frame(ping, syn, a, 7)], answer: () => ['ping ack 0 7'] },
  {
    title: 'a ping with SYN and ACK',
    frames: () => [frame(ping, syn | ack, 0, 8)],
    answer: () => ['ping ack 0 8']
  },
  {
    title: 'a ping of 2^32-1, with flags that nobody knows',
    frames: () => [frame(ping, syn | 0xff_f0, 0, 2 ** 32 - 1)],
    answer: () => ['ping ack 0 4294967295']
  },
  { title: 'a ping with no flag', frames: () => [frame(ping, 0, 0, 1)] },
  {
    title: 'replies that nobody asked for',
    frames: () => [frame(ping, ack, 0, 99), frame(ping, ack, 0, 99)]
  },
  {
    title: 'data for unknown IDs',
    frames: () => [frame(data, 0, 77, text('x')), frame(data, fin, 78, text('y'))]
  },
  {
    title: 'credit for unknown IDs',
    frames: () => [frame(update, 0, 77, 9), frame(update, 0, 78, 2 ** 32 - 1)]
  },
  { title: 'FIN for unknown IDs', frames: () => [frame(update, fin, 77), frame(data, fin, 78)] },
  { title: 'RST for unknown IDs', frames: () => [frame(update, rst, 77), frame(data, rst, 78, text('x'))] },
  { title: 'ACK for IDs never opened', frames: () => [frame(update, ack, 77, 5), frame(update, ack, 78)] },
  {
    title: 'ACK for a substream of the peer',
    frames: ({ a }) => [frame(update, syn, a), frame(update, ack, a), frame(data, ack, a, text('abc'))],
    answer: ({ a }) => [ACK(a)],
    events: ['abc'],
    live: 1
  },
  {
    title: 'a second ACK',
    frames: ({ own }) => [frame(update, ack, own), frame(data, ack, own), frame(update, ack, own)]
  },
  {
    title: 'flags that nobody knows',
    frames: ({ a }) => [frame(update, syn | 0xff_f0, a), frame(data, 0xff_f0, a, text('abc'))],
    answer: ({ a }) => [ACK(a)],
    events: ['abc'],
    live: 1
  },
  {
    title: 'zero-length data with SYN, then nothing, then FIN',
    frames: ({ a }) => [frame(data, syn, a), frame(data, 0, a), frame(data, fin, a)],
    answer: ({ a }) => [ACK(a)],
    events: ['end'],
    live: 1
  },
  {
    title: 'zero-length data with RST',
    frames: ({ a }) => [frame(data, syn, a, text('abc')), frame(data, rst, a)]
  },
  {
    title: 'SYN, data and FIN in one frame',
    frames: ({ a }) => [frame(data, syn | fin, a, text('abc'))],
    answer: ({ a }) => [ACK(a)],
    events: ['abc', 'end'],
    live: 1
  },
  {
    title: 'SYN and FIN in one frame, nothing else',
    frames: ({ a }) => [frame(update, syn | fin, a)],
    answer: ({ a }) => [ACK(a)],
    events: ['end'],
    live: 1
  },
  { title: 'SYN and RST in one frame', frames: ({ a }) => [frame(update, syn | rst, a)], events: [] },
  {
    title: 'IDs that are skipped, and one of them late',
    frames: ({ a, b }) => [frame(update, syn, b), frame(data, syn, a, text('late'))],
    answer: ({ a, b }) => [ACK(b), ACK(a)],
    events: [],
    live: 2
  },
  {
    title: 'data after FIN: that substream is reset, no other',
    frames: ({ a, b }) => [
      frame(update, syn | fin, a),
      frame(data, syn, b, text('x')),
      frame(data, 0, a, text('late')),
      frame(data, 0, a, text('later'))
    ],
    live: 1
  },
  {
    title: 'RST after FIN',
    frames: ({ a }) => [frame(update, syn | fin, a), frame(update, rst, a), frame(data, 0, a, text('late'))]
  },
  {
    title: 'frames after RST, on the ID of the peer',
    frames: ({ a }) => [
      frame(update, syn, a),
      frame(update, rst, a),
      frame(update, rst, a),
      frame(update, fin, a),
      frame(data, fin, a, text('late')),
      frame(update, 0, a, 100)
    ]
  },
  {
    title: 'frames on a substream that we reset',
    use: (substream) => void substream.destroy(),
    frames: ({ a }) => [
      frame(update, syn, a),
      frame(data, 0, a, text('in flight')),
      frame(update, 0, a, 100),
      frame(update, fin, a),
      frame(update, rst, a)
    ]
  },
  {
    title: 'frames on a substream that has ended both ways',
    use: (substream) => void substream.resume().end(),
    frames: ({ a }) => [
      frame(update, syn | fin, a),
      frame(ping, syn, 0, 1),
      frame(update, 0, a, 100),
      frame(data, 0, a, text('late')),
      frame(update, rst, a)
    ]
  }
]

/**
 * Holds an engine to the wire: a peer that is driven frame by frame, as either role, with what
 * hashicorp/yamux says and with what no peer should say.
 */
export function muxerWire(t: Test, name: string, create: CreateMuxer, gaps: WireGaps = {}): void {
  const { smallCredit, tellsLate } = gaps

  /**
   * The engine, as the server unless told otherwise, and a peer that is us: its IDs are odd then, the
   * engine's even.
   */
  const start = (t: Test, options: Partial<MuxerOptions> = {}, pair: PairOptions = {}): Session => {
    const [stream, peerStream] = createPair(pair)
    const accepted: Duplex[] = []
    const listen = options.onSubstream
    // A test that is over ends its session under its substreams.
    const listened = (substream: Duplex): Duplex => substream.on('error', () => {})
    const engine = create(stream, {
      role: 'server',
      // Growth has tests of its own.
      maxWindowBytes: windowBytes,
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

  void t.test(name, async (t) => {
    for (const role of ['client', 'server'] as const) {
      const ids: Ids = role === 'client' ? { own: 1, a: 2, b: 4 } : { own: 2, a: 1, b: 3 }
      for (const chunkBytes of [Infinity, 1]) {
        const cut = `${role}, ${chunkBytes === 1 ? 'byte by byte' : 'at once'}`

        for (const { title, frames } of violations) {
          await t.test(`${title} ends the session with go-away 1 (${cut})`, async (t) => {
            const { muxer, peer, stream } = start(
              t,
              { role, onSubstream: (substream) => void substream.resume() },
              { chunkBytes }
            )
            const live = record(muxer.open())
            await peer.settle()
            peer.send(...frames(ids), frame(ping, syn, 0, 1), frame(update, syn, ids.b + 20))
            const answer = await peer.end()
            t.equal(answer.at(-1), 'goAway 0 1', 'the last word')
            t.notOk(answer.includes('ping ack 0 1'), 'what follows is not heard')
            t.ok(stream.readableLength < 1000, 'and not kept')
            peer.stream.end()
            t.match(await muxer.closed, { code: 'ERR_SESSION_PROTOCOL' })
            t.same(live, ['ERR_SESSION_CLOSED', 'close'])
            t.throws(() => muxer.open(), { code: 'ERR_SESSION_CLOSED' })
            t.equal(muxer.stats().substreams, 0)
          })
        }

        await t.test(`a window that was filled takes no byte more (${cut})`, async (t) => {
          const { muxer, peer } = start(t, { role }, { chunkBytes: Math.max(chunkBytes, 1000) })
          const own = muxer.open()
          await peer.settle()
          peer.send(frame(data, 0, ids.own, Buffer.alloc(windowBytes)))
          t.same(await peer.settle(), [])
          t.ok(own.readableLength <= windowBytes)
          peer.send(frame(data, 0, ids.own, 0, 1))
          t.same(await peer.end(), ['goAway 0 1'])
        })

        for (const row of survived) {
          await t.test(`${row.title}: the session goes on (${cut})`, async (t) => {
            const heard: string[][] = []
            const { muxer, peer } = start(
              t,
              {
                role,
                onSubstream: (substream) => {
                  heard.push(record(substream))
                  row.use?.(substream)
                }
              },
              { chunkBytes }
            )
            const own = muxer.open()
            const events = record(own)
            await peer.settle()
            peer.send(...row.frames(ids))
            const answer = await peer.settle()
            if (row.answer !== undefined) t.same(answer, row.answer(ids))
            else t.notOk(answer.some((words) => words.startsWith('goAway')))
            if (row.events !== undefined) t.same(heard[0] ?? [], row.events)
            t.equal(muxer.stats().substreams, 1 + (row.live ?? 0))
            peer.send(frame(data, ack, ids.own, text('fine')))
            await peer.settle()
            t.same(events, ['fine'], 'others notice nothing')
          })
        }

        await t.test(`data after FIN resets the substream, and no other (${cut})`, async (t) => {
          const { peer, accepted } = start(t, { role }, { chunkBytes })
          peer.send(frame(update, syn, ids.a), frame(update, syn, ids.b))
          t.same(await peer.settle(), [ACK(ids.a), ACK(ids.b)])
          const [one, other] = [record(accepted[0]), record(accepted[1])]
          peer.send(frame(update, fin, ids.a))
          t.same(await peer.settle(), [])
          peer.send(frame(data, 0, ids.a, text('late')), frame(data, 0, ids.b, text('fine')))
          t.same(await peer.settle(), [RST(ids.a)])
          t.same(one, ['end', ...reset])
          t.same(other, ['fine'])
        })

        await t.test(`RST after FIN: who has not read the end is told of the reset (${cut})`, async (t) => {
          const { peer, accepted } = start(t, { role }, { chunkBytes })
          peer.send(frame(update, syn, ids.a), frame(update, syn, ids.b))
          await peer.settle()
          const reader = record(accepted[0])
          const late = record(accepted[1]?.pause())
          peer.send(frame(update, fin, ids.a), frame(update, fin, ids.b))
          t.same(await peer.settle(), [])
          peer.send(frame(update, rst, ids.a), frame(update, rst, ids.b))
          t.same(await peer.settle(), [], 'a reset is not answered')
          t.same(reader, ['end', ...reset])
          t.same(late, reset)
        })

        await t.test(`a reset after data: the data, the error, no end (${cut})`, async (t) => {
          const { peer, accepted } = start(t, { role }, { chunkBytes })
          peer.send(frame(update, syn, ids.a), frame(update, syn, ids.b))
          await peer.settle()
          const [plain, carried] = [record(accepted[0]), record(accepted[1])]
          peer.send(frame(data, 0, ids.a, text('abc')), frame(update, rst, ids.a))
          peer.send(frame(data, 0, ids.b, text('abc')), frame(data, rst, ids.b, text('dropped')))
          t.same(await peer.settle(), [], 'a reset is not answered')
          t.same(plain, ['abc', ...reset])
          t.same(carried, ['abc', ...reset])
        })

        await t.test(`a reset of ours crosses what is in flight (${cut})`, async (t) => {
          const { muxer, peer } = start(t, { role }, { chunkBytes })
          const own = muxer.open()
          const events = record(own)
          await peer.settle()
          own.destroy()
          peer.send(
            frame(data, ack, ids.own, text('x')),
            frame(update, 0, ids.own, 9),
            frame(update, fin, ids.own)
          )
          t.same(await peer.settle(), [RST(ids.own)], 'said once')
          t.same(events, ['close'])
          t.equal(muxer.stats().substreams, 0)
        })

        await t.test(`FIN without ACK counts as taken, from either end (${cut})`, async (t) => {
          const { muxer, peer } = start(t, { role }, { chunkBytes })
          const events = record(muxer.open().end('question'))
          t.same(await peer.settle(), [`data syn ${ids.own} "question"`, `update fin ${ids.own} 0`])
          peer.send(frame(data, fin, ids.own, text('answer')))
          t.same(await peer.settle(), [])
          t.same(events, ['answer', 'end', 'close'])
          t.equal(muxer.stats().substreams, 0)
        })

        await t.test(`credit that comes with SYN and with ACK is used (${cut})`, async (t) => {
          // Bytes one by one into the engine; what it sends is not cut by that.
          const { muxer, peer, accepted } = start(
            t,
            { role },
            { chunkBytes: Math.max(chunkBytes, 64), highWaterMarkBytes: 2 ** 20 }
          )
          const own = muxer.open()
          peer.send(frame(update, syn, ids.a, 1000), frame(update, ack, ids.own, 2000))
          await peer.settle()
          accepted[0]?.write(Buffer.alloc(windowBytes + 1001))
          own.write(Buffer.alloc(windowBytes + 2001))
          const frames = await peer.settle()
          t.equal(sum(frames.filter((words) => words.startsWith(`data ${ids.a} `))), windowBytes + 1000)
          t.equal(sum(frames.filter((words) => words.startsWith(`data ${ids.own} `))), windowBytes + 2000)
        })

        for (const code of [1, 2, 3, 2 ** 32 - 1]) {
          await t.test(`go-away ${code} ends the session and every substream (${cut})`, async (t) => {
            const { muxer, peer } = start(t, { role }, { chunkBytes })
            const events = record(muxer.open())
            await peer.settle()
            peer.send(frame(goAway, 0, 0, code), frame(ping, syn, 0, 1))
            t.same(await peer.end(), [])
            peer.stream.end()
            t.match(await muxer.closed, { code: code === 1 ? 'ERR_SESSION_PROTOCOL' : 'ERR_SESSION_CLOSED' })
            t.same(events, ['ERR_SESSION_CLOSED', 'close'])
          })
        }

        await t.test(`go-away 0, with an ID: the peer may open, we may not (${cut})`, async (t) => {
          const { muxer, peer, accepted } = start(t, { role }, { chunkBytes })
          peer.send(frame(goAway, 0, ids.a, 0), frame(update, syn, ids.a))
          t.same(await peer.settle(), [ACK(ids.a)])
          t.throws(() => muxer.open(), { code: 'ERR_SESSION_GOAWAY' })
          t.equal(accepted.length, 1)
        })

        await t.test(`what was finished and unread is read after the session closed (${cut})`, async (t) => {
          const { muxer, peer, accepted } = start(t, { role }, { chunkBytes: Math.max(chunkBytes, 1000) })
          peer.send(frame(data, syn | fin, ids.a, Buffer.alloc(windowBytes)))
          await peer.settle()
          accepted[0]?.end()
          await peer.settle()
          peer.send(frame(goAway, 0, 0))
          peer.stream.end()
          t.equal(await muxer.closed, undefined)
          const events = record(accepted[0])
          if (accepted[0] !== undefined) await once(accepted[0], 'close')
          t.same(events, [`${windowBytes}`, 'end', 'close'])
        })
      }

      await t.test(`both ends open at once (${role})`, async (t) => {
        const { muxer, peer, accepted } = start(t, { role })
        muxer.open()
        peer.send(frame(update, syn, ids.a))
        t.same((await peer.settle()).sort(), [`update syn ${ids.own} 0`, ACK(ids.a)].sort())
        t.equal(accepted.length, 1)
      })
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

    await t.test('a reset in the same bytes as the SYN leaves nothing behind', async (t) => {
      const { muxer, peer, accepted } = start(t)
      peer.send(frame(update, syn, 1), frame(data, 0, 1, Buffer.from('abc')), frame(update, rst, 1))
      await peer.settle()
      t.equal(accepted.length, tellsLate === undefined ? 1 : 0, tellsLate ?? 'it was told of')
      for (const substream of accepted) {
        if (!substream.closed) await new Promise((resolve) => substream.once('close', resolve))
      }
      t.equal(muxer.stats().substreams, 0)
    })

    await t.test(
      'what was sent with no window left is sent in full when credit comes, then FIN',
      async (t) => {
        const { muxer, peer } = start(t, {}, { highWaterMarkBytes: 1024 * 1024 })
        const substream = muxer.open()
        substream.end(Buffer.alloc(windowBytes + 1000))
        const first = await peer.settle()
        t.equal(sum(first), windowBytes)
        t.notOk(first.some((words) => words.includes('fin')))
        peer.send(frame(update, ack, 2, 10))
        t.equal(
          sum(await peer.settle()),
          smallCredit === undefined ? 10 : 0,
          smallCredit ?? 'small credit is used'
        )
        peer.send(frame(update, 0, 2, 300))
        t.equal(sum(await peer.settle()), smallCredit === undefined ? 300 : 310)
        peer.send(frame(update, 0, 2, windowBytes))
        const last = await peer.until(/fin/)
        t.equal(sum(last), 690)
      }
    )

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

    for (const kept of [1, 7, 12, 12 + 9]) {
      await t.test(
        `a stream that ends after ${kept} of 22 bytes of a frame is a truncated one`,
        async (t) => {
          const { muxer, peer } = start(t)
          const events = record(muxer.open())
          await peer.settle()
          peer.send(
            frame(data, ack, 2, Buffer.from('complete')),
            frame(data, 0, 2, Buffer.alloc(10)).subarray(0, kept)
          )
          peer.stream.end()
          t.match(await muxer.closed, { code: 'ERR_SESSION_PROTOCOL', message: /truncated frame/ })
          t.match(events[0], /^complete/)
          t.same(events.slice(1), ['ERR_SESSION_CLOSED', 'close'])
        }
      )
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

    await t.test('what follows a flood of SYNs that ended the session is not heard', async (t) => {
      const { muxer, peer, stream, accepted } = start(t, { maxSubstreams: 1 })
      stream.freeze()
      const refused = Array.from({ length: 100_000 }, (_, index) => frame(update, syn, 3 + 2 * index))
      peer.send(frame(update, syn, 1), ...refused, frame(update, rst, 1), frame(update, syn, 300_001))
      t.match(await muxer.closed, { code: 'ERR_SESSION_PROTOCOL' })
      t.equal(accepted.length, 1)
      t.equal(muxer.stats().substreams, 0)
    })

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
  })
}

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
