import type { CallCredentials, ChannelInterface } from '@grpc/grpc-js'
import { GRPCBroker, GRPCStdio } from '#proto/goplugin/goplugin.js'
import type { Acceptance } from '../broker/route.js'
import type { Transport } from '../broker/transport.js'
import { brokerClosed, checkId } from '../broker/errors.js'
import { type ErrorCode, PluginError, isPluginError } from '../errors.js'
import {
  type ChannelOptions,
  type StreamChannel,
  createChannel,
  createDirectChannel
} from '../grpc/channel.js'
import { type Client, createClient } from '../grpc/client.js'
import { type ServiceImplementation, type ServiceBinding, implement } from '../grpc/handler.js'
import { type GrpcServer, createGrpcServer } from '../grpc/server.js'
import type { ServiceDescriptor } from '../grpc/service.js'
import type { Wire } from '../grpc/wire.js'
import type { Logger } from '../log.js'
import { checkDuration } from '../signal.js'

/** Services offered under one broker ID. The side that serves owns them: only it can end them. */
export interface Served extends AsyncDisposable {
  /** What the other side dials: send it there in a message. */
  readonly id: number
  /**
   * Settles once the other side can dial the ID: at once on the stream, and on sockets when this side listens and has said
   * where. Nobody has to wait for it: a dial that comes early waits itself. Rejects with `ERR_SOCKET_LISTEN` or
   * `ERR_BROKER_CLOSED`, which is logged as well.
   */
  readonly ready: Promise<void>
  /**
   * Takes no more connections and calls, lets calls in flight end for at most `graceMs` (5000), then ends them.
   * Safe to repeat. Rejects with `ERR_CONFIG_INVALID` for a `graceMs` that is no duration.
   */
  close(options?: { readonly graceMs?: number }): Promise<void>
}

/** A connection to services that the other side offers under a broker ID. The side that dials owns and closes it. */
export interface Connection extends AsyncDisposable {
  readonly id: number
  /** For grpc-js clients: `new EchoClient('', credentials.createInsecure(), { channelOverride: connection.channel })`. */
  readonly channel: ChannelInterface
  /** A typed client of one of the services there. */
  dispense<S extends ServiceDescriptor>(service: S): Client<S>
  /** Refuses new calls, waits for those in flight, then ends the connection. The services there live on. */
  close(): Promise<void>
  /** Ends the connection now; its calls fail with UNAVAILABLE and `reason`. */
  abort(reason: Error): void
}

export interface DialOptions {
  /** Compresses what is sent. Default `identity`: on a local stream compression costs more than it saves. */
  readonly compression?: 'identity' | 'gzip' | 'deflate'
  /** gRPC call credentials for every call on this connection. */
  readonly callCredentials?: CallCredentials
}

/**
 * Joins services of one process to callers in the other, by number. Both sides can serve and dial, as often and in
 * any order as they like. Each dial is a substream of the one stream, or of the plugin's socket on `socket-mux`, and a
 * connection to a socket of that ID on `socket`.
 */
export interface Broker {
  /** A fresh broker ID of this side: 1, 2, 3 and so on. */
  nextId(): number
  /**
   * Offers one service under a fresh ID from {@link nextId}.
   * @throws `ERR_BROKER_CLOSED`; `ERR_BROKER_ID_TAKEN` when you have accepted the next number without asking for it
   */
  serve<S extends ServiceDescriptor>(service: S, implementation: ServiceImplementation<S>): Served
  /**
   * Offers services under an ID of your choice, usually from {@link nextId}: typed ones made by `implement`, or grpc-js
   * definitions with their handlers.
   * @throws `ERR_BROKER_ID_TAKEN`, `ERR_BROKER_CLOSED`, `ERR_CONFIG_CONFLICT` for two services of one name
   */
  accept(id: number, services: readonly ServiceBinding[]): Served
  /**
   * Opens a connection to what the other side offers under `id`. Nothing is waited for: a connection that finds no
   * service within the other side's accept time-out (5 s) fails its calls with UNAVAILABLE, naming the ID.
   * A connection that fails is opened anew by the next call; one that the other side has closed is not.
   * @throws `ERR_BROKER_CLOSED`; `ERR_CONFIG_INVALID` for a number that is no broker ID
   */
  dial(id: number, options?: DialOptions): Connection
}

