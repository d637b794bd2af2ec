import { createRequire } from 'node:module'
import type { Duplex } from 'node:stream'
import type { CallCredentials, ChannelInterface, Deadline } from '@grpc/grpc-js'
import type { CallRoute } from '../broker/route.js'
import { PluginError, isPluginError } from '../errors.js'
import { silentLogger, type Logger } from '../log.js'
import { checkDuration } from '../signal.js'
import { ChannelCall, callRequest, type CallOwner } from './channel-call.js'
import { encodings, type Encoding } from './compression.js'
import { deadlineMs, onDeadline } from './deadline.js'
import { openDirectConnection } from './direct-client.js'
import { openH2Connection } from './h2-client.js'
import { ConnectivityState, Status } from './grpc-js.js'
import type { PlainUnaryRequest } from './direct-unary.js'
import type { AuthContext, OpenCall, WireConnection, WireConnectionEvents } from './wire-connection.js'

/** How a channel behaves; every member may be left out. */
export interface ChannelOptions {
  /**
   * Names the other end in messages, `getTarget()` and `getPeer()`, and as `:authority`, where characters that a host
   * name cannot have become `-`. Default `localhost`.
   */
  readonly target?: string
  /** Longest message taken, in bytes, after decompression too. Default 4 MiB, as gRPC; `Infinity`: any. */
  readonly maxReceiveBytes?: number
  /** Longest message sent, in bytes before compression. Default `Infinity`, as gRPC. */
  readonly maxSendBytes?: number
  /** Encoding of messages sent, for as long as the peer does not say that it lacks it. Default `identity`. */
  readonly compression?: Encoding
  /** Put before grpc-js's own name in `user-agent`. */
  readonly userAgent?: string
  /**
   * How long the other end may take to answer at all (with its HTTP/2 SETTINGS), in milliseconds from the connection's
   * start. Default 20000, as gRPC; `Infinity`: for ever. Then calls end UNAVAILABLE with `ERR_SESSION_PROTOCOL`.
   */
  readonly connectTimeoutMs?: number
  /** Add metadata to every call, after those of the call's own credentials. */
  readonly callCredentials?: CallCredentials
  /**
   * Told when the number of open calls leaves zero and when it returns there, so that the owner of the byte stream can
   * ref and unref it. Without it an open call keeps the process alive by a timer.
   */
  readonly onBusy?: (busy: boolean) => void
  /** Paths of methods whose calls are no work: they count neither for `onBusy` nor keep the process alive. */
  readonly backgroundPaths?: ReadonlySet<string>
  /**
   * Asked once when the connection is lost, before open calls end, with the error known so far: may wait to learn why,
   * and has to settle. What it gives becomes the calls' status: its message their details, itself their `cause`.
   */
  readonly explainLoss?: (cause: Error | undefined) => Promise<Error>
  /**
   * Asked when a call comes after the connection was lost for `reason`: whether to call `connect` once more. Default:
   * never. Nothing is dialled without a call, nor while a connection that the peer has closed in order (GOAWAY with
   * code 0) still has its last calls.
   */
  readonly mayRedial?: (reason: Error) => boolean
  /** Told when {@link StreamChannel.closed} settles, for who keeps many channels and awaits none. Must not throw. */
  readonly onClosed?: (channel: StreamChannel) => void
  readonly logger?: Logger
}

/** A grpc-js channel over one connection at a time; for the client option `channelOverride`. */
export interface StreamChannel extends ChannelInterface {
  /**
   * Ends the channel in order. With a `reason`, later calls end UNAVAILABLE with what it makes; without one `createCall` throws, as
   * grpc-js's own channel does.
   */
  close(reason?: () => Error): void
  /** Settles when the connection is gone for good, or was never made, and no call is left. Never rejects. */
  readonly closed: Promise<void>
  /**
   * Makes the usual unary call in a shorter way, where there is one at the moment; undefined where it has to be made by
   * `createCall`. Rejects as `callUnary` does.
   */
  unary(request: PlainUnaryRequest): Promise<unknown> | undefined
  /** Calls that were started and have no status yet. */
  readonly activeCalls: number
  /**
   * Ends every call UNAVAILABLE, with `reason` as for a lost connection, and destroys the byte stream with it. Later
   * calls end in the same way. Safe to repeat.
   */
  abort(reason: Error): void
}

