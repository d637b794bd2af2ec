import type {
  Server,
  ServerInterceptor,
  ServerOptions,
  UntypedHandleCall,
  UntypedServiceImplementation
} from '@grpc/grpc-js'
import type { EventEmitter } from 'node:events'
import type { Http2Server, Settings } from 'node:http2'
import type { Duplex } from 'node:stream'
import { PluginError } from '../errors.js'
import { silentLogger, type Logger } from '../log.js'
import type { Receiver, SubstreamPort } from '../mux/port.js'
import { checkDuration, settlesWithin } from '../signal.js'
import { attachGrpcJs, handlerFor } from './direct-intercepting.js'
import {
  type DirectServer,
  type DirectServerOptions,
  type Served,
  createDirectServer
} from './direct-server.js'
import { loadGrpcJs } from './grpc-js.js'
import type { ServiceBinding } from './handler.js'

/**
 * One gRPC server for any number of byte streams, each with an HTTP/2 connection on it (wire `h2`), and of substreams, each
 * with a call (wire `direct`). It listens nowhere.
 */
export interface GrpcServer {
  /**
   * Serves one HTTP/2 connection on the byte stream, which belongs to the server from then on; after `close()` it is
   * destroyed instead. The stream must take at least `windowBytes` and 64 KiB more that have not been read yet: a
   * node:http2 session reads nothing while a write of its own is unfinished, so two of them over a smaller buffer can stop
   * each other for ever.
   */
  serve(connection: Duplex): void
  /** Serves one call. What it gives receives what comes after the substream's preamble. */
  serveCall(port: SubstreamPort): Receiver
  /** Calls whose handler was started and whose stream has not ended. */
  readonly activeCalls: number
  /**
   * Refuses new connections and calls, lets calls in flight end for at most `graceMs` milliseconds (5000; `Infinity`:
   * no limit), then ends the rest. Resolves once every connection is closed and those handlers have seen their signal abort.
   * Safe to repeat: the same promise, and the first `graceMs` counts.
   * @throws `ERR_CONFIG_INVALID` for a `graceMs` that is not a duration
   */
  close(options?: { readonly graceMs?: number }): Promise<void>
  /** Ends every connection and call now, also while `close()` waits. Resolves as `close()` does. Safe to repeat. */
  abort(): Promise<void>
}

export interface GrpcServerOptions {
  /**
   * Largest message taken, in bytes; a larger one fails its call with RESOURCE_EXHAUSTED. `Infinity`: no limit.
   * Default 64 MiB: gRPC's own 4 MiB is what plugins hit first, and both ends are run by the same user.
   */
  readonly maxReceiveBytes?: number
  /** Largest message sent, in bytes. Default `Infinity`: the caller's limit is the one that counts. */
  readonly maxSendBytes?: number
  /**
   * HTTP/2 receive window of a connection and of each call on it, in bytes. Default 65,535, that of HTTP/2, with which an
   * upload waits for the reader every four frames. The byte stream has to take in so much and 64 KiB more without its
   * being read: see {@link GrpcServer.serve}.
   */
  readonly windowBytes?: number
  /** grpc-js interceptors, innermost first, as grpc-js's own server takes them. */
  readonly interceptors?: readonly ServerInterceptor[]
  readonly logger?: Logger
  /** Told when the first call begins (`true`) and when the last one has ended (`false`). Must not throw. */
  readonly onBusy?: (busy: boolean) => void
}

/**
 * Creates a server with the given services.
 * @throws `ERR_CONFIG_CONFLICT` when two bindings are for the same service; `ERR_CONFIG_INVALID` for a limit that is
 * not a size
 */
export function createGrpcServer(
  bindings: readonly ServiceBinding[],
  options: GrpcServerOptions = {}
): GrpcServer {
  checkWindow(options.windowBytes ?? http2WindowBytes)
  checkMessageLimit('maxReceiveBytes', options.maxReceiveBytes ?? defaultReceiveBytes)
  checkMessageLimit('maxSendBytes', options.maxSendBytes ?? Infinity)
  if (bindings.length > 1) checkConflicts(bindings)
  return new StreamServer(bindings, options)
}

/** gRPC's own 4 MiB is what plugins hit first. */
const defaultReceiveBytes = 64 * 1024 * 1024

/** There is one for each accepted broker ID, so what few of them need is made when it is needed. */
class StreamServer implements GrpcServer, DirectServerOptions {
  readonly #bindings: readonly ServiceBinding[]
  readonly #options: GrpcServerOptions
  readonly #logger: Logger
  /** Calls that are work, on every wire. */
  #active = 0
  #onIdle: (() => void) | undefined
  /** grpc-js's server, once somebody needs it. */
  #grpcJs: GrpcJsServer | undefined
  /** Serves the calls of wire `direct`, once one has come. */
  #direct: DirectServer | undefined
  #connections: Map<Duplex, Promise<void>> | undefined
  #closed: Promise<void> | undefined

