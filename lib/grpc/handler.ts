import {
  status as statusCodes,
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  Metadata,
  type sendUnaryData,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServiceDefinition,
  type StatusObject,
  type UntypedServiceImplementation
} from '@grpc/grpc-js'
import type { EventEmitter } from 'node:events'
import type { Writable } from 'node:stream'
import { promisify } from 'node:util'
import { headerListBytes, maxHeaderListBytes, reservedHeaderBytes } from './header-list.js'
import { pump } from './pump.js'
import {
  serviceDefinition,
  toMetadata,
  type MethodDescriptor,
  type MetadataInit,
  type RequestOut,
  type ResponseIn,
  type ServiceDescriptor
} from './service.js'
import { callError, forwardable, toServiceError } from './status.js'

/** What a handler knows of the call that it answers. */
export interface CallContext {
  /**
   * Aborted when nobody waits for the answer any more: the caller cancelled, its deadline passed, or the connection is
   * gone. The reason is a `PluginError` with status CANCELLED or DEADLINE_EXCEEDED. Not aborted by a normal end.
   */
  readonly signal: AbortSignal
  /** What the caller sent before the request. */
  readonly metadata: Metadata
  /** When the caller stops waiting, in milliseconds since the epoch; `Infinity` when it set no limit. */
  readonly deadline: number
  /** The caller's address as grpc-js knows it; `unknown` on a substream. */
  readonly peer: string
  /** Sends the response's metadata now instead of with the first message. Only the first call has an effect. */
  readonly sendHeader: (header: MetadataInit) => void
  /** Sent with the status, whether the handler succeeds or fails. Add to it at any time before. */
  readonly trailer: Metadata
}

/** How one method is implemented, by the kind of method. */
export type MethodImplementation<M> = M extends { requestStream: true; responseStream: true }
  ? (requests: AsyncIterable<RequestOut<M>>, context: CallContext) => AsyncIterable<ResponseIn<M>>
  : M extends { requestStream: true }
    ? (requests: AsyncIterable<RequestOut<M>>, context: CallContext) => Promise<ResponseIn<M>> | ResponseIn<M>
    : M extends { responseStream: true }
      ? (request: RequestOut<M>, context: CallContext) => AsyncIterable<ResponseIn<M>>
      : (request: RequestOut<M>, context: CallContext) => Promise<ResponseIn<M>> | ResponseIn<M>

/** All methods of a service: `class Lister implements ServiceImplementation<typeof FileLister>`. */
export type ServiceImplementation<S extends ServiceDescriptor> = {
  [Name in keyof S['methods']]: MethodImplementation<S['methods'][Name]>
}

/** A service with its handlers, ready for a server. grpc-js's own definition and handlers make one too. */
export interface ServiceBinding {
  /** `package.Service`; taken from the methods' paths when left out. */
  readonly typeName?: string
  readonly definition: ServiceDefinition
  readonly handlers: UntypedServiceImplementation
  /**
   * Calls of it are no work: they do not keep the process running, and nobody waits for them when the server closes.
   * Default false.
   */
  readonly background?: boolean
}

/**
 * Binds a service to the object that implements it. Methods are called on that object, so it may be an instance of a
 * class; those it lacks answer UNIMPLEMENTED.
 *
 * - One response: return it, or a promise of it. Many: be an async generator; it is asked for more only as fast as the
 *   caller reads, and told to return when the call ends early.
 * - Requests of a stream come as an async iterable, which throws the signal's reason when the call ends early.
 * - What a method throws becomes the call's status: see `callError`.
 */
export function implement<S extends ServiceDescriptor>(
  service: S,
  implementation: Partial<ServiceImplementation<S>>
): ServiceBinding {
  const handlers: UntypedServiceImplementation = {}
  const methods = implementation as Readonly<Record<string, unknown>>
  for (const [name, descriptor] of Object.entries(service.methods)) {
    const method = methods[name]
    if (typeof method === 'function') handlers[name] = handlerOf(descriptor, method.bind(implementation))
  }
  return { typeName: service.typeName, definition: serviceDefinition(service), handlers }
}

type OneResponse = (request: unknown, context: CallContext) => unknown
type ManyResponses = (request: unknown, context: CallContext) => AsyncIterable<unknown>

function handlerOf(descriptor: MethodDescriptor, method: OneResponse & ManyResponses) {
  if (descriptor.requestStream) {
    return descriptor.responseStream ? exchange(method) : upload(descriptor.path, method)
  }
  return descriptor.responseStream ? download(method) : unary(descriptor.path, method)
}

function unary(path: string, method: OneResponse): handleUnaryCall<unknown, unknown> {
  return (call, callback) => {
    const life = watch(call)
    void answerOnce(path, life, callback, () => method(call.request, life.context))
  }
}

function upload(path: string, method: OneResponse): handleClientStreamingCall<unknown, unknown> {
  return (call, callback) => {
    const life = watch(call)
    void answerOnce(path, life, callback, () => method(requestsOf(call, life), life.context))
  }
}

function download(method: ManyResponses): handleServerStreamingCall<unknown, unknown> {
  return (call) => {
    const life = watch(call)
    void answerMany(call, life, () => method(call.request, life.context))
  }
}

