import type {
  ChannelInterface,
  Client as GrpcClient,
  ClientReadableStream,
  ClientWritableStream,
  Interceptor,
  Metadata,
  StatusObject
} from '@grpc/grpc-js'
import { setMaxListeners, type EventEmitter } from 'node:events'
import { loadGrpcJs } from './grpc-js.js'
import { type CallOptions, type Items, type Method, prepareCall } from './call-options.js'
import { pump, sinkOf, type Pump } from './pump.js'
import { fromServiceError } from './status.js'
import { begin } from './unary-call.js'

/** Makes the calls of one method. */
export type Caller = (request: never, options: CallOptions) => Promise<unknown> | AsyncIterable<unknown>

/** Calls by grpc-js's own client, which runs the interceptors, outermost first. */
export function createInterceptedCaller(
  channel: ChannelInterface,
  interceptors: readonly Interceptor[]
): (method: Method) => Caller {
  const { Client, credentials } = loadGrpcJs()
  // The address and the credentials belong to the channel that is given.
  const client = new Client('muxplug', credentials.createInsecure(), {
    channelOverride: channel,
    interceptors: [...interceptors]
  })
  return (method) => {
    if (method.requestStream) {
      return method.responseStream
        ? (requests, options) => exchange(client, method, requests, options)
        : (requests, options) => upload(client, method, requests, options)
    }
    return method.responseStream
      ? (request, options) => download(client, method, request, options)
      : (request, options) => unary(client, method, request, options)
  }
}

function unary(client: GrpcClient, method: Method, request: unknown, options: CallOptions): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const { path, encode, decode, metadata, limits } = prepareCall(method, options)
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
    const { path, encode, decode, metadata, limits } = prepareCall(method, options)
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
  const { path, encode, decode, metadata, limits } = prepareCall(method, options)
  const call = begin(() => client.makeServerStreamRequest(path, encode, decode, request, metadata, limits))
  yield* receive(call, options)
}

async function* exchange(client: GrpcClient, method: Method, requests: Items, options: CallOptions) {
  const { path, encode, decode, metadata, limits } = prepareCall(method, options)
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
  const sending = pump(requests, sinkOf(call))
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
