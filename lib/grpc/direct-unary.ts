import { setMaxListeners } from 'node:events'
import type { MethodDefinition, StatusObject } from '@grpc/grpc-js'
import { errorText } from '../errors.js'
import { CallStream, type CallStreamEvents } from './call-stream.js'
import { decompress, isCompressed } from './compression.js'
import { onDeadline } from './deadline.js'
import { type DirectLink, headOf } from './direct-link.js'
import { decodeHeader, decodeStatus, leadingFlag, statusFlag } from './direct-blocks.js'
import { Metadata, Status } from './grpc-js.js'
import { blockFlag, flagCompressed, flagPlain } from './message-frames.js'
import { fromServiceError } from './status.js'
import { statusOf, unavailable } from './status-map.js'
import type { OpenCall } from './wire-connection.js'

/** A unary call without metadata, and without anybody who wants to be told of them. */
export interface PlainUnaryRequest {
  readonly method: MethodDefinition<unknown, unknown>
  readonly request: unknown
  /** Milliseconds since the epoch; `Infinity`: none. */
  readonly deadline: number
  readonly signal: AbortSignal | undefined
}

/** What such a call needs of its channel. */
export interface PlainUnaryOwner {
  readonly maxSendBytes: number
  started(call: OpenCall): void
  ended(call: OpenCall): void
}

/**
 * The usual call, on wire `direct`: one request, one response, no metadata. It has the rules of `ChannelCall` and `callUnary`
 * without what those need for everything else, which is half of what a call costs.
 */
export class DirectUnary implements CallStreamEvents, OpenCall {
  readonly #link: DirectLink
  readonly #owner: PlainUnaryOwner
  readonly #request: PlainUnaryRequest
  readonly #resolve: (response: unknown) => void
  readonly #reject: (reason: unknown) => void
  #stream: CallStream | undefined
  #answered = false
  /** Of the response's header, once it has come. */
  #encoding: string | undefined
  #response: { readonly message: unknown } | undefined
  #status: StatusObject | undefined
  #over = false
  #startedAt = 0
  #clearDeadline: (() => void) | undefined
  #onAbort: (() => void) | undefined

  constructor(
    link: DirectLink,
    owner: PlainUnaryOwner,
    request: PlainUnaryRequest,
    resolve: (response: unknown) => void,
    reject: (reason: unknown) => void
  ) {
    this.#link = link
    this.#owner = owner
    this.#request = request
    this.#resolve = resolve
    this.#reject = reject
  }

  /** `/package.Service/Method` */
  get path(): string {
    return this.#request.method.path
  }

  /** It goes out at once. */
  get waiting(): boolean {
    return false
  }

