import { isPluginError, PluginError } from '../../lib/errors.js'
import { initialWindowBytes } from '../../lib/mux/frame.js'
import { createPair } from '../helpers/pair.js'
import type { Duplex } from 'node:stream'
import type { CreateMuxer, Muxer } from '../../lib/mux/muxer.js'
import type { PairEnd } from '../helpers/pair.js'

/** What can be done to a substream, chosen by `which` of those that the side has. */
const substreamActs = ['write', 'end', 'destroy', 'pause', 'resume', 'read', 'cork', 'uncork'] as const
/** What can be done to a side, or to all: `turn` lets the event loop go round `size` times, at most three. */
const sideActs = ['open', 'freeze', 'thaw', 'turn', 'ping', 'close', 'abort', 'lose'] as const

export const acts = [...substreamActs, ...sideActs]

/** One step of a history, plain data. */
export interface Action {
  readonly act: (typeof acts)[number]
  /** 0: the client, 1: the server. */
  readonly side: number
  readonly which: number
  /** Bytes to write or to read. */
  readonly size: number
}

export interface History {
  readonly actions: readonly Action[]
  /** How the streams are cut: the sizes of what arrives, in turn. */
  readonly cuts: readonly number[]
  readonly highWaterMarkBytes: number
  /** What the streams take at once, without a `'drain'`. */
  readonly kernelBytes: number
}

/**
 * What may be unread although its write was acknowledged: the window, and what the reader has before it says
 * stop.
 */
const unreadBytesLimit = initialWindowBytes + 64 * 1024

/**
 * Turns of the event loop without any event after which nothing more is expected, and the most that are
 * waited.
 */
const quietTurns = 30
const settleTurns = 20_000

/** One end of a substream, and what the model knows of it. */
interface End {
  readonly number: number
  readonly side: number
  readonly substream: Duplex
  readonly opener: boolean
  written: number
  acknowledged: number
  pendingWrites: number
  ended: boolean
  finished: boolean
  destroyed: boolean
  taken: number
  /** Number of the other end, told by the first bytes. */
  source: number
  sawEnd: boolean
  error: Error | undefined
  closed: boolean
}

interface Side {
  readonly muxer: Muxer
  readonly stream: PairEnd
  /** It was closed, aborted or lost its stream by an action. */
  left: 'no' | 'closed' | 'aborted' | 'lost'
  closedWith: { readonly reason: Error | undefined } | undefined
  pendingPings: number
}

/** Byte `at` of what end `number` writes: its number in four bytes, then a pattern of its own. */
function byteOf(number: number, at: number): number {
  return at < 4 ? (number >>> (8 * (3 - at))) & 255 : (number * 31 + at * 7 + (at >>> 8) * 13) & 255
}

function pattern(number: number, from: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  for (let index = 0; index < length; index++) bytes[index] = byteOf(number, from + index)
  return bytes
}

/**
 * Plays a history on two engines joined in memory, and holds them to a model of what a session is. Takes no
 * time but turns of the event loop.
 *
 * @throws with everything the model knows, as soon as something is not as it should be
 */
