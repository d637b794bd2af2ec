import type { Duplex } from 'node:stream'
import type { RefDuplex } from '../duplex.js'
import type { Logger } from '../log.js'
import type { CreateMuxer, Muxer, MuxerOptions, MuxerStats } from '../mux/muxer.js'
import type { Receiver, SubstreamPort } from '../mux/port.js'
import { brokerClosed } from './errors.js'
import { createStreamRoute } from './on-stream.js'
import type { BrokerOptions } from './options.js'
import type { Route } from './route.js'

/**
 * How host and plugin reach each other. `stream`: one stdio-derived stream, multiplexed. The other two are
 * go-plugin's own: `socket`, a listening socket for the plugin and one for each accepted broker ID; `socket-mux`, the
 * plugin's one socket, multiplexed.
 */
export const transportKinds = ['stream', 'socket', 'socket-mux'] as const
export type TransportKind = (typeof transportKinds)[number]

/** What carries all connections between two processes, whichever way they are opened. */
export interface Transport {
  readonly kind: TransportKind
  readonly route: Route
  /** Whether it is over for good: nothing can be dialled, and every connection has been told. */
  readonly over: boolean
  /**
   * Asked when a connection to broker ID `id` is lost: whether everything is. The end of one is seen a moment before the
   * end of what caused it, so this takes a moment.
   */
  isLost(id: number): Promise<boolean>
  /** Settles once it is over: with the reason, or undefined after an orderly end. Never rejects. */
  readonly closed: Promise<Error | undefined>
  /** Ends it in order; what is open after `timeoutMs` is cut. */
  close(options: { readonly timeoutMs: number }): Promise<void>
  /** Ends it now: every connection is destroyed with `reason`. Safe to repeat. */
  abort(reason: Error): void
  /** Whether it keeps the process running. At first it does. */
  ref(): void
  unref(): void
  stats(): MuxerStats
}

export interface TransportOptions extends BrokerOptions {
  readonly logger: Logger
}

/** A transport on one multiplexed byte stream, which may come later. */
export interface SessionTransport extends Transport {
  /** Begins the session. To be called once. */
  start(stream: RefDuplex, createMuxer: CreateMuxer): void
}

/** The transport `stream`. */
export function createStreamTransport(
  role: MuxerOptions['role'],
  options: TransportOptions
): SessionTransport {
  return createSessionTransport('stream', role, options.logger, (muxer) => createStreamRoute(muxer, options))
}

/** Takes the peer's substreams, in one of two ways: {@link MuxerOptions}. */
interface SubstreamTaker {
  receive?(substream: Duplex): void
  receiverOf?(port: SubstreamPort): Receiver
}

/** A transport on one session, with the route that `makeRoute` gives. */
export function createSessionTransport(
  kind: TransportKind,
  role: MuxerOptions['role'],
  logger: Logger,
  makeRoute: (muxer: () => Muxer) => Route & SubstreamTaker
): SessionTransport {
  let session: { readonly muxer: Muxer; readonly stream: RefDuplex } | undefined
  let over: { readonly reason: Error | undefined } | undefined
  let holds = true
  let settle: (reason: Error | undefined) => void
  const closed = new Promise<Error | undefined>((resolve) => {
    settle = resolve
  })
  const route = makeRoute(() => {
    if (session === undefined) throw brokerClosed()
    return session.muxer
  })
  const end = (reason: Error | undefined): void => {
    over ??= { reason }
    settle(reason)
  }

  return {
    kind,
    route,
    closed,
    start(stream, createMuxer) {
      const muxer = createMuxer(stream, {
        role,
        ...(route.receive === undefined ? {} : { onSubstream: (substream) => route.receive?.(substream) }),
        ...(route.receiverOf === undefined ? {} : { receiverOf: (port) => route.receiverOf!(port) }),
        logger
      })
      session = { muxer, stream }
      if (!holds) stream.unref()
      if (over !== undefined) muxer.abort(over.reason ?? brokerClosed())
      void muxer.closed.then(end)
    },
    get over() {
      return over !== undefined || session?.muxer.over === true
    },
    async isLost() {
      await new Promise((resolve) => {
        setImmediate(resolve)
      })
      return this.over
    },
    async close({ timeoutMs }) {
      if (session === undefined) end(undefined)
      else await session.muxer.close({ timeoutMs })
    },
    abort(reason) {
      if (session === undefined) end(reason)
      else session.muxer.abort(reason)
    },
    ref() {
      holds = true
      session?.stream.ref()
    },
    unref() {
      holds = false
      session?.stream.unref()
    },
    stats: () => session?.muxer.stats() ?? { substreams: 0, opened: 0, accepted: 0 }
  }
}
