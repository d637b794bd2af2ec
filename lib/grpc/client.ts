import {
  Client as GrpcClient,
  credentials,
  type ChannelInterface,
  type ClientReadableStream,
  type ClientWritableStream,
  type Interceptor,
  type Metadata,
  type MethodDefinition,
  type StatusObject
} from '@grpc/grpc-js'
import { setMaxListeners, type EventEmitter } from 'node:events'
import { PluginError } from '../errors.js'
import { checkDuration } from '../signal.js'
import { pump, type Pump } from './pump.js'
import {
  methodDefinition,
  toMetadata,
  type MetadataInit,
  type RequestIn,
  type ResponseOut,
  type ServiceDescriptor
} from './service.js'
import { fromServiceError } from './status.js'
import { begin, callUnary } from './unary-call.js'

/** What one call may be given besides its request. */
export interface CallOptions {
  /** Cancels the call. It then rejects with the signal's `reason`, untouched. */
  readonly signal?: AbortSignal | undefined
  /**
   * Longest time the call may take, in milliseconds; it then fails with DEADLINE_EXCEEDED, and the handler is told.
   * Default: the client's, and without one no limit. `Infinity`: none.
   */
  readonly timeoutMs?: number
  /** The same as a moment: a Date, or milliseconds since the epoch. With both, the earlier one counts. */
  readonly deadline?: Date | number
  /** Sent before the request. */
  readonly metadata?: MetadataInit
  /** Told of the response's metadata, before its first message. What it throws ends the call and rejects it. */
  readonly onHeader?: (header: Metadata) => void
  /** Told of the metadata that came with the status, whether the call failed or not. */
  readonly onTrailer?: (trailer: Metadata) => void
}

type Requests<M> = Iterable<RequestIn<M>> | AsyncIterable<RequestIn<M>>

/** How one method is called, by the kind of method. */
export type ClientMethod<M> = M extends { requestStream: true; responseStream: true }
  ? (requests: Requests<M>, options?: CallOptions) => AsyncIterable<ResponseOut<M>>
  : M extends { requestStream: true }
    ? (requests: Requests<M>, options?: CallOptions) => Promise<ResponseOut<M>>
    : M extends { responseStream: true }
      ? (request: RequestIn<M>, options?: CallOptions) => AsyncIterable<ResponseOut<M>>
      : (request: RequestIn<M>, options?: CallOptions) => Promise<ResponseOut<M>>

/** A service's methods, ready to call. */
export type Client<S extends ServiceDescriptor> = {
  readonly [Name in keyof S['methods']]: ClientMethod<S['methods'][Name]>
}

/** What holds for every call of a client. */
export interface ClientOptions {
  /** Limit on a call that names none itself, in milliseconds. Default `Infinity`: a call may wait for its answer. */
  readonly timeoutMs?: number
  /** grpc-js interceptors, outermost first. */
  readonly interceptors?: readonly Interceptor[]
}

/**
 * A typed client for `service` on a channel. The channel stays its owner's to close.
 *
 * - One response: a promise. Many responses: an async iterable that may be iterated once. That call starts when it is
 *   first iterated, so one that nobody reads costs nothing; leaving the loop cancels it.
 * - Requests to stream are any iterable. It is read only as fast as the peer takes them, and told to return when the
 *   call ends first. What it throws cancels the call and is what the call rejects with.
 *
 * A call fails with a `PluginError` that has the gRPC `status`, `details` and `metadata`, usually `ERR_CALL_FAILED`.
 */
export function createClient<S extends ServiceDescriptor>(
  service: S,
  channel: ChannelInterface,
  options: ClientOptions = {}
): Client<S> {
  const { timeoutMs = Infinity, interceptors = [] } = options
  const defaults = { timeoutMs: checkDuration('timeoutMs', timeoutMs) }
  // The address and the credentials belong to the channel that is given.
  const client = new GrpcClient('muxplug', credentials.createInsecure(), {
    channelOverride: channel,
    interceptors: [...interceptors]
  })
  const direct = interceptors.length === 0 ? channel : undefined
  const methods = Object.entries(service.methods).map(([name, descriptor]) => {
    const call = callerOf(client, methodDefinition(name, descriptor), direct)
    return [name, (request: never, own: CallOptions = {}) => call(request, { ...defaults, ...own })]
  })
  return Object.freeze(Object.fromEntries(methods)) as Client<S>
}

type Method = MethodDefinition<unknown, unknown>
type Items = Iterable<unknown> | AsyncIterable<unknown>
type Caller = (request: never, options: CallOptions) => Promise<unknown> | AsyncIterable<unknown>

/** @param direct the channel, where no interceptor is to see the calls */
function callerOf(client: GrpcClient, method: Method, direct: ChannelInterface | undefined): Caller {
  if (method.requestStream) {
    return method.responseStream
      ? (requests, options) => exchange(client, method, requests, options)
      : (requests, options) => upload(client, method, requests, options)
  }
  if (method.responseStream) return (request, options) => download(client, method, request, options)
  return direct === undefined
    ? (request, options) => unary(client, method, request, options)
    : (request, options) => unaryDirect(direct, method, request, options)
}

