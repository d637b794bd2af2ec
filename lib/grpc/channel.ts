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
import type { OpenCall, WireConnection, WireConnectionEvents } from './wire-connection.js'

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
  return createWireChannel((events, signal) => {
    const stream = connect(signal())
    if (!(stream instanceof Promise)) return openH2Connection(stream, settings, events)
    return stream.then((connected) => openH2Connection(connected, settings, events))
  }, options)
}

/**
 * {@link createChannel} with each call on a substream of its own (wire `direct`). `open` is called as `connect` is; as
 * there is no connection that could be lost, the loss is that of the session.
 */
export function createDirectChannel(open: () => CallRoute, options: ChannelOptions = {}): StreamChannel {
  const settings = resolve(options)
  return createWireChannel((events) => openDirectConnection(open(), settings, events), options)
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
  | { readonly t: 'lost'; readonly reason: Promise<Error>; readonly explained?: Error }

interface Watcher {
  readonly seen: ConnectivityState
  readonly tell: (error?: Error) => void
}

/** {@link createChannel} over any wire. */
export function createWireChannel(
  openConnection: OpenConnection,
  options: ChannelOptions = {}
): StreamChannel {
  const settings = resolve(options)
  const { target, logger, onBusy, backgroundPaths, explainLoss, mayRedial } = settings
  const calls = new Set<OpenCall>()
  /** Calls that wait for the byte stream, or came when a connection was being lost: they go on the next, if there may be one. */
  const awaiting = new Set<OpenCall>()
  /** Calls made after `close(reason)`. */
  const tooLate = new WeakSet<OpenCall>()
  const watchers = new Set<Watcher>()
  let resolveClosed = () => {}
  const closed = new Promise<void>((done) => {
    resolveClosed = done
  })
  let state: State = { t: 'idle' }
  let shutDown = false
  /** Makes the reason that calls end with from then on. */
  let shutDownReason: (() => Error) | undefined
  let aborted = false
  let callCount = 0
  let busyCalls = 0
  let peerEncodings: readonly string[] | undefined
  let hold: NodeJS.Timeout | undefined

  /** Nothing is to be added to a call or done to its messages. */
  const plain = settings.compression === 'identity' && settings.callCredentials === undefined

  function connectivity(): ConnectivityState {
    if (shutDown) return ConnectivityState.SHUTDOWN
    switch (state.t) {
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

  function move(next: State): void {
    state = next
    logger.trace({ stream: target, state: next.t }, 'gRPC channel changed state')
    tellWatchers()
  }

  function tellWatchers(): void {
    const now = connectivity()
    for (const watcher of watchers) {
      if (watcher.seen !== now) watcher.tell()
    }
  }

  /** Whether this is the connection of now: one that was replaced has no say any more. */
  function isLive(connection: WireConnection): boolean {
    return 'connection' in state && state.connection === connection
  }

  /** Dials, if nothing has been dialled yet; false when that failed at once. */
  function start(): boolean {
    if (state.t !== 'idle') return true
    let connection: WireConnection
    const events: WireConnectionEvents = {
      onReady: () => {
        if (state.t !== 'connecting' || state.connection !== connection) return
        move({ t: 'ready', connection })
        if (awaiting.size > 0) proceed()
      },
      onDraining: (reason, failing) => {
        if (isLive(connection)) move({ t: 'draining', connection, reason, failing })
      },
      onLost: (cause) => {
        if (isLive(connection)) lose(explain(cause))
      }
    }
    const cancel = createCancel()
    try {
      const opened = openConnection(events, () => cancel.signal)
      if (!(opened instanceof Promise)) {
        connection = opened
        move({ t: 'connecting', connection })
        return true
      }
      move({ t: 'dialling', cancel })
      void dialled(opened, cancel, (there) => {
        connection = there
      })
    } catch (error) {
      lose(explain(asError(error)))
      return false
    }
    return true
  }

  async function dialled(
    opening: Promise<WireConnection>,
    cancel: Cancel,
    take: (connection: WireConnection) => void
  ): Promise<void> {
    const wanted = (): boolean => state.t === 'dialling' && state.cancel === cancel
    try {
      const connection = await opening
      if (!wanted()) return connection.abort(asError(cancel.signal.reason))
      take(connection)
      move({ t: 'connecting', connection })
      proceed()
    } catch (error) {
      if (!wanted()) return
      // These have had their dial; the next call may try another.
      awaiting.clear()
      lose(explain(asError(error)))
    }
  }

  function proceed(): void {
    const waited = [...awaiting]
    awaiting.clear()
    for (const call of waited) call.proceed()
  }

  function lose(reason: Promise<Error>): void {
    move({ t: 'lost', reason })
    settleIfOver()
    void reason.then(endCalls)
  }

  /** The first reason to come counts, be it explained or an abort's. */
  function endCalls(reason: Error): void {
    if (state.t === 'lost' && state.explained !== undefined) return
    logger.trace({ stream: target, err: reason }, 'gRPC connection is gone')
    state = { t: 'lost', reason: Promise.resolve(reason), explained: reason }
    const again = redialable(reason)
    for (const call of calls) {
      if (!again || !awaiting.has(call)) call.connectionLost(reason)
    }
    proceed()
    settleIfOver()
  }

  async function explain(cause: Error | undefined): Promise<Error> {
    // One turn, so that a status which arrived together with the loss wins.
    await new Promise(setImmediate)
    const plain = lossError(target, cause)
    if (explainLoss === undefined || (shutDown && calls.size === 0)) return plain
    try {
      return await explainLoss(cause)
    } catch (error) {
      logger.warn({ stream: target, err: error }, 'could not find out why the connection was lost')
      return plain
    }
  }

  function closeIfIdle(): void {
    if (!shutDown || calls.size > 0) return
    if ('connection' in state) {
      state.connection.close()
    } else if (state.t === 'dialling') {
      state.cancel.abort()
      move({ t: 'idle' })
    }
    settleIfOver()
  }

  function settleIfOver(): void {
    if (calls.size > 0) return
    if (state.t === 'lost' ? !redialable(state.explained) : state.t === 'idle' && shutDown) resolveClosed()
  }

  /** Whether a connection lost for `reason` (undefined: not known yet) may be followed by another. */
  function redialable(reason: Error | undefined): boolean {
    if (shutDown || aborted || mayRedial === undefined) return false
    return reason === undefined || mayRedial(reason)
  }

  const callOwner: CallOwner = {
    target,
    authority: authorityOf(target),
    userAgent: settings.userAgent,
    maxReceiveBytes: settings.maxReceiveBytes,
    maxSendBytes: settings.maxSendBytes,
    callCredentials: settings.callCredentials,
    encoding: () => {
      const known = peerEncodings === undefined || peerEncodings.includes(settings.compression)
      return known ? settings.compression : 'identity'
    },
    learnEncodings: (accepted) => {
      peerEncodings = accepted
    },
    connect(call) {
      if (shutDownReason !== undefined && tooLate.has(call)) {
        call.connectionLost(shutDownReason())
        return undefined
      }
      if (state.t === 'lost' && state.explained !== undefined && redialable(state.explained))
        move({ t: 'idle' })
      const dialled = start()
      switch (state.t) {
        case 'connecting':
        case 'ready':
          if (state.connection.mayOpen) return state.connection
          awaiting.add(call)
          return undefined
        case 'dialling':
          awaiting.add(call)
          return undefined
        case 'draining':
          if (state.failing && redialable(undefined)) awaiting.add(call)
          else call.connectionLost(state.reason)
          return undefined
        case 'lost':
          // Known reasons have been dealt with above; this one is still being looked for.
          if (dialled && state.explained === undefined && redialable(undefined)) awaiting.add(call)
          else void state.reason.then((error) => call.connectionLost(error))
          return undefined
        case 'idle':
          return undefined
      }
    },
    authContext: () => ('connection' in state ? state.connection.authContext() : null),
    started(call) {
      calls.add(call)
      if (backgroundPaths?.has(call.path) === true) return
      busyCalls += 1
      if (busyCalls > 1) return
      if (onBusy === undefined) hold = setInterval(() => {}, 2_147_483_647)
      else onBusy(true)
    },
    ended(call) {
      calls.delete(call)
      awaiting.delete(call)
      if (backgroundPaths?.has(call.path) !== true) {
        busyCalls -= 1
        if (busyCalls === 0) {
          clearInterval(hold)
          onBusy?.(false)
        }
      }
      closeIfIdle()
      settleIfOver()
    }
  }

  function refuseIfShutDown(): void {
    if (shutDown && shutDownReason === undefined) throw new Error('Channel has been shut down')
  }

  return {
    closed,
    get activeCalls() {
      return calls.size
    },
    createCall(...args) {
      const request = callRequest(++callCount, ...args)
      refuseIfShutDown()
      const call = new ChannelCall(callOwner, request)
      if (shutDown) tooLate.add(call)
      return call
    },
    unary(request) {
      if (!plain || shutDown || state.t !== 'ready') return undefined
      return state.connection.unary?.(callOwner, request)
    },
    getTarget: () => target,
    getConnectivityState(tryToConnect) {
      if (tryToConnect && !shutDown && start() && 'connection' in state) state.connection.probe?.()
      return connectivity()
    },
    watchConnectivityState(currentState, deadline, callback) {
      refuseIfShutDown()
      watch(watchers, currentState, deadline, callback)
      // grpc-js's waitForReady watches again and again: where nothing can change any more it has to be told.
      if (state.t === 'lost' && currentState === ConnectivityState.TRANSIENT_FAILURE) {
        for (const watcher of watchers)
          watcher.tell(new Error(`The connection to ${target} is lost for good`))
      } else {
        tellWatchers()
      }
    },
    // The kind's enum is not exported; its value is this string.
    getChannelzRef: () =>
      // oxlint-disable-next-line typescript/no-unsafe-enum-assignment
      ({ kind: 'channel', id: 0, name: target }) as ReturnType<ChannelInterface['getChannelzRef']>,
    close(reason) {
      if (shutDown) return
      shutDown = true
      shutDownReason = reason
      logger.trace({ stream: target }, 'gRPC channel is closing')
      tellWatchers()
      for (const call of calls) {
        // Those that only wait for the byte stream have begun.
        if (!call.waiting || awaiting.has(call)) continue
        if (reason !== undefined) call.connectionLost(reason())
        else call.cancelWithStatus(Status.UNAVAILABLE, 'Channel closed before call started')
      }
      closeIfIdle()
    },
    abort(reason) {
      aborted = true
      const previous = state
      if (state.t !== 'lost') lose(Promise.resolve(reason))
      endCalls(reason)
      settleIfOver()
      if ('connection' in previous) previous.connection.abort(reason)
      else if (previous.t === 'dialling') previous.cancel.abort(reason)
    }
  }
}

/** An AbortController that is made when its signal is asked for: most dials never are. */
interface Cancel {
  readonly signal: AbortSignal
  abort(reason?: unknown): void
}

function createCancel(): Cancel {
  let controller: AbortController | undefined
  return {
    get signal() {
      controller ??= new AbortController()
      return controller.signal
    },
    abort: (reason) => controller?.abort(reason)
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
    logger: options.logger ?? silentLogger
  }
}

function checkSize(name: string, value: number): number {
  if (value === Infinity || (Number.isSafeInteger(value) && value >= 0)) return value
  throw new PluginError('ERR_CONFIG_INVALID', `${name} is ${String(value)}, not a size in bytes`, {
    hint: `Give ${name} as a whole number of bytes, or Infinity for no limit.`
  })
}
