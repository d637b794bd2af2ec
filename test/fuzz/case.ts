import { isPluginError, PluginError } from '../../lib/errors.js'
import { goAwayCodes, frameTypes, initialWindowBytes } from '../../lib/mux/frame.js'
import { createPair } from '../helpers/pair.js'
import { createHostilePeer } from './hostile.js'
import { checkEngine, judgePeer, readFrames } from './judge.js'
import { createRandom } from './random.js'
import type { Duplex } from 'node:stream'
import type { CreateMuxer, Muxer } from '../../lib/mux/muxer.js'
import type { PairEnd } from '../helpers/pair.js'
import type { Random } from './random.js'

/**
 * What an engine may have waiting to be written, in bytes, besides what the stream itself holds: the replies
 * of 1 MiB after which it gives up a peer that does not read, and a data frame of 64 KiB with its header.
 */
export const queuedBytesLimit = 1024 * 1024 + 64 * 1024 + 12

/** What one substream may hold unread, in bytes: the window. */
export const unreadBytesLimit = initialWindowBytes

/** Turns of the event loop that a session may take to come to its end, once its stream has ended. */
const endTurns = 20_000

export interface CaseReport {
  /** What is wrong, in words; empty: nothing. */
  readonly problems: readonly string[]
  /** What was done, one step a line. */
  readonly steps: readonly string[]
  /** What the peer has sent. */
  readonly frames: number
  readonly bytes: number
  /** Everything that the engine has sent: the same for the same seed and number. */
  readonly answer: Buffer
  /** The most that waited at once, in bytes: for the stream, and on one substream for its reader. */
  readonly mostQueuedBytes: number
  readonly mostUnreadBytes: number
  /** How the session ended: a code, or `in order`. */
  readonly outcome: string
}

/**
 * Plays case `number` of run `seed`: an engine with an application that does as it likes, and a hostile peer
 * on a stream that cuts and stalls. Takes no time but turns of the event loop.
 */