  constructor(bindings: readonly ServiceBinding[], options: GrpcServerOptions) {
    this.#bindings = bindings
    this.#options = options
    this.#logger = options.logger ?? silentLogger
    // What is wrong with definitions is to be told now, and where there are some grpc-js is loaded.
    if (bindings.some(isForeign)) this.#makeGrpcJs()
  }

  serve(connection: Duplex): void {
    if (connection.destroyed) return
    if (this.#closed !== undefined) {
      connection.destroy()
      return
    }
    this.#connections ??= new Map()
    const connections = this.#connections
    const ended = new Promise<void>((resolve) => {
      connection.once('close', () => {
        connections.delete(connection)
        resolve()
      })
    })
    connections.set(connection, ended)
    connection.on('error', (err) => this.#logger.debug({ err }, 'a connection failed'))
    this.#makeGrpcJs().injector.injectConnection(connection)
  }

  serveCall(port: SubstreamPort): Receiver {
    if (this.#direct === undefined) {
      this.#direct = createDirectServer(this)
      if (this.#closed !== undefined) this.#direct.close()
    }
    return this.#direct.take(port)
  }

  get activeCalls(): number {
    return this.#active
  }

  close({ graceMs = 5000 }: { readonly graceMs?: number } = {}): Promise<void> {
    this.#closed ??= this.#shutDown(checkDuration('graceMs', graceMs))
    return this.#closed
  }

  abort(): Promise<void> {
    this.#closed ??= this.#shutDown(Infinity)
    for (const connection of this.#connections?.keys() ?? []) connection.destroy()
    this.#direct?.end()
    return this.#closed
  }

  async #shutDown(graceMs: number): Promise<void> {
    this.#grpcJs?.injector.destroy()
    this.#direct?.close()
    const calls = this.#direct?.size ?? 0
    if (calls === 0 && this.#connections === undefined) return
    const connections = (this.#connections ??= new Map())
    for (const connection of connections.keys()) destroyAfterEnd(connection)
    const drained = Promise.all([...connections.values(), calls === 0 ? undefined : this.#idle()])
    if (!(await settlesWithin(drained, graceMs))) {
      this.#logger.debug({ ms: graceMs }, `ending ${this.#active} calls that are still in flight`)
      for (const connection of connections.keys()) connection.destroy()
      this.#direct?.end()
      await Promise.all(connections.values())
    }
    this.#direct?.end()
    // A connection is gone some ticks before the handlers of its calls are told.
    if (this.#active > 0) await settlesWithin(this.#idle(), lingerMs)
  }

  /** Resolves once no call is at work. */
  #idle(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#active === 0) resolve()
      else this.#onIdle = resolve
    })
  }

  // For calls of wire `direct`

  get maxReceiveBytes(): number {
    return this.#options.maxReceiveBytes ?? defaultReceiveBytes
  }

  get maxSendBytes(): number {
    return this.#options.maxSendBytes ?? Infinity
  }

  began(): void {
    this.#active++
    if (this.#active === 1) this.#options.onBusy?.(true)
  }

  ended(): void {
    this.#active--
    if (this.#active > 0) return
    this.#options.onBusy?.(false)
    this.#onIdle?.()
  }

  find(path: string): Served | undefined {
    let foreign = false
    for (const { methods, background = false } of this.#bindings) {
      const plain = methods?.get(path)
      if (plain !== undefined)
        return this.#interceptors.length === 0 ? { plain, background } : this.#serveByGrpcJs(path)
      foreign ||= methods === undefined
    }
    return foreign ? this.#serveByGrpcJs(path) : undefined
  }

  // grpc-js

  get #interceptors(): readonly ServerInterceptor[] {
    return this.#options.interceptors ?? []
  }

  #makeGrpcJs(): GrpcJsServer {
    if (this.#grpcJs !== undefined) return this.#grpcJs
    const { Server: GrpcServerClass } = loadGrpcJs()
    const server = new GrpcServerClass({
      'grpc.max_receive_message_length': grpcJsLimit(this.maxReceiveBytes),
      'grpc.max_send_message_length': grpcJsLimit(this.maxSendBytes),
      // Fewer objects for each connection and call; forceShutdown(), which would need it, is not used.
      'grpc.enable_channelz': 0,
      interceptors: [...this.#interceptors]
    } satisfies ServerOptions)
    for (const binding of this.#bindings)
      server.addService(
        binding.definition,
        tracked(binding, (call) => this.#track(call))
      )
    this.#grpcJs = { server, injector: createInjector(server, this.#options.windowBytes ?? http2WindowBytes) }
    return this.#grpcJs
  }

  #serveByGrpcJs(path: string): Served | undefined {
    const { server } = this.#makeGrpcJs()
    const handler = handlerFor(server, path)
    if (handler === undefined) return undefined
    // Those that are work are tracked where grpc-js runs them.
    return { background: true, attach: (call) => attachGrpcJs(server, handler, this.#interceptors, call) }
  }

  #track(call: TrackedCall): void {
    // grpc-js may hand over a call that its deadline has ended, and says nothing of it afterwards.
    if (Number(call.getDeadline()) <= Date.now()) return
    this.began()
    call.once('cancelled', () => this.ended())
  }
}

interface GrpcJsServer {
  readonly server: Server
  readonly injector: Injector
}

/** Whether a binding is grpc-js's own definition and handlers. */
function isForeign({ methods }: ServiceBinding): boolean {
  return methods === undefined
}

type Injector = ReturnType<Server['createConnectionInjector']>

/** What grpc-js 1.14.7 keeps to itself. */
interface ServerInternals {
  readonly commonServerOptions: { settings?: Settings }
  readonly http2Servers: ReadonlyMap<Http2Server, unknown>
}

/** The window of the server's side is node:http2's to set, and grpc-js has no option for it. */
function createInjector(server: Server, windowBytes: number): Injector {
  const { commonServerOptions, http2Servers } = server as unknown as ServerInternals
  commonServerOptions.settings = { ...commonServerOptions.settings, initialWindowSize: windowBytes }
  const injector = server.createConnectionInjector(loadGrpcJs().ServerCredentials.createInsecure())
  for (const http2Server of http2Servers.keys()) {
    http2Server.on('session', (session) => session.setLocalWindowSize(windowBytes))
  }
  return injector
}

/** How long a peer may take to end its half of a connection that has no calls and is ended here. */
const lingerMs = 1000

/** A session that was closed ends the stream after its last call, and then waits for the peer to end it too. */
function destroyAfterEnd(connection: Duplex): void {
  const linger = (): void => {
    const timer = setTimeout(() => connection.destroy(), lingerMs)
    connection.once('close', () => clearTimeout(timer))
  }
  if (connection.writableFinished) linger()
  else connection.once('finish', linger)
}

type TrackedCall = EventEmitter & { getDeadline(): Date | number }

/** The same handlers, with each call shown to `track` first. */
function tracked({ definition, handlers, background }: ServiceBinding, track: (call: TrackedCall) => void) {
  if (background === true) return handlers
  const wrapped: UntypedServiceImplementation = {}
  for (const [name, { originalName = name }] of Object.entries(definition)) {
    // As grpc-js looks them up.
    const handler = (handlers[name] ?? handlers[originalName]) as
      ((call: TrackedCall, ...rest: unknown[]) => void) | undefined
    if (handler === undefined) continue
    const run = (call: TrackedCall, ...rest: unknown[]): void => {
      track(call)
      handler.call(handlers, call, ...rest)
    }
    wrapped[name] = run as UntypedHandleCall
  }
  return wrapped
}

function checkConflicts(bindings: readonly ServiceBinding[]): void {
  const owners = new Map<string, number>()
  for (const [index, binding] of bindings.entries()) {
    // A binding of ours makes its definition only when it is asked for.
    const names =
      binding.typeName !== undefined && binding.methods !== undefined
        ? [binding.typeName]
        : new Set(Object.values(binding.definition).map(({ path }) => path.split('/')[1] ?? path))
    for (const name of names) {
      const other = owners.get(name)
      if (other !== undefined) {
        throw new PluginError(
          'ERR_CONFIG_CONFLICT',
          `bindings ${other} and ${index} are both for service ${name}`,
          {
            hint: 'A server has one implementation of a service. Leave one out, or serve it under another broker ID.'
          }
        )
      }
      owners.set(name, index)
    }
  }
}

/** HTTP/2's initial window, and the largest that there is (RFC 9113, 6.9.1 and 6.9.2). */
const http2WindowBytes = 65_535
const mostWindowBytes = 2 ** 31 - 1

function checkWindow(bytes: number): void {
  if (Number.isInteger(bytes) && bytes >= http2WindowBytes && bytes <= mostWindowBytes) return
  throw new PluginError('ERR_CONFIG_INVALID', `windowBytes is ${String(bytes)}, not a window`, {
    hint: `Give windowBytes as a whole number of bytes from ${http2WindowBytes} to ${mostWindowBytes}.`
  })
}

function checkMessageLimit(name: string, bytes: number): void {
  if (bytes === Infinity || (Number.isInteger(bytes) && bytes > 0)) return
  throw new PluginError('ERR_CONFIG_INVALID', `${name} is ${String(bytes)}, not a size`, {
    hint: `Give ${name} as a whole number of bytes from 1, or Infinity for no limit.`
  })
}

/** A limit in the form of grpc-js, for which -1 is none. */
function grpcJsLimit(bytes: number): number {
  return bytes === Infinity ? -1 : bytes
}