export async function playHistory(client: CreateMuxer, server: CreateMuxer, history: History): Promise<void> {
  const { actions, cuts, highWaterMarkBytes, kernelBytes } = history
  let cut = 0
  const streams = createPair({
    highWaterMarkBytes,
    kernelBytes,
    chunkBytes: () => cuts[cut++ % cuts.length] ?? Infinity
  })
  // Each byte of a small cut costs a turn of Node's streams.
  const mostBytes = Math.min(...cuts) < 100 ? 3000 : Infinity
  const ends: End[] = []
  let events = 0

  const state = (): string =>
    [
      ...sides.map(({ muxer, left, closedWith }, side) =>
        JSON.stringify({
          side,
          left,
          over: muxer.over,
          closedWith: String(closedWith?.reason),
          ...muxer.stats()
        })
      ),
      ...ends.map(({ substream, error, ...end }) =>
        JSON.stringify({ ...end, error: error?.message, unread: substream.readableLength })
      )
    ].join('\n')
  const fail = (what: string): never => {
    throw new Error(`${what}\n${state()}`)
  }
  const problems: string[] = []

  const enter = (side: number, substream: Duplex, opener: boolean): void => {
    const end: End = {
      number: ends.length,
      side,
      substream,
      opener,
      written: 0,
      acknowledged: 0,
      pendingWrites: 0,
      ended: false,
      finished: false,
      destroyed: false,
      taken: 0,
      source: 0,
      sawEnd: false,
      error: undefined,
      closed: false
    }
    ends.push(end)
    const told = (event: string): void => {
      events++
      if (end.closed) problems.push(`${event} of ${end.number} after its close`)
    }
    // Paused before it is listened to: nothing flows until an action says so.
    substream.pause()
    substream.on('data', (bytes: Buffer) => {
      told('data')
      if (end.sawEnd) problems.push(`data of ${end.number} after its end`)
      for (const byte of bytes) {
        if (end.taken < 4) end.source = (end.source << 8) | byte
        else if (byte !== byteOf(end.source, end.taken)) {
          problems.push(`byte ${end.taken} of ${end.number} is wrong`)
          break
        }
        end.taken++
      }
    })
    substream.on('end', () => {
      told('end')
      end.sawEnd = true
    })
    substream.on('finish', () => {
      told('finish')
      end.finished = true
    })
    substream.on('error', (error) => {
      told('error')
      if (end.error !== undefined) problems.push(`a second error of ${end.number}`)
      end.error = error
    })
    substream.on('close', () => {
      told('close')
      end.closed = true
    })
  }

  const sides = streams.map((stream, side): Side => {
    const create = side === 0 ? client : server
    const joined: Side = {
      stream,
      muxer: create(stream, {
        role: side === 0 ? 'client' : 'server',
        // Growth depends on time.
        maxWindowBytes: initialWindowBytes,
        acceptBacklog: 3,
        acknowledgeDelayMs: 0,
        onSubstream: (substream) => enter(side, substream, false)
      }),
      left: 'no',
      closedWith: undefined,
      pendingPings: 0
    }
    void joined.muxer.closed.then((reason) => {
      events++
      joined.closedWith = { reason }
    })
    return joined
  })

  const write = (end: End, size: number): void => {
    if (!end.substream.writable) return
    const bytes = pattern(end.number, end.written, size)
    end.written += size
    end.pendingWrites++
    end.substream.write(bytes, (error) => {
      events++
      end.pendingWrites--
      if (error === null || error === undefined) end.acknowledged += size
    })
  }

  const open = (side: Side, index: number): void => {
    try {
      enter(index, side.muxer.open(), true)
    } catch (error) {
      const expected =
        isPluginError(error, 'ERR_SESSION_GOAWAY') || isPluginError(error, 'ERR_SESSION_CLOSED')
      if (!expected || sides.every(({ left }) => left === 'no')) throw error
    }
  }

  const ping = (side: Side): void => {
    side.pendingPings++
    side.muxer
      .ping()
      .catch((error: unknown) => {
        if (!isPluginError(error, 'ERR_SESSION_CLOSED')) problems.push(`a ping failed with ${String(error)}`)
        if (sides.every(({ left }) => left === 'no')) problems.push('a ping failed in a sound session')
      })
      .finally(() => {
        events++
        side.pendingPings--
      })
      .catch(() => {})
  }

  const play = async ({ act, side: index, which, size: asked }: Action): Promise<void> => {
    const side = sides[index]!
    const size = Math.min(asked, mostBytes)
    const own = ends.filter((end) => end.side === index)
    const end = own[which % Math.max(own.length, 1)]
    switch (act) {
      case 'open':
        return open(side, index)
      case 'freeze':
        return side.stream.freeze()
      case 'thaw':
        return side.stream.thaw()
      case 'turn':
        for (let turns = 0; turns <= which % 3; turns++) await turn()
        return
      case 'ping':
        return ping(side)
      case 'close':
        if (side.left === 'no') side.left = 'closed'
        void side.muxer.close({ timeoutMs: Infinity })
        return
      case 'abort':
        side.left = 'aborted'
        return side.muxer.abort(new PluginError('ERR_CALL_FAILED', 'by the model'))
      case 'lose':
        side.left = 'lost'
        side.stream.destroy()
        return
      default:
    }
    if (end === undefined) return
    const { substream } = end
    switch (act) {
      case 'write':
        return write(end, size)
      case 'end':
        end.ended ||= substream.writable
        substream.end()
        return
      case 'destroy':
        end.destroyed = true
        substream.destroy()
        return
      case 'pause':
        substream.pause()
        return
      case 'resume':
        if (!end.closed) substream.resume()
        return
      case 'read':
        substream.read(Math.min(size, substream.readableLength))
        return
      case 'cork':
        return substream.cork()
      case 'uncork':
        return substream.uncork()
    }
  }

  /** What holds at any time. */
  const check = (): void => {
    if (problems.length > 0) fail(problems.join('\n'))
    for (const end of ends) {
      if (end.taken < 4) continue
      const source = ends[end.source]
      if (source === undefined || source.side === end.side || source.opener === end.opener) {
        return fail(`${end.number} has bytes of ${end.source}`)
      }
      if (end.taken > source.written) fail(`${end.number} has more than was written`)
      if (end.sawEnd && (end.taken < source.written || !source.ended)) fail(`${end.number} ended too early`)
      // A reader that is gone takes nothing, and what is written to a lost session is dropped.
      const live = !end.substream.destroyed && !sides[source.side]!.muxer.over
      if (live && source.acknowledged - end.taken > unreadBytesLimit) {
        fail(`${source.acknowledged - end.taken} bytes on their way to ${end.number}`)
      }
    }
    for (const [index, { muxer }] of sides.entries()) {
      const { substreams, opened, accepted } = muxer.stats()
      const own = ends.filter(({ side }) => side === index)
      if (opened !== own.filter(({ opener }) => opener).length)
        fail(`side ${index} has miscounted what it opened`)
      if (accepted !== own.filter(({ opener }) => !opener).length)
        fail(`side ${index} has miscounted what it was told`)
      if (substreams > own.length || substreams < 0) fail(`side ${index} has miscounted what is open`)
    }
  }

  const settle = async (what: string): Promise<void> => {
    let quiet = 0
    for (let turns = 0; quiet < quietTurns; turns++) {
      if (turns === settleTurns) fail(`no rest ${what}`)
      const before = events
      await turn()
      const still = streams.every((stream) => stream.destroyed || stream.writableLength === 0)
      quiet = still && events === before ? quiet + 1 : 0
    }
    check()
  }

  for (const action of actions) {
    await play(action)
    check()
  }

  // Everything flows, so everything that was written and not cut off arrives.
  for (const side of sides) side.stream.thaw()
  for (const { substream } of ends) while (substream.writableCorked > 0) substream.uncork()
  const flow = (): void => {
    for (const { substream, closed } of ends) if (!closed) substream.resume()
  }
  flow()
  await settle('after everything flows')
  flow()
  await settle('after what came late flows')
  const sound = sides.every(({ left }) => left === 'no')
  const intact = ends.filter((end) => !end.destroyed && end.error === undefined)
  if (sides.every(({ left }) => left === 'no' || left === 'closed')) {
    for (const end of intact) {
      if (end.pendingWrites > 0) fail(`a write of ${end.number} was never acknowledged`)
      const source = end.taken < 4 ? undefined : ends[end.source]
      if (source === undefined || source.destroyed || source.error !== undefined) continue
      if (end.taken !== source.written) fail(`${end.number} lacks ${source.written - end.taken} bytes`)
      if (source.ended && !end.sawEnd) fail(`${end.number} was not told of the end`)
    }
  }

  for (const end of ends) {
    end.ended ||= end.substream.writable
    end.substream.end()
  }
  await settle('after every end')

  const broken = sides.some(({ left }) => left === 'aborted' || left === 'lost')
  for (const end of ends) {
    if (!end.closed) fail(`${end.number} is not closed`)
    if (end.pendingWrites > 0) fail(`a write of ${end.number} was never called back`)
    if (end.error === undefined) {
      if (!end.destroyed && !(end.sawEnd && end.finished))
        fail(`${end.number} is closed without an end or an error`)
      continue
    }
    const { error } = end
    if (end.destroyed && isPluginError(error, 'ERR_STREAM_CLOSED')) continue
    if (!isPluginError(error)) fail(`${end.number} failed with ${String(error)}`)
    const reset = isPluginError(error, 'ERR_STREAM_RESET')
    const resets = ends.some(
      (other) => other.side !== end.side && other.opener !== end.opener && other.destroyed
    )
    // What was opened while the other side closes is refused, or never heard.
    if (end.opener && sides[1 - end.side]?.left === 'closed') continue
    if (reset && !resets && !broken) fail(`${end.number} was reset by nobody`)
    if (!reset && !broken) fail(`${end.number} failed with ${error.message}`)
  }
  for (const [index, { muxer, pendingPings }] of sides.entries()) {
    if (muxer.stats().substreams > 0) fail(`side ${index} still has substreams`)
    if (pendingPings > 0) fail(`a ping of side ${index} was never answered`)
  }

  if (sound) {
    const opened = ends.filter(({ opener }) => opener)
    const seen = ends.length - opened.length
    const silent = opened.filter(({ destroyed }) => destroyed).length
    if (seen > opened.length || seen < opened.length - silent) fail('not every substream has two ends')
  }
  for (const { muxer } of sides) void muxer.close({ timeoutMs: Infinity })
  await settle('after both sessions were closed')
  for (const [index, { muxer, closedWith }] of sides.entries()) {
    if (closedWith === undefined || !muxer.over) fail(`side ${index} is not closed`)
    const unheard = ends.some(({ side, opener, error }) => side === index && opener && error !== undefined)
    if (!broken && !unheard && closedWith?.reason !== undefined)
      fail(`side ${index} ended with ${String(closedWith.reason)}`)
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}