/**
 * Gives the byte stream of a connection, at once or later. The signal aborts when nobody wants it any more; a stream that
 * comes all the same is destroyed.
 */
export type Connect = (signal: AbortSignal) => Duplex | Promise<Duplex>

/**
 * Makes a channel that speaks gRPC over HTTP/2 on the byte stream which `connect` gives. `connect` is called at the first
 * call or `getConnectivityState(true)`, and again only as `mayRedial` says; the stream belongs to the channel and has to buffer what
 * {@link openH2Connection} says. Calls wait for a stream that comes later; when none comes they end UNAVAILABLE.
 *
 * When the connection is lost, calls end UNAVAILABLE. Where a PluginError is the reason (the stream was destroyed with
 * it, `explainLoss` gave it, or {@link StreamChannel.abort}), the status has its message as details, the error as
 * `cause` and its code in the metadata under `muxplug-error`.
 *
 * `close()` lets open calls finish, ends those that wait for their credentials with UNAVAILABLE, and then ends the
 * connection; afterwards `createCall` throws.
 * @throws `ERR_CONFIG_INVALID` for an option out of range
 */
export function createChannel(connect: Connect, options: ChannelOptions = {}): StreamChannel {
  const settings = resolve(options)
  return new WireChannel((events, signal) => {
    const stream = connect(signal())
    if (!(stream instanceof Promise)) return openH2Connection(stream, settings, events)
    return stream.then((connected) => openH2Connection(connected, settings, events))
  }, settings)
}

/**
 * {@link createChannel} with each call on a substream of its own (wire `direct`). `open` is called as `connect` is; as
 * there is no connection that could be lost, the loss is that of the session.
 */
export function createDirectChannel(open: () => CallRoute, options: ChannelOptions = {}): StreamChannel {
  const settings = resolve(options)
  return new WireChannel((events) => openDirectConnection(open(), settings, events), settings)
}

/**
 * Starts a wire's connection, at once or once there is something to start it on; it tells nothing before it returned or
 * the promise has settled. A throw, or a rejection, means that there is none. The signal is {@link Connect}'s.
 */
export type OpenConnection = (
  events: WireConnectionEvents,
  signal: () => AbortSignal
) => WireConnection | Promise<WireConnection>

/**
 * ```
 *  idle ──> dialling ──> connecting ──> ready ──> draining ──> lost
 *    │          └────────────┴────────────┴────────────────────┘ │
 *    ├── abort ──> lost                                          │
 *    └<── a call, where mayRedial allows it ─────────────────────┘
 * ```
 * `close()` is apart from these: it shows as SHUTDOWN, and the connection goes on until the last call is over.
 */
type State =
  | { readonly t: 'idle' }
  /** Calls are in `awaiting` meanwhile. Left out where the byte stream is there at once. */
  | { readonly t: 'dialling'; readonly cancel: Cancel }
  | { readonly t: 'connecting' | 'ready'; readonly connection: WireConnection }
  | {
      readonly t: 'draining'
      readonly connection: WireConnection
      readonly reason: Error
      readonly failing: boolean
    }
  | { readonly t: 'lost'; readonly reason: () => Promise<Error>; readonly explained?: Error }

const idle: State = { t: 'idle' }

interface Watcher {
  readonly seen: ConnectivityState
  readonly tell: (error?: Error) => void
}

/** {@link createChannel} over any wire. */
export function createWireChannel(
  openConnection: OpenConnection,
  options: ChannelOptions = {}
): StreamChannel {
  return new WireChannel(openConnection, resolve(options))
}