export interface BrokerSetup {
  readonly transport: Pick<Transport, 'kind' | 'route' | 'over' | 'isLost'>
  /** How calls of this side go, where the transport leaves a choice. The other side's are served on every wire. */
  readonly wire: Wire
  /** How messages name the other process. */
  readonly peerName: string
  /** Limit of one message, both ways, in bytes. */
  readonly maxMessageBytes: number
  /** Told when this side begins to have calls in flight, its own or the other side's, and when it has none left. */
  readonly onBusy?: (busy: boolean) => void
  /** Asked before each dial; throws where it is too early. */
  readonly mayDial?: () => void
  /** Why this side itself has ended everything, once it has: the reason of all that is lost from then on. */
  readonly endReason?: () => Error | undefined
  /** Asked why the transport was lost. */
  readonly explainLoss: (cause: Error | undefined) => Promise<Error>
  readonly logger: Logger
}

/** The broker together with what only its owner, the host's or plugin's side of the session, may do. */
export interface OwnedBroker extends Broker {
  /**
   * Refuses what is new: dials and accepts throw, calls on every connection but `except` fail with `reason`. Resolves
   * once no call is in flight, of either side. No limit on how long that takes.
   */
  drain(reason: Error, except: Connection): Promise<void>
  /** Closes every server within `graceMs`. Connections stay. */
  closeServers(graceMs: number): Promise<void>
  /** Refuses everything from now on and ends every connection and server: calls fail with `reason`. */
  abort(reason: Error): void
}

export function createBroker(setup: BrokerSetup): OwnedBroker {
  const { transport, peerName, maxMessageBytes, logger } = setup
  const { route } = transport
  const servers = new Set<GrpcServer>()
  const channels = new Set<StreamChannel>()
  const idleWaiters = new Set<() => void>()
  let lastId = 0
  let holders = 0
  let closed = false

  const onBusy = (busy: boolean): void => {
    holders += busy ? 1 : -1
    if (busy ? holders === 1 : holders === 0) setup.onBusy?.(busy)
    if (holders > 0) return
    for (const wake of idleWaiters) wake()
    idleWaiters.clear()
  }

  /** Somebody awaits this: the process must not end for want of anything else to do. */
  async function whileBusy(promise: Promise<void>): Promise<void> {
    onBusy(true)
    try {
      await promise
    } finally {
      onBusy(false)
    }
  }

  /** The loss of one connection says nothing of the others; the loss of the session does. */
  async function explainLoss(id: number, cause: Error | undefined): Promise<Error> {
    const ended = setup.endReason?.()
    if (ended !== undefined) return ended
    const known = isPluginError(cause) ? cause : undefined
    if (known !== undefined && !lostWithSession.has(known.code)) {
      // There is nobody to connect to any more.
      return known.code === 'ERR_SOCKET_CONNECT' && transport.over ? setup.explainLoss(cause) : known
    }
    if (await transport.isLost(id)) {
      return setup.explainLoss(known?.code === 'ERR_SESSION_CLOSED' ? asError(known.cause) : cause)
    }
    // The other side says so itself.
    if (known?.code === 'ERR_STREAM_CLOSED' && known.id === id) return known
    if (cause === undefined) {
      return new PluginError('ERR_STREAM_CLOSED', `${peerName} has closed the connection`, {
        hint: 'The side that serves owns a service and may end it: ask for it again, or do without.'
      })
    }
    return new PluginError('ERR_STREAM_RESET', `a connection to ${peerName} has failed: ${cause.message}`, {
      cause,
      hint: 'Call again: the next call opens a new connection.'
    })
  }

  /** A connection that failed is dialled again by the next call; one that the other side closed is not. */
  const mayRedial = (reason: Error): boolean => {
    return !closed && !transport.over && !isPluginError(reason, 'ERR_STREAM_CLOSED')
  }

  const onClosed = (channel: StreamChannel): void => {
    channels.delete(channel)
  }

  function accept(id: number, services: readonly ServiceBinding[]): Served {
    if (closed) throw brokerClosed(id)
    const server: GrpcServer = createGrpcServer(services, {
      maxReceiveBytes: maxMessageBytes,
      maxSendBytes: maxMessageBytes,
      ...(transport.kind === 'socket' ? {} : { windowBytes: substreamServerWindowBytes }),
      onBusy,
      logger
    })
    const acceptance: Acceptance = route.accept(
      id,
      (connection) => server.serve(connection),
      (port) => server.serveCall(port)
    )
    servers.add(server)
    return new ServedServices(acceptance, server, endServer)
  }

  /** Once a server that was closed by itself is over. */
  function endServer(server: GrpcServer, graceMs: number): Promise<void> {
    return whileBusy(server.close({ graceMs }).finally(() => servers.delete(server)))
  }

  function nextId(): number {
    lastId += 1
    return lastId
  }

  return {
    nextId,
    accept,
    serve: (service, implementation) => accept(nextId(), [implement(service, implementation)]),

    dial(id, options = {}) {
      checkId(id)
      if (closed) throw brokerClosed(id)
      const channelOptions: ChannelOptions = {
        target: `${peerName}:${id}`,
        maxReceiveBytes: maxMessageBytes,
        maxSendBytes: maxMessageBytes,
        ...options,
        onBusy,
        backgroundPaths,
        explainLoss: (cause) => explainLoss(id, cause),
        mayRedial,
        onClosed,
        logger
      }
      const channel =
        setup.wire === 'direct' && route.calls !== undefined
          ? createDirectChannel(() => {
              setup.mayDial?.()
              return route.calls!(id)
            }, channelOptions)
          : createChannel((signal) => {
              setup.mayDial?.()
              return route.dial(id, signal)
            }, channelOptions)
      channels.add(channel)
      return new DialledConnection(id, channel, peerName, whileBusy)
    },

    async drain(reason, except) {
      closed = true
      for (const channel of channels) {
        if (channel !== except.channel) channel.close(() => reason)
      }
      if (holders > 0) {
        await new Promise<void>((resolve) => {
          idleWaiters.add(resolve)
        })
      }
    },

    async closeServers(graceMs) {
      closed = true
      route.close()
      await Promise.all([...servers].map((server) => server.close({ graceMs })))
    },

    abort(reason) {
      closed = true
      route.close()
      for (const channel of channels) channel.abort(reason)
      for (const server of servers) void server.abort()
    }
  }
}

