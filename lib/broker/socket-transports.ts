import type { Duplex } from 'node:stream'
import type { RefDuplex } from '../duplex.js'
import type { MuxerOptions } from '../mux/muxer.js'
import type { TlsSettings } from '../security/certificate.js'
import { settlesWithin } from '../signal.js'
import { createRefGroup } from '../stream/ref-group.js'
import {
  type ListenSocketOptions,
  type SocketAddress,
  type SocketListener,
  connectSocket,
  listenSocket
} from '../stream/socket.js'
import type { ControlLink } from './control.js'
import { brokerClosed } from './errors.js'
import { createKnockRoute } from './on-knock.js'
import { createSocketRoute } from './on-socket.js'
import {
  type SessionTransport,
  type Transport,
  type TransportOptions,
  createSessionTransport
} from './transport.js'

/** The transports of go-plugin. Apart from that of the stream, which most processes need alone. */

export interface GoOptions extends TransportOptions {
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