  start(): void {
    const { method, request, deadline, signal } = this.#request
    this.#owner.started(this)
    let message: Buffer
    try {
      message = method.requestSerialize(request)
    } catch (error) {
      return this.#end(Status.INTERNAL, `Request message serialization failure: ${errorText(error)}`)
    }
    const { maxSendBytes } = this.#owner
    if (message.length > maxSendBytes) {
      const text = `Attempted to send message with a size larger than ${maxSendBytes}`
      return this.#end(Status.RESOURCE_EXHAUSTED, text)
    }
    if (deadline !== Infinity) {
      this.#startedAt = Date.now()
      if (deadline <= this.#startedAt) return this.#expire()
      this.#clearDeadline = onDeadline(deadline, () => this.#expire())
    }
    if (signal !== undefined) {
      this.#onAbort = () => this.#fail(signal.reason)
      // Each call takes its listener away again, so many at once on one signal are no leak to warn of.
      setMaxListeners(0, signal)
      signal.addEventListener('abort', this.#onAbort, { once: true })
    }
    const link = this.#link
    const head = headOf(link, method.path, deadline - this.#startedAt)
    try {
      this.#stream = link.route.open((port) => new CallStream(port, this, link.maxReceiveBytes))
    } catch (error) {
      return this.#endWith(unavailable(error as Error))
    }
    this.#stream.sendMessage(head, flagPlain, message, undefined, true)
  }

  onAnswer(byte: number): boolean {
    const refusal = this.#link.route.judge(byte)
    if (refusal === undefined) {
      this.#answered = true
      return true
    }
    this.#endWith(unavailable(refusal))
    return false
  }

  onFrame(flag: number, payload: Buffer): void {
    try {
      this.#take(flag, payload)
    } catch (error) {
      // A block that is none.
      this.#broken((error as Error).message)
    }
  }

  #take(flag: number, payload: Buffer): void {
    if (flag === statusFlag) {
      if (this.#status !== undefined) return this.#broken('a second status came')
      const status = payload.length === 0 ? okStatus : decodeStatus(payload)
      this.#status = status
      // The messages before an error are of no use.
      if (status.code !== Status.OK) this.#endWith(status)
    } else if (flag === leadingFlag) {
      if (this.#encoding !== undefined || this.#response !== undefined || this.#status !== undefined)
        return this.#broken('a header came late')
      this.#encoding = decodeHeader(payload).encoding
    } else if ((flag & blockFlag) === 0) {
      if (this.#status !== undefined) this.#broken('a message came after the status')
      else if (flag === flagPlain) this.#message(payload)
      else if (flag !== flagCompressed)
        this.#end(Status.INTERNAL, `Received message with unknown flag ${flag}`)
      else void this.#unpack(payload)
    }
  }

  #message(payload: Buffer): void {
    if (this.#response !== undefined) return this.#end(Status.UNIMPLEMENTED, 'Too many responses received')
    try {
      this.#response = { message: this.#request.method.responseDeserialize(payload) }
    } catch (error) {
      this.#end(Status.INTERNAL, `Response message parsing error: ${errorText(error)}`)
    }
  }

  async #unpack(payload: Buffer): Promise<void> {
    const encoding = this.#encoding ?? 'identity'
    if (!isCompressed(encoding)) {
      return this.#end(Status.INTERNAL, `Received compressed message, but grpc-encoding is ${encoding}`)
    }
    this.#stream!.pause()
    try {
      const message = await decompress(encoding, payload, this.#link.maxReceiveBytes)
      if (this.#over) return
      this.#message(message)
      this.#stream!.resume()
    } catch (error) {
      const code = error instanceof RangeError ? Status.RESOURCE_EXHAUSTED : Status.INTERNAL
      this.#end(code, errorText(error))
    }
  }

  #broken(what: string): void {
    this.#end(Status.INTERNAL, `The response breaks the rules: ${what}`)
  }

  onTooLong(message: string): void {
    this.#end(Status.RESOURCE_EXHAUSTED, message)
  }

  onFin(truncated: boolean): void {
    if (!this.#answered) this.#endWith(unavailable(this.#link.route.judge(undefined)!))
    else if (this.#status === undefined) this.#end(Status.INTERNAL, 'Call ended without gRPC status')
    else if (truncated) this.#end(Status.INTERNAL, 'Response ended inside a message')
    else if (this.#response === undefined) this.#end(Status.UNIMPLEMENTED, 'No message received')
    else {
      this.#leave()
      this.#resolve(this.#response.message)
    }
  }

  onReset(): void {
    // The server's time may have run out ahead of ours.
    if (Date.now() >= this.#request.deadline) this.#expire()
    else if (this.#answered) this.#end(Status.CANCELLED, 'Call cancelled')
    else this.#end(Status.UNAVAILABLE, 'The call was refused: its substream was reset')
  }

  onLost(error: Error | undefined): void {
    if (error === undefined || this.#link.route.over) this.#link.lose(error)
    else this.#endWith(unavailable(error))
  }

  onSent(): void {}

  // For the channel

  connectionLost(reason: Error): void {
    this.#endWith(unavailable(reason))
  }

  cancelWithStatus(code: Status, details: string): void {
    this.#end(code, details)
  }

  /** The connection is always there. */
  proceed(): void {}

  // End

  #expire(): void {
    const seconds = ((Date.now() - this.#startedAt) / 1000).toFixed(3)
    this.#end(Status.DEADLINE_EXCEEDED, `Deadline exceeded after ${seconds}s`)
  }

  #end(code: Status, details: string): void {
    this.#endWith(statusOf(code, details))
  }

  #endWith(status: StatusObject): void {
    const { code, details } = status
    this.#fail(fromServiceError(Object.assign(new Error(`${code} ${Status[code]}: ${details}`), status)))
  }

  #fail(reason: unknown): void {
    if (this.#over) return
    // Told or not, the peer's half may be open: it is not read any more.
    if (this.#stream?.peerFinished === false) this.#stream.reset()
    this.#leave()
    this.#reject(reason)
  }

  #leave(): void {
    this.#over = true
    this.#clearDeadline?.()
    if (this.#onAbort !== undefined) this.#request.signal?.removeEventListener('abort', this.#onAbort)
    this.#owner.ended(this)
  }
}

const okStatus: StatusObject = { code: Status.OK, details: 'OK', metadata: new Metadata() }