// There is one of these for each broker ID that is served or dialled.

class ServedServices implements Served {
  readonly #acceptance: Acceptance
  readonly #server: GrpcServer
  readonly #end: (server: GrpcServer, graceMs: number) => Promise<void>

  constructor(
    acceptance: Acceptance,
    server: GrpcServer,
    end: (server: GrpcServer, graceMs: number) => Promise<void>
  ) {
    this.#acceptance = acceptance
    this.#server = server
    this.#end = end
  }

  get id(): number {
    return this.#acceptance.id
  }

  get ready(): Promise<void> {
    return this.#acceptance.ready
  }

  async close({ graceMs = 5000 }: { readonly graceMs?: number } = {}): Promise<void> {
    checkDuration('graceMs', graceMs)
    this.#acceptance.close()
    await this.#end(this.#server, graceMs)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

class DialledConnection implements Connection {
  readonly id: number
  readonly channel: StreamChannel
  readonly #peerName: string
  readonly #whileBusy: (promise: Promise<void>) => Promise<void>

  constructor(
    id: number,
    channel: StreamChannel,
    peerName: string,
    whileBusy: (promise: Promise<void>) => Promise<void>
  ) {
    this.id = id
    this.channel = channel
    this.#peerName = peerName
    this.#whileBusy = whileBusy
  }

  dispense<S extends ServiceDescriptor>(service: S): Client<S> {
    return createClient(service, this.channel)
  }

  close(): Promise<void> {
    this.channel.close(() => connectionClosed(this.#peerName, this.id))
    return this.#whileBusy(this.channel.closed)
  }

  abort(reason: Error): void {
    this.channel.abort(reason)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/**
 * HTTP/2 window of a server on a substream: two messages of 64 KiB. The substream itself takes 256 KiB that were not read, so
 * 96 are left for what HTTP/2's windows do not count. What a unix socket takes is up to the system, so there HTTP/2's
 * own window is kept.
 */
const substreamServerWindowBytes = 160 * 1024

/** Calls that last as long as the plugin: go-plugin's own streams. */
const backgroundPaths: ReadonlySet<string> = new Set([
  GRPCBroker.methods.startStream.path,
  GRPCStdio.methods.streamStdio.path
])

/** What a connection fails with when the session below it is lost, or when nothing more is known. */
const lostWithSession: ReadonlySet<ErrorCode> = new Set([
  'ERR_SESSION_CLOSED',
  'ERR_STREAM_CLOSED',
  'ERR_STREAM_RESET'
])

function asError(value: unknown): Error | undefined {
  return value instanceof Error ? value : undefined
}

function connectionClosed(peerName: string, id: number): PluginError {
  return new PluginError(
    'ERR_STREAM_CLOSED',
    `the connection to ${peerName}, broker ID ${id}, was closed here`,
    {
      id,
      hint: 'Finish calls before closing a connection, or dial again.'
    }
  )
}
