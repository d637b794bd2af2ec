import { setMaxListeners } from 'node:events'
import type { ChannelInterface, InterceptingListener, Metadata, StatusObject } from '@grpc/grpc-js'
import { errorText } from '../errors.js'
import { type CallOptions, type Items, type Method, prepareCall } from './call-options.js'
import { Status } from './grpc-js.js'
import { MessageQueue } from './message-queue.js'
import { type Pump, type Sink, pump } from './pump.js'
import { fromServiceError } from './status.js'
import { begin } from './unary-call.js'

/**
 * Makes a call with many responses. It begins when it is first read, and may be read once; leaving the loop cancels it.
 * @param requests one request, or what gives them where the method has many
 */
export function callStreaming(
  channel: ChannelInterface,
  method: Method,
  requests: unknown,
  options: CallOptions
): AsyncIterableIterator<unknown> {
  return new StreamingCall(channel, method, requests, options)
}

/**
 * Makes a call with many requests and one response. Rejects with a `PluginError` that has the status, with the signal's
 * reason, or with what `requests` or a callback has thrown.
 */
export async function collectOne(
  channel: ChannelInterface,
  method: Method,
  requests: Items,
  options: CallOptions
): Promise<unknown> {
  const call = new StreamingCall(channel, method, requests, options)
  let response: { readonly message: unknown } | undefined
  for await (const message of call) {
    if (response !== undefined) throw call.refuse('Too many responses received')
    response = { message }
  }
  if (response === undefined) throw call.refuse('No message received')
  return response.message
}

type Call = ReturnType<ChannelInterface['createCall']>

class StreamingCall implements AsyncIterableIterator<unknown>, InterceptingListener, Sink {
  /** For the channel: nothing that it tells of is passed on later. */
  readonly prompt = true
  readonly #channel: ChannelInterface
  readonly #method: Method
  readonly #requests: unknown
  readonly #options: CallOptions
  readonly #responses: MessageQueue<unknown>
  #call: Call | undefined
  #sending: Pump | undefined
  #onDrain: (() => void) | undefined
  #onAbort: (() => void) | undefined
  #over = false
  #trailer: Metadata | undefined

  constructor(channel: ChannelInterface, method: Method, requests: unknown, options: CallOptions) {
    this.#channel = channel
    this.#method = method
    this.#requests = requests
    this.#options = options
    this.#responses = new MessageQueue({
      onRoom: () => this.#call?.startRead(),
      onLeave: () => this.#leave()
    })
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async next(): Promise<IteratorResult<unknown, undefined>> {
    if (this.#call === undefined && !this.#over) this.#start()
    return this.#responses.next()
  }

  return(): Promise<IteratorResult<unknown, undefined>> {
    this.#over = true
    return this.#responses.return()
  }

  async throw(error?: unknown): Promise<IteratorResult<unknown, undefined>> {
    await this.return()
    throw error
  }

  #start(): void {
    const method = this.#method
    const { signal } = this.#options
    const { path, metadata, deadline } = prepareCall(method, this.#options)
    const call = begin(() => this.#channel.createCall(path, deadline, undefined, null, undefined))
    this.#call = call
    begin(() => call.start(metadata, this))
    if (signal !== undefined) {
      this.#onAbort = () => this.#fail(signal.reason)
      // Each call takes its listener away again, so many at once on one signal are no leak to warn of.
      setMaxListeners(0, signal)
      signal.addEventListener('abort', this.#onAbort, { once: true })
    }
    if (method.requestStream) {
      this.#sending = pump(this.#requests as Items, this)
      this.#sending.done.then(
        (all) => {
          if (all) call.halfClose()
        },
        (error: unknown) => this.#fail(error)
      )
    } else {
      const bytes = this.#serialize(this.#requests)
      if (bytes !== undefined) call.sendMessageWithContext({}, bytes)
      call.halfClose()
    }
    // After the request: a channel takes a call that reads before it for one with a single response.
    call.startRead()
  }

  /** What is wrong with the responses, as an error of the call. */
  refuse(details: string): unknown {
    const metadata = this.#trailer
    return fromServiceError(
      Object.assign(new Error(details), { code: Status.UNIMPLEMENTED, details, metadata })
    )
  }

  // Requests

  write(request: unknown): boolean {
    if (request === null) throw new TypeError('null among the requests is no message')
    const bytes = this.#serialize(request)
    if (bytes === undefined) return true
    this.#call!.sendMessageWithContext({ callback: () => this.#drained() }, bytes)
    return false
  }

  onDrain(callback: () => void): void {
    this.#onDrain = callback
  }

  #drained(): void {
    const onDrain = this.#onDrain
    this.#onDrain = undefined
    onDrain?.()
  }

  #serialize(request: unknown): Buffer | undefined {
    try {
      return this.#method.requestSerialize(request)
    } catch (error) {
      this.#call!.cancelWithStatus(
        Status.INTERNAL,
        `Request message serialization failure: ${errorText(error)}`
      )
      return undefined
    }
  }

  // Responses

  onReceiveMetadata(metadata: Metadata): void {
    this.#tell(this.#options.onHeader, metadata)
  }

  onReceiveMessage(bytes: Buffer): void {
    let message: unknown
    try {
      message = this.#method.responseDeserialize(bytes)
    } catch (error) {
      this.#call!.cancelWithStatus(Status.INTERNAL, `Response message parsing error: ${errorText(error)}`)
      return
    }
    if (this.#responses.push(message, bytes.length)) this.#call!.startRead()
  }

  onReceiveStatus(status: StatusObject): void {
    this.#over = true
    this.#letGo()
    this.#trailer = status.metadata
    this.#tell(this.#options.onTrailer, status.metadata)
    if (status.code === Status.OK) {
      this.#responses.end()
    } else {
      const { code, details } = status
      const error = Object.assign(new Error(`${code} ${Status[code]}: ${details}`), status)
      this.#responses.end(() => fromServiceError(error))
    }
  }

  /** What the callback throws ends the call and is what its reader gets. */
  #tell(callback: ((metadata: Metadata) => void) | undefined, metadata: Metadata): void {
    try {
      callback?.(metadata)
    } catch (error) {
      this.#fail(error)
    }
  }

  #fail(reason: unknown): void {
    this.#responses.fail(() => reason)
    this.#leave()
  }

  #leave(): void {
    this.#over = true
    this.#letGo()
    this.#call?.cancelWithStatus(Status.CANCELLED, 'Cancelled on client')
  }

  #letGo(): void {
    this.#sending?.stop()
    this.#drained()
    if (this.#onAbort === undefined) return
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    this.#onAbort = undefined
  }
}
