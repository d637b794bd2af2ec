import type { Duplex } from 'node:stream'
import { PluginError } from '../errors.js'
import { silentLogger } from '../log.js'
import { checkDuration, settlesWithin, waitFor } from '../signal.js'
import { frameFlags, frameTypes, goAwayCodes, maxUint32 } from './frame.js'
import { Substream } from './substream.js'
import { createTurns } from './turns.js'
import type { Muxer, MuxerOptions } from './muxer.js'
import type { Receiver, SubstreamPort } from './port.js'
import type { Turns } from './turns.js'

const defaultCloseTimeoutMs = 5000

/** How long a ping may take: the time hashicorp/yamux gives its own. */
const defaultPingTimeoutMs = 10_000

/**
 * How long the peer may take to end its half of the stream after ours has ended; it has nothing left to say.
 */
const peerEndTimeoutMs = 1000

/**
 * Where a session is. Every arrow is taken once:
 *
 * ```
 * open ──close()──► closing ──substreams gone, or time-out──► over
 *   └──────────── abort(), loss, protocol error ───────────────┘
 * ```
 *
 * `over` means that no frame is read or written any more; `closed` settles when the stream itself is gone.
 */
type State = 'open' | 'closing' | 'over'

/** What an engine does for its session. */
export interface EngineHooks {
  /** Opens a substream for the receiver that `make` gives; that it may be opened has been checked. */
  open<R extends Receiver>(make: (port: SubstreamPort) => R): R
  /** Substreams that are live: not yet finished both ways, not reset. `liveOwn` counts those opened here. */
  readonly live: number
  readonly liveOwn: number
  /** Whether the next ID fits 32 bits; yamux never uses one twice. */
  readonly idsLeft: boolean
  /** Whether the peer has said that it takes no more substreams. */
  readonly peerGoneAway: boolean
  /** From now on every SYN is answered with a reset: we have said go-away. */
  refuse(): void
  /** Before what was written in a tick leaves. */
  beforeFlush?(): void
  /** The session is over. */
  over?(): void
}

/** The life of a session, the same for every engine: how it begins, what it promises, and its ends. */
export interface Session {
  readonly turns: Turns
  readonly over: boolean
  /** A substream is there, and is not any more. */
  enter(port: SubstreamPort): void
  leave(port: SubstreamPort): void
  /** Finds the receiver of a substream of the peer, which has entered. */
  accept(port: SubstreamPort): void
  /** A ping frame from the peer. */
  onPing(flags: number, value: number): void
  /** The peer has ended the stream, in the middle of a frame if it was truncated. */
  ended(): void
  /**
   * The session cannot go on: ends it and then, in order, the stream. `goAwayCode`, if any, is told to the peer. Only
   * the first time counts.
   */
  fail(reason: Error, goAwayCode?: number): void
  /** @param reading settles once nothing more comes from the stream; never rejects */
  muxer(reading: Promise<void>): Muxer
}