async function unaryDirect(
  channel: ChannelInterface,
  method: Method,
  request: unknown,
  options: CallOptions
): Promise<unknown> {
  const { metadata, deadline } = prepare(method, options)
  const { signal, onHeader, onTrailer } = options
  return callUnary(channel, { method, request, metadata, deadline, signal, onHeader, onTrailer })
}

function unary(client: GrpcClient, method: Method, request: unknown, options: CallOptions): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const { path, encode, decode, metadata, limits } = prepare(method, options)
    const call = begin(() =>
      client.makeUnaryRequest(path, encode, decode, request, metadata, limits, (error, response) => {
        release()
        // grpc-js gives the outcome before it emits 'status': onTrailer is to be heard first.
        queueMicrotask(() => (error === null ? resolve(response) : reject(fromServiceError(error))))
      })
    )
    const release = watch(call, options, (reason) => {
      call.cancel()
      reject(reason)
    })
  })
}

function upload(client: GrpcClient, method: Method, requests: Items, options: CallOptions): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const { path, encode, decode, metadata, limits } = prepare(method, options)
    const call = begin(() =>
      client.makeClientStreamRequest(path, encode, decode, metadata, limits, (error, response) => {
        release()
        sending.stop()
        queueMicrotask(() => (error === null ? resolve(response) : reject(fromServiceError(error))))
      })
    )
    const fail = (reason: unknown): void => {
      release()
      call.cancel()
      sending.stop()
      reject(reason)
    }
    const release = watch(call, options, fail)
    const sending = send(requests, call, fail)
  })
}

async function* download(client: GrpcClient, method: Method, request: unknown, options: CallOptions) {
  const { path, encode, decode, metadata, limits } = prepare(method, options)
  const call = begin(() => client.makeServerStreamRequest(path, encode, decode, request, metadata, limits))
  yield* receive(call, options)
}

async function* exchange(client: GrpcClient, method: Method, requests: Items, options: CallOptions) {
  const { path, encode, decode, metadata, limits } = prepare(method, options)
  const call = begin(() => client.makeBidiStreamRequest(path, encode, decode, metadata, limits))
  yield* receive(call, options, (fail) => send(requests, call, fail))
}

/** The responses of a call, until it ends, fails or is left. */
async function* receive(
  call: ClientReadableStream<unknown>,
  options: CallOptions,
  startSending?: (fail: (reason: unknown) => void) => Pump
): AsyncGenerator {
  let failure: { readonly reason: unknown } | undefined
  const fail = (reason: unknown): void => {
    failure ??= { reason }
    call.cancel()
    call.destroy()
  }
  const release = watch(call, options, fail)
  const sending = startSending?.(fail)
  // The consumer may be busy with a message when the call ends.
  call.once('status', () => sending?.stop())
  try {
    for await (const message of call) yield message
    // A stream that had everything when it was destroyed ends as if nothing had happened.
    if (failure !== undefined) throw failure.reason
  } catch (error) {
    throw failure === undefined ? fromServiceError(error) : failure.reason
  } finally {
    release()
    sending?.stop()
    call.cancel()
  }
}

function send(requests: Items, call: ClientWritableStream<unknown>, fail: (reason: unknown) => void): Pump {
  const sending = pump(requests, call)
  sending.done.then((all) => {
    if (all) call.end()
  }, fail)
  return sending
}

/** Joins a call that has started to its options. `fail` ends it; the returned function lets go of the signal. */
function watch(
  call: EventEmitter & { cancel(): void },
  { signal, onHeader, onTrailer }: CallOptions,
  fail: (reason: unknown) => void
): () => void {
  const tell = (callback: ((metadata: Metadata) => void) | undefined, metadata: Metadata): void => {
    try {
      callback?.(metadata)
    } catch (error) {
      fail(error)
    }
  }
  call.on('metadata', (header: Metadata) => tell(onHeader, header))
  call.on('status', (status: StatusObject) => tell(onTrailer, status.metadata))
  // A stream emits the status as 'error' too, even after it was destroyed here.
  call.on('error', () => {})
  if (signal === undefined) return () => {}
  const onAbort = (): void => fail(signal.reason)
  // Each call takes its listener away again, so many at once on one signal are no leak to warn of.
  setMaxListeners(0, signal)
  signal.addEventListener('abort', onAbort, { once: true })
  return () => signal.removeEventListener('abort', onAbort)
}

/** A grpc-js server keeps a time-out as a 32-bit number of milliseconds and fails a longer one at once. */
const longestTimeoutMs = 2_147_483_000

function prepare(method: Method, options: CallOptions) {
  options.signal?.throwIfAborted()
  const { timeoutMs = Infinity, deadline: moment = Infinity } = options
  const now = Date.now()
  const end = Math.min(now + checkDuration('timeoutMs', timeoutMs), Number(moment))
  if (Number.isNaN(end)) {
    throw new PluginError('ERR_CONFIG_INVALID', `deadline is ${String(moment)}, not a moment`, {
      hint: 'Give deadline as a valid Date or as milliseconds since the epoch.'
    })
  }
  const deadline = end - now > longestTimeoutMs ? Infinity : end
  return {
    path: method.path,
    encode: method.requestSerialize,
    decode: method.responseDeserialize,
    metadata: toMetadata(options.metadata),
    deadline,
    limits: { deadline }
  }
}