export async function playCase(create: CreateMuxer, seed: number, number: number): Promise<CaseReport> {
  const random = createRandom(seed, number)
  const problems: string[] = []
  const steps: string[] = []
  const role = random.pick(['client', 'server'] as const)
  const highWaterMarkBytes = random.pick([1, 100, 16 * 1024, 64 * 1024, 64 * 1024])
  const chunks = random.pick([1, 13, 1000, 65_536, 2 ** 20, 2 ** 20])
  const [stream, peerStream] = createPair({
    highWaterMarkBytes,
    chunkBytes: () => random.int(1, chunks)
  })
  const maxSubstreams = random.pick([1, 4, 1000])
  steps.push(`${role}, room for ${highWaterMarkBytes}, chunks to ${chunks}, ${maxSubstreams} substreams`)

  const application = createApplication(random, problems)
  const muxer = create(stream, {
    role,
    maxSubstreams,
    acceptBacklog: random.pick([1, 8, 256]),
    // Nothing may depend on time.
    acknowledgeDelayMs: 0,
    maxWindowBytes: initialWindowBytes,
    onSubstream: application.accept
  })
  peerStream.on('error', () => {})
  peerStream.resume()
  let ended: { readonly reason: Error | undefined } | undefined
  void muxer.closed.then((reason) => {
    ended = { reason }
  })

  const peer = createHostilePeer(random, {
    role: role === 'client' ? 'server' : 'client',
    malice: random.pick([0, 0.02, 0.1, 0.5]),
    engineIds: () =>
      Array.from({ length: muxer.stats().opened }, (_, index) => 2 * index + (role === 'client' ? 1 : 2)),
    maxBodyBytes: chunks < 1000 ? 2000 : 262_145
  })
  let mostQueuedBytes = 0
  let mostUnreadBytes = 0
  const measure = (): void => {
    mostQueuedBytes = Math.max(mostQueuedBytes, stream.writableLength - highWaterMarkBytes)
    for (const { readableLength } of application.substreams) {
      mostUnreadBytes = Math.max(mostUnreadBytes, readableLength)
    }
  }

  for (let left = random.int(1, 60); left > 0; left--) {
    const choice = random.int(0, 99)
    if (choice < 60) {
      const { bytes, words } = peer.next()
      steps.push(`peer: ${words}`)
      if (!peerStream.destroyed) peerStream.write(bytes)
    } else if (choice < 85) {
      steps.push(`application: ${application.act(muxer)}`)
    } else {
      steps.push(`stream: ${random.chance(0.3) ? stall(stream) : flow(stream)}`)
    }
    for (let turns = random.pick([0, 0, 1, 3]); turns > 0; turns--) {
      await turn()
      measure()
    }
  }

  const lost = random.chance(0.3)
  steps.push(lost ? 'peer: destroys the stream' : 'peer: ends the stream')
  flow(stream)
  if (lost) peerStream.destroy()
  else peerStream.end()
  for (let turns = 0; turns < endTurns; turns++) {
    application.readAll()
    await turn()
    measure()
    if (ended !== undefined && application.substreams.every(({ closed }) => closed)) break
  }

  if (ended === undefined) problems.push('the session has not ended')
  for (const substream of application.substreams) {
    if (!substream.closed) problems.push(`a substream is not closed: ${describe(substream)}`)
  }
  if (muxer.stats().substreams > 0) problems.push(`${muxer.stats().substreams} substreams are counted`)
  if (mostQueuedBytes > queuedBytesLimit) problems.push(`${mostQueuedBytes} bytes were queued`)
  if (mostUnreadBytes > unreadBytesLimit) problems.push(`${mostUnreadBytes} bytes were unread`)

  const received = readFrames(Buffer.concat(peerStream.sent))
  const answer = Buffer.concat(stream.sent)
  const sent = readFrames(answer)
  problems.push(...checkEngine(sent, received, role, initialWindowBytes))

  const reason = ended?.reason
  const verdict = judgePeer(received, role)
  const accused = reason !== undefined && /broke the yamux protocol/.test(reason.message)
  if (reason !== undefined && !isPluginError(reason))
    problems.push(`the session ended with ${String(reason)}`)
  if (accused && verdict.violation === 'none') problems.push(`without cause: ${reason.message}`)
  // Otherwise what must be refused may never have been read.
  const heardAll =
    !lost && !application.leaves() && !(reason !== undefined && /does not read/.test(reason.message))
  const last = sent.at(-1)
  if (
    accused &&
    heardAll &&
    !(last?.type === frameTypes.goAway && last.length === goAwayCodes.protocolError)
  ) {
    problems.push(`no go-away 1 at the end: ${JSON.stringify(last)}`)
  }
  if (heardAll && verdict.violation === 'must' && !accused) {
    problems.push(`a violation went unnoticed: the session ended with ${String(reason)}`)
  }
  if (heardAll && verdict.goneAway && reason === undefined)
    problems.push('a go-away with an error went unnoticed')

  return {
    problems,
    steps,
    frames: received.length,
    bytes: peerStream.sent.reduce((sum, { length }) => sum + length, 0),
    answer,
    mostQueuedBytes,
    mostUnreadBytes,
    outcome: isPluginError(reason) ? reason.code : 'in order'
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}

function describe(substream: Duplex): string {
  const { destroyed, readableEnded, readableFlowing, readableLength, writableEnded, writableFinished } =
    substream
  const state = { destroyed, readableEnded, readableFlowing, readableLength, writableEnded, writableFinished }
  return JSON.stringify({
    ...state,
    writableLength: substream.writableLength,
    corked: substream.writableCorked
  })
}

/** As `pipe` does, but the substream may be ended or destroyed by others. */
function echo(substream: Duplex): void {
  substream.on('data', (chunk: Buffer) => {
    if (substream.writable) substream.write(chunk)
  })
  substream.on('end', () => {
    if (substream.writable) substream.end()
  })
}

function stall(stream: PairEnd): string {
  stream.freeze()
  return 'the peer does not read'
}

function flow(stream: PairEnd): string {
  stream.thaw()
  return 'the peer reads'
}

interface Application {
  readonly substreams: readonly Duplex[]
  readonly accept: (substream: Duplex) => void
  /** Does one thing, and says what. */
  act(muxer: Muxer): string
  /** Lets everything flow. */
  readAll(): void
  /** Whether it has ended the session itself. */
  leaves(): boolean
}

/** Uses substreams in every way that node:stream has, and notes what a substream must not do. */
function createApplication(random: Random, problems: string[]): Application {
  const substreams: Duplex[] = []
  let leaving = false

  const uses: readonly ((substream: Duplex) => void)[] = [
    () => {},
    (substream) => void substream.resume(),
    echo,
    (substream) => void substream.destroy(),
    (substream) => void (substream.writable && substream.end('the end')),
    (substream) =>
      void (substream.writable && substream.write(Buffer.alloc(random.pick([0, 1, 300, 70_000, 300_000])))),
    (substream) => void substream.pause(),
    (substream) => {
      substream.read(Math.min(substream.readableLength, random.int(0, 1000)))
    },
    (substream) => substream.cork(),
    (substream) => substream.uncork()
  ]

  const enter = (substream: Duplex): void => {
    substreams.push(substream)
    let closed = false
    let finished = false
    substream.on('error', (error) => {
      if (closed) problems.push('an error after close')
      if (!isPluginError(error)) problems.push(`a substream failed with ${String(error)}`)
    })
    substream.on('end', () => {
      if (closed) problems.push('an end after close')
      if (finished) problems.push('a second end')
      finished = true
    })
    substream.on('close', () => {
      if (closed) problems.push('a second close')
      closed = true
    })
    random.pick(uses)(substream)
  }

  const expect = (codes: readonly string[], error: unknown): void => {
    if (!isPluginError(error) || !codes.includes(error.code)) problems.push(`unexpected: ${String(error)}`)
  }

  return {
    substreams,
    accept: enter,
    act: (muxer) => {
      const choice = random.int(0, 99)
      if (choice < 40) {
        try {
          enter(muxer.open())
          return 'opens'
        } catch (error) {
          expect(['ERR_SESSION_CLOSED', 'ERR_SESSION_GOAWAY', 'ERR_SESSION_LIMIT'], error)
          return 'may not open'
        }
      }
      if (choice < 93 && substreams.length > 0) {
        const use = random.int(0, uses.length - 1)
        uses[use]!(random.pick(substreams))
        return `use ${use}`
      }
      if (choice < 97) {
        muxer.ping().catch((error: unknown) => expect(['ERR_SESSION_CLOSED'], error))
        return 'pings'
      }
      if (choice < 98) {
        leaving = true
        muxer.abort(new PluginError('ERR_SESSION_CLOSED', 'enough'))
        return 'aborts'
      }
      if (choice < 99) {
        leaving = true
        void muxer.close({ timeoutMs: Infinity })
        return 'closes'
      }
      return 'rests'
    },
    readAll: () => {
      for (const substream of substreams) if (!substream.closed) substream.resume()
    },
    leaves: () => leaving
  }
}
