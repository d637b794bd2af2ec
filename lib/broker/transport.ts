import type { Duplex } from 'node:stream'
import type { RefDuplex } from '../duplex.js'
import type { Logger } from '../log.js'
import type { CreateMuxer, Muxer, MuxerOptions, MuxerStats } from '../mux/muxer.js'
import type { Receiver, SubstreamPort } from '../mux/port.js'
import type { TlsSettings } from '../security/certificate.js'
import { settlesWithin } from '../signal.js'
import { createRefGroup } from '../stream/ref-group.js'
import {
  type SocketAddress,
  type SocketListener,
  connectSocket,
  listenSocket,
  type ListenSocketOptions
} from '../stream/socket.js'
import type { ControlLink } from './control.js'
import { brokerClosed } from './errors.js'
import { createKnockRoute } from './on-knock.js'
import { createSocketRoute } from './on-socket.js'
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

interface CommonOptions extends BrokerOptions {
  readonly logger: Logger
}

/** A transport on one multiplexed byte stream, which may come later. */
export interface SessionTransport extends Transport {
  /** Begins the session. To be called once. */
  start(stream: RefDuplex, createMuxer: CreateMuxer): void
}

/** The transport `stream`. */
export function createStreamTransport(role: MuxerOptions['role'], options: CommonOptions): SessionTransport {
  return createSessionTransport('stream', role, options.logger, (muxer) => createStreamRoute(muxer, options))
}

export interface GoOptions extends CommonOptions {
  /** The link between the two brokers; asked for a moment after the transport was made. */
  readonly link: () => ControlLink
  /** Mutual TLS on every connection. Default: none. */
  readonly tls?: TlsSettings | undefined
}

/** The transport `socket-mux`: yamux on the plugin's socket in clear, and TLS, if any, inside each substream. */
export function createMuxTransport(role: MuxerOptions['role'], options: GoOptions): SessionTransport {
  return createSessionTransport('socket-mux', role, options.logger, (muxer) =>
    createKnockRoute({ ...options, muxer, role: role === 'client' ? 'host' : 'plugin' })
  )
}

/** Takes the peer's substreams, in one of two ways: {@link MuxerOptions}. */
interface SubstreamTaker {
  receive?(substream: Duplex): void
  receiverOf?(port: SubstreamPort): Receiver
}

function createSessionTransport(
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

export interface SocketTransportOptions extends GoOptions {
  /** Where the plugin listens; the host has it. */
  readonly main?: SocketAddress
  /** How this side's sockets are made. */
  readonly listen: Omit<ListenSocketOptions, 'onConnection'>
  /** Settles when the other process has ended, where that can be known. */
  readonly peerGone?: Promise<unknown>
}

/** A plugin's transport `socket` also listens for its host. */
export interface SocketTransport extends Transport {
  /** Listens for connections to ID 0, until the transport is over. @throws `ERR_SOCKET_LISTEN`, `ERR_CONFIG_INVALID` */
  listen(): Promise<SocketListener>
  /** Whether there is a connection to ID 0 now. */
  readonly connected: boolean
}

/**
 * How long the loss of a connection waits for that of the main ones, in ms. A process that dies closes all within less,
 * unless the machine is busy. A server under a broker ID may well be closed alone, the main one is hardly ever.
 */
const lossMs = 100
const mainLossMs = 1000

/** The transport `socket`. */
export function createSocketTransport(options: SocketTransportOptions): SocketTransport {
  const { main, logger, peerGone } = options
  const sockets = new Set<Duplex>()
  const mains = new Set<Duplex>()
  const mainListeners = new Set<SocketListener>()
  const handles = createRefGroup()
  const waiters = new Set<() => void>()
  let opened = 0
  let accepted = 0
  let peerIsGone = false
  let over: { readonly reason: Error | undefined } | undefined
  let settle: (reason: Error | undefined) => void
  const closed = new Promise<Error | undefined>((resolve) => {
    settle = resolve
  })

  const route = createSocketRoute({
    ...options,
    listen: (onConnection) => listen(onConnection),
    async connect(address, signal) {
      const socket = await connectSocket({ ...address, signal })
      opened += 1
      const isMain = address.network === main?.network && address.address === main.address
      track(socket, isMain)
      return socket
    }
  })

  void peerGone?.then(() => {
    peerIsGone = true
    for (const wake of waiters) wake()
    check()
  })

  function track(socket: RefDuplex, isMain: boolean): void {
    sockets.add(socket)
    if (isMain) mains.add(socket)
    handles.add(socket)
    socket.on('error', (error) => logger.debug({ err: error }, 'a connection failed'))
    socket.once('close', () => {
      sockets.delete(socket)
      mains.delete(socket)
      check()
    })
    if (over !== undefined) socket.destroy()
  }

  function check(): void {
    if (mains.size > 0) return
    for (const wake of waiters) wake()
    if (sockets.size === 0 && peerIsGone) end(undefined)
  }

  async function listen(onConnection: (socket: RefDuplex) => void, forMain = false): Promise<SocketListener> {
    return listenSocket({
      ...options.listen,
      refs: handles,
      onConnection(socket) {
        accepted += 1
        track(socket, forMain)
        onConnection(socket)
      }
    })
  }

  async function listenMain(): Promise<SocketListener> {
    const listener = await listen((socket) => route.receive(socket), true)
    mainListeners.add(listener)
    if (over !== undefined) stopListening()
    return listener
  }

  function stopListening(): void {
    route.close()
    for (const listener of mainListeners) void listener.close()
    mainListeners.clear()
  }

  function end(reason: Error | undefined): void {
    if (over !== undefined) return
    over = { reason }
    stopListening()
    settle(reason)
  }

  return {
    kind: 'socket',
    route,
    closed,
    listen: listenMain,
    get over() {
      return over !== undefined
    },
    get connected() {
      return mains.size > 0
    },
    async isLost(id) {
      if (mains.size > 0 && !peerIsGone) {
        let wake = (): void => {}
        const lost = new Promise<void>((resolve) => {
          wake = resolve
        })
        waiters.add(wake)
        await settlesWithin(lost, id === 0 ? mainLossMs : lossMs)
        waiters.delete(wake)
      }
      return mains.size === 0 || peerIsGone
    },
    async close({ timeoutMs }) {
      stopListening()
      const ended = Promise.all(
        [...sockets].map((socket) => new Promise((resolve) => socket.once('close', resolve)))
      )
      for (const socket of sockets) socket.end()
      await settlesWithin(ended, timeoutMs)
      this.abort(brokerClosed())
    },
    abort(reason) {
      for (const socket of sockets) socket.destroy(reason)
      end(reason)
    },
    ref: () => handles.ref(),
    unref: () => handles.unref(),
    stats: () => ({ substreams: sockets.size, opened, accepted })
  }
}
