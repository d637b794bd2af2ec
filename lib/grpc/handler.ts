import type {
  handleBidiStreamingCall,
  handleClientStreamingCall,
  handleServerStreamingCall,
  handleUnaryCall,
  Metadata,
  sendUnaryData,
  ServerReadableStream,
  ServerUnaryCall,
  ServiceDefinition,
  UntypedServiceImplementation
} from '@grpc/grpc-js'
import type { EventEmitter } from 'node:events'
import type { Writable } from 'node:stream'
import { promisify } from 'node:util'
import { CallLife } from './call-life.js'
import { Metadata as MetadataClass, Status } from './grpc-js.js'
import { pump, sinkOf } from './pump.js'
import {
  serviceDefinition,
  type MethodDescriptor,
  type MetadataInit,
  type RequestOut,
  type ResponseIn,
  type ServiceDescriptor
} from './service.js'
import { callError } from './status.js'
import { failure, sendable } from './trailer.js'

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

/** A method as its author wrote it, apart from what carries its calls. */
export interface PlainMethod {
  readonly descriptor: MethodDescriptor
  /** Takes a request, or an async iterable of them; gives a response, a promise of it, or an async iterable. */
  readonly run: (request: unknown, context: CallContext) => unknown
}

/** A service with its handlers, ready for a server. grpc-js's own definition and handlers make one too. */
export interface ServiceBinding {
  /** `package.Service`; taken from the methods' paths when left out. */
  readonly typeName?: string
  readonly definition: ServiceDefinition
  readonly handlers: UntypedServiceImplementation
  /** By path, where {@link implement} has made the binding: such calls need nothing of grpc-js. */
  readonly methods?: ReadonlyMap<string, PlainMethod>
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
  implementation: Partial<ServiceImplementation<S>>,
  { background = false }: Pick<ServiceBinding, 'background'> = {}
): ServiceBinding {
  const methods = new Map<string, PlainMethod>()
  const own = implementation as Readonly<Record<string, unknown>>
  for (const [name, descriptor] of Object.entries(service.methods)) {
    const method = own[name]
    if (typeof method === 'function')
      methods.set(descriptor.path, { descriptor, run: method.bind(implementation) })
  }
  let definition: ServiceDefinition | undefined
  let handlers: UntypedServiceImplementation | undefined
  return {
    typeName: service.typeName,
    methods,
    background,
    // Only grpc-js asks for these.
    get definition() {
      definition ??= serviceDefinition(service)
      return definition
    },
    get handlers() {
      handlers ??= handlersOf(service, methods)
      return handlers
    }
  }
}

type OneResponse = (request: unknown, context: CallContext) => unknown
type ManyResponses = (request: unknown, context: CallContext) => AsyncIterable<unknown>

function handlersOf(
  service: ServiceDescriptor,
  methods: ReadonlyMap<string, PlainMethod>
): UntypedServiceImplementation {
  const handlers: UntypedServiceImplementation = {}
  for (const [name, descriptor] of Object.entries(service.methods)) {
    const method = methods.get(descriptor.path)
    if (method !== undefined)
      handlers[name] = handlerOf(descriptor, method.run as OneResponse & ManyResponses)
  }
  return handlers
}

function handlerOf(descriptor: MethodDescriptor, method: OneResponse & ManyResponses) {
  if (descriptor.requestStream) {
    return descriptor.responseStream ? exchange(method) : upload(descriptor.path, method)
  }
  return descriptor.responseStream ? download(method) : unary(descriptor.path, method)
}

function unary(path: string, method: OneResponse): handleUnaryCall<unknown, unknown> {
  return (call, callback) => {
    const life = watch(call)
    void answerOnce(path, life, callback, () => method(call.request, life))
  }
}

function upload(path: string, method: OneResponse): handleClientStreamingCall<unknown, unknown> {
  return (call, callback) => {
    const life = watch(call)
    void answerOnce(path, life, callback, () => method(requestsOf(call, life), life))
  }
}

function download(method: ManyResponses): handleServerStreamingCall<unknown, unknown> {
  return (call) => {
    const life = watch(call)
    void answerMany(call, life, () => method(call.request, life))
  }
}

function exchange(method: ManyResponses): handleBidiStreamingCall<unknown, unknown> {
  return (call) => {
    const life = watch(call)
    void answerMany(call, life, () => method(requestsOf(call, life), life))
  }
}

async function answerOnce(
  path: string,
  life: CallLife,
  callback: sendUnaryData<unknown>,
  run: () => unknown
): Promise<void> {
  try {
    const response = await run()
    if (response === undefined || response === null) {
      throw callError(Status.INTERNAL, `the handler of ${path} returned ${response}, not a message`)
    }
    const sent = trailerOf(life)
    life.finish()
    callback(null, response, sent)
  } catch (error) {
    life.finish()
    callback(failure(error, life.ownTrailer))
  }
}

async function answerMany(
  call: Writable & { end(trailer?: Metadata): unknown },
  life: CallLife,
  run: () => AsyncIterable<unknown>
): Promise<void> {
  try {
    const sending = pump(run(), sinkOf(call))
    life.onCancel(sending.stop)
    if (!(await sending.done)) return
    const sent = trailerOf(life)
    life.finish()
    call.end(sent)
  } catch (error) {
    life.finish()
    // What was written before still goes out; then the status.
    call.emit('error', failure(error, life.ownTrailer))
  }
}

/** What is sent beside the status of a call that went well. @throws as `sendable` does */
function trailerOf({ ownTrailer }: CallLife): Metadata {
  return ownTrailer === undefined ? new MetadataClass() : sendable(ownTrailer)
}

async function* requestsOf(call: ServerReadableStream<unknown, unknown>, life: CallLife) {
  try {
    // A handler that stops reading may still answer, so leaving the loop must not destroy the call.
    yield* call.iterator({ destroyOnReturn: false })
  } catch (error) {
    throw life.cancelled ? life.signal.reason : error
  }
  // A node:http2 client that cancels sends END_STREAM and then RST_STREAM, so for a moment an upload that was cut short
  // looks complete. Both come in one go, and a turn of the event loop later the call is known to be cancelled.
  await nextTurn()
  if (life.cancelled) throw life.signal.reason
}

const nextTurn = promisify(setImmediate)

/** What the four kinds of call of grpc-js have in common. */
type ServerCall = EventEmitter &
  Pick<ServerUnaryCall<unknown, unknown>, 'metadata' | 'getDeadline' | 'getPeer' | 'sendMetadata'>

function watch(call: ServerCall): CallLife {
  const deadline = Number(call.getDeadline())
  const life = new CallLife({
    metadata: call.metadata,
    deadline,
    get peer() {
      return call.getPeer()
    },
    sendHeader: (header) => call.sendMetadata(header)
  })
  // grpc-js emits 'cancelled' after every call, also one that ended well.
  call.once('cancelled', () => life.cancel())
  // Past its deadline a call may reach the handler after grpc-js has ended it; then 'cancelled' never comes.
  if (deadline <= Date.now()) life.cancel()
  return life
}