/** There is one for each dialled broker ID, so what few of them need is made when it is needed. */
class WireChannel implements StreamChannel, CallOwner, WireConnectionEvents {
  readonly #openConnection: OpenConnection
  readonly #settings: Settings
  readonly #calls = new Set<OpenCall>()
  /** Calls that wait for the byte stream, or came when a connection was being lost: they go on the next, if there may be one. */
  #awaiting: Set<OpenCall> | undefined
  /** Calls made after `close(reason)`. */
  #tooLate: WeakSet<OpenCall> | undefined
  #watchers: Set<Watcher> | undefined
  #over = false
  #closed: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined
  #state = idle
  #shutDown = false
  /** Makes the reason that calls end with from then on. */
  #shutDownReason: (() => Error) | undefined
  #aborted = false
  #callCount = 0
  #busyCalls = 0
  #peerEncodings: readonly string[] | undefined
  #authority: string | undefined
  #hold: NodeJS.Timeout | undefined

  constructor(openConnection: OpenConnection, settings: Settings) {
    this.#openConnection = openConnection
    this.#settings = settings
  }

  get closed(): Promise<void> {
    if (this.#closed === undefined) {
      let settle = (): void => {}
      const promise = new Promise<void>((done) => {
        settle = done
      })
      this.#closed = { promise, resolve: settle }
      if (this.#over) settle()
    }
    return this.#closed.promise
  }

  get activeCalls(): number {
    return this.#calls.size
  }

  createCall(...args: Parameters<ChannelInterface['createCall']>): ChannelCall {
    const request = callRequest(++this.#callCount, ...args)
    this.#refuseIfShutDown()
    const call = new ChannelCall(this, request)
    if (this.#shutDown) (this.#tooLate ??= new WeakSet()).add(call)
    return call
  }

  unary(request: PlainUnaryRequest): Promise<unknown> | undefined {
    const state = this.#state
    if (state.t !== 'ready' || this.#shutDown || !this.#settings.plain) return undefined
    return state.connection.unary?.(this, request)
  }

  getTarget(): string {
    return this.#settings.target
  }

  getConnectivityState(tryToConnect: boolean): ConnectivityState {
    if (tryToConnect && !this.#shutDown && this.#start() && 'connection' in this.#state)
      this.#state.connection.probe?.()
    return this.#connectivity()
  }

  watchConnectivityState(
    currentState: ConnectivityState,
    deadline: Deadline,
    callback: (error?: Error) => void
  ): void {
    this.#refuseIfShutDown()
    this.#watchers ??= new Set()
    watch(this.#watchers, currentState, deadline, callback)
    // grpc-js's waitForReady watches again and again: where nothing can change any more it has to be told.
    if (this.#state.t === 'lost' && currentState === ConnectivityState.TRANSIENT_FAILURE) {
      for (const watcher of this.#watchers)
        watcher.tell(new Error(`The connection to ${this.target} is lost for good`))
    } else {
      this.#tellWatchers()
    }
  }

  getChannelzRef(): ReturnType<ChannelInterface['getChannelzRef']> {
    // The kind's enum is not exported; its value is this string.
    // oxlint-disable-next-line typescript/no-unsafe-enum-assignment
    return { kind: 'channel', id: 0, name: this.target } as ReturnType<ChannelInterface['getChannelzRef']>
  }

  close(reason?: () => Error): void {
    if (this.#shutDown) return
    this.#shutDown = true
    this.#shutDownReason = reason
    this.#settings.logger.trace({ stream: this.target }, 'gRPC channel is closing')
    this.#tellWatchers()
    for (const call of this.#calls) {
      // Those that only wait for the byte stream have begun.
      if (!call.waiting || this.#awaiting?.has(call) === true) continue
      if (reason !== undefined) call.connectionLost(reason())
      else call.cancelWithStatus(Status.UNAVAILABLE, 'Channel closed before call started')
    }
    this.#closeIfIdle()
  }

  abort(reason: Error): void {
    this.#aborted = true
    const previous = this.#state
    if (previous.t !== 'lost') this.#lose(Promise.resolve(reason))
    this.#endCalls(reason)
    this.#settleIfOver()
    if ('connection' in previous) previous.connection.abort(reason)
    else if (previous.t === 'dialling') previous.cancel.abort(reason)
  }

  #refuseIfShutDown(): void {
    if (this.#shutDown && this.#shutDownReason === undefined) throw new Error('Channel has been shut down')
  }

  // State

  #connectivity(): ConnectivityState {
    if (this.#shutDown) return ConnectivityState.SHUTDOWN
    switch (this.#state.t) {
      case 'idle':
        return ConnectivityState.IDLE
      case 'dialling':
      case 'connecting':
        return ConnectivityState.CONNECTING
      case 'ready':
        return ConnectivityState.READY
      case 'draining':
      case 'lost':
        return ConnectivityState.TRANSIENT_FAILURE
    }
  }

  #move(next: State): void {
    this.#state = next
    this.#settings.logger.trace({ stream: this.target, state: next.t }, 'gRPC channel changed state')
    this.#tellWatchers()
  }

  #tellWatchers(): void {
    if (this.#watchers === undefined) return
    const now = this.#connectivity()
    for (const watcher of this.#watchers) {
      if (watcher.seen !== now) watcher.tell()
    }
  }

  /** Dials, if nothing has been dialled yet; false when that failed at once. */
  #start(): boolean {
    if (this.#state.t !== 'idle') return true
    const cancel = new Cancel()
    try {
      const opened = this.#openConnection(this, () => cancel.signal)
      if (!(opened instanceof Promise)) {
        this.#move({ t: 'connecting', connection: opened })
        return true
      }
      this.#move({ t: 'dialling', cancel })
      void this.#dialled(opened, cancel)
    } catch (error) {
      this.#lose(this.#explain(asError(error)))
      return false
    }
    return true
  }

  async #dialled(opening: Promise<WireConnection>, cancel: Cancel): Promise<void> {
    const wanted = (): boolean => this.#state.t === 'dialling' && this.#state.cancel === cancel
    try {
      const connection = await opening
      if (!wanted()) return connection.abort(asError(cancel.signal.reason))
      this.#move({ t: 'connecting', connection })
      this.#proceed()
    } catch (error) {
      if (!wanted()) return
      // These have had their dial; the next call may try another.
      this.#awaiting?.clear()
      this.#lose(this.#explain(asError(error)))
    }
  }

  #await(call: OpenCall): void {
    this.#awaiting ??= new Set()
    this.#awaiting.add(call)
  }

  #proceed(): void {
    if (this.#awaiting === undefined || this.#awaiting.size === 0) return
    const waited = [...this.#awaiting]
    this.#awaiting.clear()
    for (const call of waited) call.proceed()
  }

  #lose(reason: Promise<Error>): void {
    this.#move({ t: 'lost', reason: () => reason })
    this.#settleIfOver()
    void reason.then((error) => this.#endCalls(error))
  }

  /** The first reason to come counts, be it explained or an abort's. */
  #endCalls(reason: Error): void {
    if (this.#state.t === 'lost' && this.#state.explained !== undefined) return
    this.#settings.logger.trace({ stream: this.target, err: reason }, 'gRPC connection is gone')
    this.#state = { t: 'lost', reason: () => Promise.resolve(reason), explained: reason }
    const again = this.#redialable(reason)
    for (const call of this.#calls) {
      if (!again || this.#awaiting?.has(call) !== true) call.connectionLost(reason)
    }
    this.#proceed()
    this.#settleIfOver()
  }

  async #explain(cause: Error | undefined): Promise<Error> {
    // One turn, so that a status which arrived together with the loss wins.
    await new Promise(setImmediate)
    const { target, explainLoss, logger } = this.#settings
    const plain = lossError(target, cause)
    if (explainLoss === undefined || (this.#shutDown && this.#calls.size === 0)) return plain
    try {
      return await explainLoss(cause)
    } catch (error) {
      logger.warn({ stream: target, err: error }, 'could not find out why the connection was lost')
      return plain
    }
  }

  #closeIfIdle(): void {
    if (!this.#shutDown || this.#calls.size > 0) return
    const state = this.#state
    if ('connection' in state) {
      state.connection.close()
    } else if (state.t === 'dialling') {
      state.cancel.abort()
      this.#move(idle)
    }
    this.#settleIfOver()
  }

  #settleIfOver(): void {
    if (this.#over || this.#calls.size > 0) return
    const state = this.#state
    this.#over =
      state.t === 'lost' ? !this.#redialable(state.explained) : state.t === 'idle' && this.#shutDown
    if (!this.#over) return
    this.#closed?.resolve()
    this.#settings.onClosed?.(this)
  }

  /** Whether a connection lost for `reason` (undefined: not known yet) may be followed by another. */
  #redialable(reason: Error | undefined): boolean {
    const { mayRedial } = this.#settings
    if (this.#shutDown || this.#aborted || mayRedial === undefined) return false
    return reason === undefined || mayRedial(reason)
  }

  // For the connection of now: one that was replaced has no say any more

  onReady(connection: WireConnection): void {
    if (this.#state.t !== 'connecting' || this.#state.connection !== connection) return
    this.#move({ t: 'ready', connection })
    this.#proceed()
  }

  onDraining(connection: WireConnection, reason: Error, failing: boolean): void {
    if (this.#isLive(connection)) this.#move({ t: 'draining', connection, reason, failing })
  }

  onLost(connection: WireConnection, cause: Error | undefined): void {
    if (!this.#isLive(connection)) return
    if (!this.#shutDown || this.#calls.size > 0) return this.#lose(this.#explain(cause))
    // It was closed here: hardly anybody asks why.
    this.#move({ t: 'lost', reason: () => this.#explain(cause) })
    this.#settleIfOver()
  }

  #isLive(connection: WireConnection): boolean {
    return 'connection' in this.#state && this.#state.connection === connection
  }

  // For calls

  get target(): string {
    return this.#settings.target
  }

  get authority(): string {
    this.#authority ??= authorityOf(this.#settings.target)
    return this.#authority
  }

  get userAgent(): string {
    return this.#settings.userAgent
  }

  get maxReceiveBytes(): number {
    return this.#settings.maxReceiveBytes
  }

  get maxSendBytes(): number {
    return this.#settings.maxSendBytes
  }

  get callCredentials(): CallCredentials | undefined {
    return this.#settings.callCredentials
  }

  encoding(): Encoding {
    const { compression } = this.#settings
    return this.#peerEncodings?.includes(compression) === false ? 'identity' : compression
  }

  learnEncodings(accepted: readonly string[]): void {
    this.#peerEncodings = accepted
  }

  connect(call: ChannelCall): WireConnection | undefined {
    if (this.#shutDownReason !== undefined && this.#tooLate?.has(call) === true) {
      call.connectionLost(this.#shutDownReason())
      return undefined
    }
    const before = this.#state
    if (before.t === 'lost' && before.explained !== undefined && this.#redialable(before.explained))
      this.#move(idle)
    const dialled = this.#start()
    const state = this.#state
    switch (state.t) {
      case 'connecting':
      case 'ready':
        if (state.connection.mayOpen) return state.connection
        this.#await(call)
        return undefined
      case 'dialling':
        this.#await(call)
        return undefined
      case 'draining':
        if (state.failing && this.#redialable(undefined)) this.#await(call)
        else call.connectionLost(state.reason)
        return undefined
      case 'lost':
        // Known reasons have been dealt with above; this one is still being looked for.
        if (dialled && state.explained === undefined && this.#redialable(undefined)) this.#await(call)
        else void state.reason().then((error) => call.connectionLost(error))
        return undefined
      case 'idle':
        return undefined
    }
  }

  authContext(): AuthContext | null {
    return 'connection' in this.#state ? this.#state.connection.authContext() : null
  }

  started(call: OpenCall): void {
    this.#calls.add(call)
    const { onBusy, backgroundPaths } = this.#settings
    if (backgroundPaths?.has(call.path) === true) return
    this.#busyCalls += 1
    if (this.#busyCalls > 1) return
    if (onBusy === undefined) this.#hold = setInterval(() => {}, 2_147_483_647)
    else onBusy(true)
  }

  ended(call: OpenCall): void {
    this.#calls.delete(call)
    this.#awaiting?.delete(call)
    const { onBusy, backgroundPaths } = this.#settings
    if (backgroundPaths?.has(call.path) !== true) {
      this.#busyCalls -= 1
      if (this.#busyCalls === 0) {
        clearInterval(this.#hold)
        onBusy?.(false)
      }
    }
    this.#closeIfIdle()
    this.#settleIfOver()
  }
}

/** An AbortController that is made when its signal is asked for: most dials never are. */
class Cancel {
  #controller: AbortController | undefined

  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    return this.#controller.signal
  }

  abort(reason?: unknown): void {
    this.#controller?.abort(reason)
  }
}

/** Adds a watcher that tells `callback` once, in a tick of its own, and is gone then. */
function watch(
  watchers: Set<Watcher>,
  seen: ConnectivityState,
  deadline: Deadline,
  callback: (error?: Error) => void
): void {
  const watcher: Watcher = {
    seen,
    tell(error) {
      if (!watchers.delete(watcher)) return
      clearDeadline()
      process.nextTick(callback, error)
    }
  }
  const clearDeadline = onDeadline(deadlineMs(deadline), () => {
    watcher.tell(new Error('Deadline passed without connectivity state change'))
  })
  watchers.add(watcher)
}

function asError(value: unknown): Error {
  return value instanceof Error ? value : new Error(String(value))
}

/** Why calls end when nothing better is known than `cause`. */
function lossError(target: string, cause: Error | undefined): Error {
  if (isPluginError(cause)) return cause
  if (cause === undefined) return new PluginError('ERR_STREAM_CLOSED', `Connection to ${target} dropped`)
  return new PluginError('ERR_STREAM_CLOSED', `Connection to ${target} dropped: ${cause.message}`, { cause })
}

/** `target` as an authority of a URL: kept where it is one, otherwise made one. */
function authorityOf(target: string): string {
  if (/^(?:[\w.~-]+|\[[\da-f:.]+\])(?::\d{1,5})?$/i.test(target)) return target
  return target.replace(/[^\w.~-]+/g, '-').replace(/^-+|-+$/g, '') || 'localhost'
}

const { version } = createRequire(import.meta.url)('@grpc/grpc-js/package.json') as { version: string }

function resolve(options: ChannelOptions) {
  const { compression = 'identity', userAgent } = options
  if (!encodings.includes(compression)) {
    throw new PluginError(
      'ERR_CONFIG_INVALID',
      `compression is ${compression}, not one of ${encodings.join(', ')}`
    )
  }
  return {
    target: options.target ?? 'localhost',
    maxReceiveBytes: checkSize('maxReceiveBytes', options.maxReceiveBytes ?? 4 * 1024 * 1024),
    maxSendBytes: checkSize('maxSendBytes', options.maxSendBytes ?? Infinity),
    compression,
    userAgent: userAgent === undefined ? `grpc-node-js/${version}` : `${userAgent} grpc-node-js/${version}`,
    connectTimeoutMs: checkDuration('connectTimeoutMs', options.connectTimeoutMs ?? 20_000),
    callCredentials: options.callCredentials,
    onBusy: options.onBusy,
    backgroundPaths: options.backgroundPaths,
    explainLoss: options.explainLoss,
    mayRedial: options.mayRedial,
    onClosed: options.onClosed,
    logger: options.logger ?? silentLogger,
    /** Nothing is to be added to a call or done to its messages. */
    plain: compression === 'identity' && options.callCredentials === undefined
  }
}

type Settings = ReturnType<typeof resolve>

function checkSize(name: string, value: number): number {
  if (value === Infinity || (Number.isSafeInteger(value) && value >= 0)) return value
  throw new PluginError('ERR_CONFIG_INVALID', `${name} is ${String(value)}, not a size in bytes`, {
    hint: `Give ${name} as a whole number of bytes, or Infinity for no limit.`
  })
}