/** Makes the session of an engine. @throws `ERR_CONFIG_INVALID` for an option that cannot be */
export function createSession(
  stream: Duplex,
  options: MuxerOptions & { readonly maxSubstreams: number },
  engine: EngineHooks
): Session {
  const {
    onSubstream,
    receiverOf = (port) => new Substream(port),
    maxSubstreams: most,
    keepAliveIntervalMs = Infinity,
    keepAliveTimeoutMs = defaultPingTimeoutMs,
    logger = silentLogger
  } = options
  checkCount('maxSubstreams', most)
  checkDuration('keepAliveIntervalMs', keepAliveIntervalMs)
  checkDuration('keepAliveTimeoutMs', keepAliveTimeoutMs)

  let state: State = 'open'
  let opened = 0
  let acceptedCount = 0
  let closing: Promise<void> | undefined
  let outcome: Error | undefined
  let peerEndTimer: NodeJS.Timeout | undefined
  let keepAliveTimer: NodeJS.Timeout | undefined
  let onIdle: (() => void) | undefined
  let lastPing = 0
  const pings = new Map<number, { resolve: () => void; reject: (error: Error) => void }>()
  const substreams = new Set<SubstreamPort>()

  const turns = createTurns(stream, {
    onFlood: () => {
      fail(new PluginError('ERR_SESSION_PROTOCOL', 'the peer makes us answer and does not read the answers'))
    },
    ...(engine.beforeFlush === undefined ? {} : { beforeFlush: () => engine.beforeFlush?.() })
  })

  /** Takes the session to `over`. `reason` is what `closed` tells; `code`, if any, is told to the peer. */
  const end = (
    reason: Error | undefined,
    code: number | undefined,
    leave: (receiver: Receiver) => void
  ): void => {
    if (state === 'over') return
    state = 'over'
    outcome = reason
    if (reason !== undefined) logger.debug({ err: reason }, 'session ended')
    if (code !== undefined) {
      // What the engine still owes goes before the last word.
      turns.flush()
      turns.frame(frameTypes.goAway, 0, 0, code)
    }
    turns.flush()
    turns.stop()
    clearInterval(keepAliveTimer)
    for (const { reject } of pings.values()) reject(sessionOver())
    for (const { receiver } of substreams) leave(receiver)
    engine.over?.()
    onIdle?.()
  }

  /** Ends the session and then, in order, the stream: the peer has `patienceMs` to end its half. */
  const endWith = (reason: Error | undefined, code?: number, patienceMs = peerEndTimeoutMs): void => {
    if (state === 'over') return
    const lost = new PluginError(
      'ERR_SESSION_CLOSED',
      'the session was lost before the substream had ended',
      { cause: reason }
    )
    end(reason, code, (receiver) => receiver.lose(lost))
    stream.end()
    if (patienceMs < Infinity) peerEndTimer = setTimeout(() => stream.destroy(), patienceMs)
  }

  const fail = (reason: Error, goAwayCode?: number): void => endWith(reason, goAwayCode)

  const sessionOver = (): PluginError => new PluginError('ERR_SESSION_CLOSED', `the session is ${state}`)

  const ping = async ({ timeoutMs = defaultPingTimeoutMs } = {}): Promise<number> => {
    checkDuration('timeoutMs', timeoutMs)
    if (state === 'over') throw sessionOver()
    const value = lastPing
    lastPing = (lastPing + 1) % (maxUint32 + 1)
    const startedAt = performance.now()
    const answered = new Promise<void>((resolve, reject) => pings.set(value, { resolve, reject }))
    turns.frame(frameTypes.ping, frameFlags.syn, 0, value)
    try {
      await waitFor(answered, {
        timeoutMs,
        onTimeout: () =>
          new PluginError('ERR_SESSION_KEEPALIVE', `no answer to a ping within ${timeoutMs} ms`, {
            hint: 'The other process is blocked, or what carries the stream has lost the connection.'
          })
      })
    } finally {
      pings.delete(value)
    }
    return performance.now() - startedAt
  }

  const drain = async (timeoutMs: number): Promise<void> => {
    const deadline = performance.now() + timeoutMs
    engine.refuse()
    turns.frame(frameTypes.goAway, 0, 0, goAwayCodes.normal)
    const idle = new Promise<void>((resolve) => {
      onIdle = resolve
      if (substreams.size === 0) resolve()
    })
    if (!(await settlesWithin(idle, timeoutMs))) {
      const late = new PluginError(
        'ERR_SESSION_CLOSED',
        `the session was closed; ${timeoutMs} ms were not enough`
      )
      for (const { receiver } of substreams) receiver.destroy(late)
    }
    endWith(undefined, undefined, Math.max(deadline - performance.now(), peerEndTimeoutMs))
  }

  const open = <R extends Receiver>(make: (port: SubstreamPort) => R): R => {
    if (state !== 'open') throw sessionOver()
    if (engine.peerGoneAway) throw new PluginError('ERR_SESSION_GOAWAY', 'the peer takes no more substreams')
    if (engine.liveOwn >= most) {
      throw new PluginError('ERR_SESSION_LIMIT', `${most} substreams are open, the most allowed`, {
        hint: 'End substreams that are no longer needed, or raise maxSubstreams on both ends.'
      })
    }
    if (!engine.idsLeft) {
      throw new PluginError('ERR_SESSION_LIMIT', 'the session has used up its substream IDs', {
        hint: 'Start a new session: yamux has 2147483647 IDs for each end.'
      })
    }
    opened++
    return engine.open(make)
  }

  if (keepAliveIntervalMs < Infinity) {
    keepAliveTimer = setInterval(() => {
      ping({ timeoutMs: keepAliveTimeoutMs }).catch((error: Error) => fail(error))
    }, keepAliveIntervalMs).unref()
  }

  return {
    turns,
    get over() {
      return state === 'over'
    },
    enter: (port) => {
      substreams.add(port)
    },
    leave: (port) => {
      substreams.delete(port)
      if (substreams.size === 0) onIdle?.()
    },
    accept: (port) => {
      acceptedCount++
      const receiver = receiverOf(port)
      port.receiver = receiver
      if (!(receiver instanceof Substream)) return
      try {
        onSubstream?.(receiver)
      } catch (error) {
        logger.warn({ err: error }, 'the listener for substreams threw; its substream is destroyed')
        receiver.destroy()
      }
    },
    onPing: (flags, value) => {
      if ((flags & frameFlags.syn) !== 0) turns.frame(frameTypes.ping, frameFlags.ack, 0, value)
      else if ((flags & frameFlags.ack) !== 0) pings.get(value)?.resolve()
    },
    ended: () => {
      const orderly = engine.live === 0 && (state === 'closing' || engine.peerGoneAway)
      endWith(
        orderly
          ? undefined
          : new PluginError('ERR_SESSION_CLOSED', 'the stream ended before the session was closed')
      )
    },
    fail,
    muxer: (reading) => {
      const streamClosed = new Promise<void>((resolve) => {
        stream.once('close', () => {
          clearTimeout(peerEndTimer)
          resolve()
        })
      })
      const closed = Promise.all([reading, streamClosed]).then(() => {
        clearTimeout(peerEndTimer)
        return outcome
      })
      return {
        open: () => open(makeSubstream),
        openRaw: open,
        get over() {
          return state === 'over'
        },
        closed,
        ping,
        close: async ({ timeoutMs = defaultCloseTimeoutMs } = {}) => {
          checkDuration('timeoutMs', timeoutMs)
          if (state === 'open') {
            state = 'closing'
            closing = drain(timeoutMs)
          }
          await closing
          await closed
        },
        abort: (reason) => {
          end(reason, goAwayCodes.internalError, (receiver) => receiver.destroy(reason))
          stream.destroy()
        },
        stats: () => ({ substreams: substreams.size, opened, accepted: acceptedCount })
      }
    }
  }
}

function makeSubstream(port: SubstreamPort): Substream {
  return new Substream(port)
}

/** Checks an option that is a count: an integer of at least 1. @throws `ERR_CONFIG_INVALID` */
export function checkCount(name: string, value: number): number {
  if (Number.isInteger(value) && value >= 1) return value
  throw new PluginError('ERR_CONFIG_INVALID', `${name} is ${value}, not a count`, {
    hint: `Give ${name} as an integer of at least 1.`
  })
}