function exchange(method: ManyResponses): handleBidiStreamingCall<unknown, unknown> {
  return (call) => {
    const life = watch(call)
    void answerMany(call, life, () => method(requestsOf(call, life), life.context))
  }
}

async function answerOnce(
  path: string,
  life: CallLife,
  callback: sendUnaryData<unknown>,
  run: () => unknown
): Promise<void> {
  const { trailer } = life.context
  try {
    const response = await run()
    if (response === undefined || response === null) {
      throw callError(statusCodes.INTERNAL, `the handler of ${path} returned ${response}, not a message`)
    }
    const sent = sendable(trailer)
    life.finish()
    callback(null, response, sent)
  } catch (error) {
    life.finish()
    callback(failure(error, trailer))
  }
}

async function answerMany(
  call: Writable & { end(trailer?: Metadata): unknown },
  life: CallLife,
  run: () => AsyncIterable<unknown>
): Promise<void> {
  const { trailer } = life.context
  try {
    const sending = pump(run(), call)
    life.onCancel(sending.stop)
    if (!(await sending.done)) return
    const sent = sendable(trailer)
    life.finish()
    call.end(sent)
  } catch (error) {
    life.finish()
    // What was written before still goes out; then the status.
    call.emit('error', failure(error, trailer))
  }
}

/** The status for `error`, with the handler's own trailer beside what the error brings. */
function failure(error: unknown, trailer: Metadata): StatusObject {
  const status = toServiceError(error)
  status.metadata.merge(forwardable(trailer))
  // The status itself matters more than what comes with it.
  const room = maxHeaderListBytes - reservedHeaderBytes - encodeURIComponent(status.details).length
  return headerListBytes(status.metadata) > room ? { ...status, metadata: new Metadata() } : status
}

/**
 * A handler's own metadata as they may leave: gRPC's and the connection's own names are left out.
 * @throws `ERR_CONFIG_INVALID` for keys that cannot be sent; a call error RESOURCE_EXHAUSTED when they are too large
 */
function sendable(metadata: MetadataInit): Metadata {
  const sent = forwardable(toMetadata(metadata))
  const bytes = headerListBytes(sent)
  if (bytes > maxHeaderListBytes - reservedHeaderBytes) {
    throw callError(statusCodes.RESOURCE_EXHAUSTED, `metadata of ${bytes} bytes are more than a client takes`)
  }
  return sent
}

async function* requestsOf(call: ServerReadableStream<unknown, unknown>, life: CallLife) {
  try {
    // A handler that stops reading may still answer, so leaving the loop must not destroy the call.
    yield* call.iterator({ destroyOnReturn: false })
  } catch (error) {
    throw life.cancelled() ? life.context.signal.reason : error
  }
  // A node:http2 client that cancels sends END_STREAM and then RST_STREAM, so for a moment an upload that was cut short
  // looks complete. Both come in one go, and a turn of the event loop later the call is known to be cancelled.
  await nextTurn()
  if (life.cancelled()) throw life.context.signal.reason
}

const nextTurn = promisify(setImmediate)

interface CallLife {
  readonly context: CallContext
  cancelled(): boolean
  /** Runs `action` when the call is cancelled, also when it was before. */
  onCancel(action: () => void): void
  /** The handler is done: what ends the call from now on is no cancellation. */
  finish(): void
}

/** What the four kinds of call of grpc-js have in common. */
type ServerCall = EventEmitter &
  Pick<ServerUnaryCall<unknown, unknown>, 'metadata' | 'getDeadline' | 'getPeer' | 'sendMetadata'>

function watch(call: ServerCall): CallLife {
  const deadline = Number(call.getDeadline())
  const actions: (() => void)[] = []
  let state: 'running' | 'cancelled' | 'finished' = 'running'
  let controller: AbortController | undefined

  const reason = () =>
    deadline <= Date.now()
      ? callError(statusCodes.DEADLINE_EXCEEDED, 'the deadline has passed')
      : callError(statusCodes.CANCELLED, 'the call was cancelled')

  const cancel = (): void => {
    // grpc-js emits 'cancelled' after every call, also one that ended well.
    if (state !== 'running') return
    state = 'cancelled'
    controller?.abort(reason())
    for (const action of actions) action()
  }
  call.once('cancelled', cancel)
  // Past its deadline a call may reach the handler after grpc-js has ended it; then 'cancelled' never comes.
  if (deadline <= Date.now()) cancel()

  const context: CallContext = {
    get signal() {
      // Most handlers never ask for it.
      if (controller === undefined) {
        controller = new AbortController()
        if (state === 'cancelled') controller.abort(reason())
      }
      return controller.signal
    },
    metadata: call.metadata,
    deadline,
    get peer() {
      return call.getPeer()
    },
    sendHeader: (header) => call.sendMetadata(sendable(header)),
    trailer: toMetadata(undefined)
  }
  return {
    context,
    cancelled: () => state === 'cancelled',
    onCancel: (action) => {
      if (state === 'cancelled') action()
      else actions.push(action)
    },
    finish: () => {
      if (state === 'running') state = 'finished'
    }
  }
}
