import type { ChannelInterface, Interceptor } from '@grpc/grpc-js'
import { checkDuration } from '../signal.js'
import { type CallOptions, type Method, deadlineOf } from './call-options.js'
import type { StreamChannel } from './channel.js'
import { type Caller, createInterceptedCaller } from './intercepted-client.js'
import {
  methodDefinition,
  toMetadata,
  type RequestIn,
  type ResponseOut,
  type ServiceDescriptor
} from './service.js'
import { callStreaming, collectOne } from './streaming-call.js'
import { callUnary } from './unary-call.js'

export type { CallOptions } from './call-options.js'

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
 * Methods may be taken off the client (`const { echo } = client`).
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
  const callerOf =
    interceptors.length === 0 ? plainCaller(channel) : createInterceptedCaller(channel, interceptors)
  const ClientOf = classOf(service)
  return new ClientOf((method) => {
    const call = callerOf(method)
    return (request, own) => call(request, own === undefined ? defaults : { ...defaults, ...own })
  }) as unknown as Client<S>
}

type BoundMethod = (request: never, own?: CallOptions) => unknown
type ClientClass = new (bind: (method: Method) => BoundMethod) => object

/** A client is made for each connection, so what all of one service have in common is made once. */
const classes = new WeakMap<ServiceDescriptor, ClientClass>()

function classOf(service: ServiceDescriptor): ClientClass {
  let known = classes.get(service)
  if (known === undefined) {
    known = makeClass(service)
    classes.set(service, known)
  }
  return known
}

/** A method is made when it is first looked at: most clients are used for one or two. */
function makeClass(service: ServiceDescriptor): ClientClass {
  class ServiceClient {
    readonly #bind: (method: Method) => BoundMethod

    constructor(bind: (method: Method) => BoundMethod) {
      this.#bind = bind
    }

    static bind(client: ServiceClient, method: Method): BoundMethod {
      return client.#bind(method)
    }
  }
  for (const [name, descriptor] of Object.entries(service.methods)) {
    const method = methodDefinition(name, descriptor)
    Object.defineProperty(ServiceClient.prototype, name, {
      enumerable: true,
      get(this: ServiceClient) {
        const value = ServiceClient.bind(this, method)
        Object.defineProperty(this, name, { value, enumerable: true })
        return value
      }
    })
  }
  return ServiceClient
}

/** Calls straight on the channel, without grpc-js's client. */
function plainCaller(channel: ChannelInterface): (method: Method) => Caller {
  return (method) => {
    if (method.responseStream) return (requests, options) => callStreaming(channel, method, requests, options)
    if (method.requestStream) return (requests, options) => collectOne(channel, method, requests, options)
    return (request, options) => unary(channel, method, request, options)
  }
}

function unary(
  channel: ChannelInterface & Partial<Pick<StreamChannel, 'unary'>>,
  method: Method,
  request: unknown,
  options: CallOptions
): Promise<unknown> {
  try {
    const { signal, metadata, onHeader, onTrailer } = options
    const deadline = deadlineOf(options)
    if (metadata === undefined && onHeader === undefined && onTrailer === undefined) {
      const quick = channel.unary?.({ method, request, deadline, signal })
      if (quick !== undefined) return quick
    }
    const sent = toMetadata(metadata)
    return callUnary(channel, { method, request, metadata: sent, deadline, signal, onHeader, onTrailer })
  } catch (error) {
    // oxlint-disable-next-line typescript/prefer-promise-reject-errors
    return Promise.reject(error)
  }
}
