import type { StatusObject } from '@grpc/grpc-js'
import { PluginError } from '../errors.js'
import { answers } from '../broker/preamble.js'
import type { SubstreamPort } from '../mux/port.js'
import { type Expiry, createExpiry } from '../mux/expiry.js'
import { maxUint32 } from '../mux/frame.js'
import { CallLife, type CallSource } from './call-life.js'
import { CallStream, type CallStreamEvents } from './call-stream.js'
import { decompress, isCompressed } from './compression.js'
import { onDeadline } from './deadline.js'
import {
  type StartFields,
  decodeStart,
  encodeHeader,
  encodeStatus,
  leadingFlag,
  okStatus
} from './direct-blocks.js'
import { Metadata, Status } from './grpc-js.js'
import type { PlainMethod } from './handler.js'
import { blockFlag, flagCompressed, flagPlain, prefixBytes } from './message-frames.js'
import { MessageQueue } from './message-queue.js'
import { type Sink, pump } from './pump.js'
import { serialize } from './service.js'
import { callError } from './status.js'
import { statusOf, unavailable } from './status-map.js'
import { failure, sendable } from './trailer.js'

/** How long a caller whose call is answered may take to end its half before the substream is reset. */
const lingerMs = 5000

/** What a call's acceptor begins with. */
const acceptedAnswer = Buffer.of(answers.accepted)

/** What the request of a call goes to, whole messages in order; none after `end` or `cancel`. */
export interface RequestTaker {
  /** The call is there: its handler may run. */
  begin?(): void
  message(payload: Buffer): void
  end(): void
  /** The call is over, by the caller or after the status was sent. */
  cancel(): void
}

/** What serves one path. */
export type Served =
  | { readonly plain: PlainMethod; readonly background: boolean }
  /** Given the call, which begins with its start block. */
  | { readonly attach: (call: DirectServerCall) => RequestTaker; readonly background: boolean }

export interface DirectServerOptions {
  readonly maxReceiveBytes: number
  readonly maxSendBytes: number
  /** Who serves a path: undefined, nobody. */
  find(path: string): Served | undefined
  /** A call that is no background work has begun, and has ended. */
  began(): void
  ended(): void
}

/** Serves calls, each on a substream of its own (wire `direct`). */
export interface DirectServer {
  /** Takes a call. What it gives receives what comes after the preamble. */
  take(port: SubstreamPort): CallStream
  /** Calls that are not over. */
  readonly size: number
  /** Refuses calls that still come; those that have come go on. Safe to repeat. */
  close(): void
  /** Ends every call now as well. Safe to repeat. */
  end(): void
}

export function createDirectServer(options: DirectServerOptions): DirectServer {
  return new CallServer(options)
}

class CallServer implements DirectServer, Core {
  readonly options: DirectServerOptions
  readonly calls = new Set<DirectServerCall>()
  closed = false
  lingering: Expiry<DirectServerCall> | undefined

  constructor(options: DirectServerOptions) {
    this.options = options
  }

  take(port: SubstreamPort): CallStream {
    const call = new DirectServerCall(this, port)
    this.calls.add(call)
    return call.stream
  }

  get size(): number {
    return this.calls.size
  }

  close(): void {
    this.closed = true
  }

  end(): void {
    this.closed = true
    for (const call of this.calls) call.expel()
  }
}

interface Core {
  readonly options: DirectServerOptions
  readonly calls: Set<DirectServerCall>
  readonly closed: boolean
  /** Calls that were answered before their request had ended. */
  lingering: Expiry<DirectServerCall> | undefined
}

/**
 * Start blocks without metadata and time-out of methods that are served, which come again and again: by their bytes as
 * text. So many are kept, of so many bytes each; all others cost the decoding of a small message.
 */
const knownStarts = new Map<string, StartFields>()
const mostKnownStarts = 256
const longestKnownStart = 256

function isPlain({ timeoutMs, metadata }: StartFields): boolean {
  return timeoutMs === Infinity && metadata === undefined
}

/**
 * One call, from its start block to its status.
 *
 * ```
 *   new ── Start ──> open ── status is sent ──> answered ── it has left ──> over
 *    └───────────────┴── reset, loss ──────────────────────────────────────> over
 * ```
 */
export class DirectServerCall implements CallStreamEvents, CallSource {
  readonly #core: Core
  readonly stream: CallStream
  #state: 'new' | 'open' | 'answered' | 'over' = 'new'
  #start: StartFields | undefined
  #metadata: Metadata | undefined
  #requests: RequestTaker | undefined
  /** Why nothing is read: a message is being decompressed, or whoever takes them has enough. */
  #unpacking = false
  #held = false
  /** Counted as work. */
  #counted = false
  #clearDeadline: (() => void) | undefined
  /** The answer byte has left. */
  #accepted = false
  #headerSent = false
  deadline = Infinity
  /** Told when what `sendMessage` did not take at once has left. */
  onDrain: (() => void) | undefined

  constructor(core: Core, port: SubstreamPort) {
    this.#core = core
    this.stream = new CallStream(port, this, core.options.maxReceiveBytes)
  }

  get path(): string {
    return this.#start!.method
  }

  get metadata(): Metadata {
    this.#metadata ??= this.#start!.metadata ?? new Metadata()
    return this.#metadata
  }

  get host(): string {
    return this.#start!.authority
  }

  get peer(): string {
    return 'unknown'
  }

  /** Whether nobody waits for an answer any more. */
  get over(): boolean {
    return this.#state === 'answered' || this.#state === 'over'
  }

  // Request

  onFrame(flag: number, payload: Buffer): void {
    if (this.over) return
    if ((flag & blockFlag) !== 0) {
      if (flag !== leadingFlag) return
      if (this.#state === 'new') this.#begin(payload)
      else this.#refuse(Status.INTERNAL, 'a second start block')
      return
    }
    if (this.#state === 'new') return this.#refuse(Status.INTERNAL, 'a message before the start block')
    if (flag === flagPlain) this.#requests!.message(payload)
    else if (flag === flagCompressed) void this.#unpack(payload)
    else this.#refuse(Status.INTERNAL, `a message with the unknown flag ${flag}`)
  }

  #begin(payload: Buffer): void {
    const text = payload.length > longestKnownStart ? undefined : payload.toString('latin1')
    let start = text === undefined ? undefined : knownStarts.get(text)
    const known = start !== undefined
    try {
      start ??= decodeStart(payload)
    } catch (error) {
      return this.#refuse(Status.INTERNAL, (error as Error).message)
    }
    const { method, timeoutMs } = start
    this.#start = start
    this.#state = 'open'
    if (this.#core.closed) return this.expel()
    const served = this.#core.options.find(method)
    if (served === undefined) {
      const details = `The server does not implement the method ${method}`
      return this.sendStatus({ code: Status.UNIMPLEMENTED, details, metadata: null })
    }
    if (!known && text !== undefined && knownStarts.size < mostKnownStarts && isPlain(start))
      knownStarts.set(text, start)
    if (!served.background) {
      this.#counted = true
      this.#core.options.began()
    }
    if (timeoutMs !== Infinity) {
      this.deadline = Date.now() + timeoutMs
      this.#clearDeadline = onDeadline(this.deadline, () => {
        this.sendStatus({ code: Status.DEADLINE_EXCEEDED, details: 'Deadline exceeded', metadata: null })
      })
    }
    const requests = 'plain' in served ? takerOf(this, served.plain) : served.attach(this)
    this.#requests = requests
    requests.begin?.()
  }

  #refuse(code: Status, what: string): void {
    const details = `The request breaks the rules: ${what}`
    this.sendStatus({ code, details, metadata: null })
  }

  async #unpack(payload: Buffer): Promise<void> {
    const { encoding } = this.#start!
    if (!isCompressed(encoding)) {
      const details = `Received message compressed with unsupported encoding "${encoding}"`
      return this.sendStatus({ code: Status.UNIMPLEMENTED, details, metadata: null })
    }
    // What follows must not overtake it.
    this.#unpacking = true
    this.stream.pause()
    let message: Buffer
    try {
      message = await decompress(encoding, payload, this.#core.options.maxReceiveBytes)
    } catch (error) {
      const code = error instanceof RangeError ? Status.RESOURCE_EXHAUSTED : Status.INTERNAL
      return this.sendStatus({ code, details: (error as Error).message, metadata: null })
    }
    this.#unpacking = false
    if (this.over) return
    this.#requests!.message(message)
    this.#readOn()
  }

  /** For whoever takes the requests: no more for now. */
  pause(): void {
    this.#held = true
    this.stream.pause()
  }

  resume(): void {
    this.#held = false
    this.#readOn()
  }

  #readOn(): void {
    if (!this.#held && !this.#unpacking) this.stream.resume()
  }

  onTooLong(message: string): void {
    this.sendStatus({ code: Status.RESOURCE_EXHAUSTED, details: message, metadata: null })
  }

  onFin(truncated: boolean): void {
    if (this.#state === 'new') {
      // A probe: whether calls get through.
      this.#close()
      if (truncated) this.stream.reset()
      else this.stream.send([acceptedAnswer], acceptedAnswer.length, true)
    } else if (this.#state === 'open') {
      if (truncated) this.#refuse(Status.INTERNAL, 'it ends inside a message')
      else this.#requests!.end()
    } else if (this.#state === 'answered') {
      this.#core.lingering?.delete(this)
    }
  }

  onReset(): void {
    this.#close()
  }

  onLost(): void {
    this.#close()
  }

  /** The caller is gone, or has ended its half after the answer. */
  #close(): void {
    this.#state = 'over'
    this.#core.lingering?.delete(this)
    this.#leave()
  }

  /** Nothing of the call is to be done any more. */
  #leave(): void {
    this.#core.calls.delete(this)
    this.#clearDeadline?.()
    this.#clearDeadline = undefined
    const requests = this.#requests
    this.#requests = undefined
    requests?.cancel()
    this.#drained()
    if (!this.#counted) return
    this.#counted = false
    this.#core.options.ended()
  }

  /** Ends the call because the service ends. */
  expel(): void {
    // Who has not said which method it is for cannot be told.
    if (this.#state === 'new') return this.hangUp()
    this.sendStatus(serviceClosed())
    // It cannot be told: the caller reads nothing.
    if (this.#core.calls.has(this)) this.hangUp()
  }

  /** Ends the call without a word. */
  hangUp(): void {
    if (this.#state === 'over') return
    this.stream.reset()
    this.#close()
  }

  // Response

  onAcknowledging(): void {
    const answer = this.#state === 'over' ? undefined : this.#takeAnswer()
    if (answer !== undefined) this.stream.send([answer], answer.length, false)
  }

  sendHeader(metadata: Metadata): void {
    if (this.over || this.#headerSent) return
    this.#headerSent = true
    this.#sendBlock(encodeHeader(metadata), false)
  }

  /**
   * Sends one message. False: it waits, and {@link onDrain} tells when that is over, or the call.
   * @throws Unsendable when it is too large
   */
  sendMessage(message: Uint8Array): boolean {
    if (this.over) return true
    this.#check(message)
    this.#headerSent = true
    return this.stream.sendMessage(this.#takeAnswer(), flagPlain, message, undefined, false)
  }

  /** Sends the one message of the response, and OK. */
  answer(message: Uint8Array, trailer: Metadata | undefined): void {
    if (this.over) return
    this.#check(message)
    this.#finish(message, trailer === undefined ? okStatus : encodeStatus(Status.OK, '', trailer))
  }

  #check(message: Uint8Array): void {
    const { maxSendBytes } = this.#core.options
    if (message.length <= maxSendBytes) return
    const text = `Sent message larger than max (${message.length + prefixBytes} vs. ${maxSendBytes})`
    throw new Unsendable(Status.RESOURCE_EXHAUSTED, text)
  }

  sendStatus({
    code,
    details,
    metadata
  }: Omit<StatusObject, 'metadata'> & { metadata?: Metadata | null | undefined }): void {
    if (this.over) return
    // A code that gRPC does not have is for the caller to judge.
    const sent = Number.isInteger(code) && code >= 0 && code <= maxUint32 ? code : Status.UNKNOWN
    const frame =
      code === Status.OK && !metadata
        ? okStatus
        : encodeStatus(sent, code === Status.OK ? '' : details, metadata ?? undefined)
    this.#finish(undefined, frame)
  }

  #finish(message: Uint8Array | undefined, status: Buffer): void {
    this.#state = 'answered'
    this.stream.deafen()
    const left =
      message === undefined
        ? this.#sendBlock(status, true)
        : this.stream.sendMessage(this.#takeAnswer(), flagPlain, message, status, true)
    // It may have been the session's last breath.
    if (this.#state !== 'answered') return
    if (!this.stream.peerFinished) {
      this.#core.lingering ??= createExpiry(lingerMs, (call) => call.hangUp())
      this.#core.lingering.add(this)
    }
    if (left) this.#leave()
  }

  #sendBlock(block: Buffer, last: boolean): boolean {
    const answer = this.#takeAnswer()
    if (answer === undefined) return this.stream.send([block], block.length, last)
    return this.stream.send([answer, block], answer.length + block.length, last)
  }

  /** The answer byte, if it is due: it goes before all else. */
  #takeAnswer(): Buffer | undefined {
    if (this.#accepted) return undefined
    this.#accepted = true
    return acceptedAnswer
  }

  onSent(): void {
    if (this.#state === 'answered') this.#leave()
    else this.#drained()
  }

  #drained(): void {
    const { onDrain } = this
    this.onDrain = undefined
    onDrain?.()
  }
}

function serviceClosed(): StatusObject {
  return unavailable(
    new PluginError('ERR_STREAM_CLOSED', 'the service was closed by the side that serves it')
  )
}

/** What takes the requests of a typed method. */
function takerOf(call: DirectServerCall, method: PlainMethod): RequestTaker {
  return method.descriptor.requestStream ? new StreamTaker(call, method) : new UnaryTaker(call, method)
}

/** One request: the handler runs once it is whole. */
class UnaryTaker implements RequestTaker {
  readonly #call: DirectServerCall
  readonly #method: PlainMethod
  #payload: Buffer | undefined
  #life: CallLife | undefined

  constructor(call: DirectServerCall, method: PlainMethod) {
    this.#call = call
    this.#method = method
  }

  message(payload: Buffer): void {
    if (this.#payload !== undefined) this.#refuse('Received a second request message')
    else this.#payload = payload
  }

  end(): void {
    const call = this.#call
    const method = this.#method
    const payload = this.#payload
    if (payload === undefined) return this.#refuse('Received no request message')
    let request: unknown
    try {
      request = method.descriptor.request.decode(payload)
    } catch {
      return call.sendStatus(statusOf(Status.INTERNAL, 'Error deserializing request'))
    }
    const life = new CallLife(call)
    this.#life = life
    if (method.descriptor.responseStream) void answerMany(call, method, life, request)
    else answerOnce(call, method, life, request)
  }

  #refuse(what: string): void {
    const details = `${what} for ${this.#method.descriptor.responseStream ? 'server streaming' : 'unary'} method ${this.#call.path}`
    this.#call.sendStatus(statusOf(Status.UNIMPLEMENTED, details))
  }

  cancel(): void {
    this.#life?.cancel()
  }
}

/** Requests as an async iterable: the handler runs at once. */
class StreamTaker implements RequestTaker {
  readonly #call: DirectServerCall
  readonly #method: PlainMethod
  readonly #queue: MessageQueue<unknown>
  readonly #life: CallLife

  constructor(call: DirectServerCall, method: PlainMethod) {
    this.#call = call
    this.#method = method
    this.#queue = new MessageQueue({ onRoom: () => call.resume() })
    this.#life = new CallLife(call)
  }

  begin(): void {
    if (this.#method.descriptor.responseStream)
      void answerMany(this.#call, this.#method, this.#life, this.#queue)
    else answerOnce(this.#call, this.#method, this.#life, this.#queue)
  }

  message(payload: Buffer): void {
    let request: unknown
    try {
      request = this.#method.descriptor.request.decode(payload)
    } catch {
      return this.#call.sendStatus(statusOf(Status.INTERNAL, 'Error deserializing request'))
    }
    if (!this.#queue.push(request, payload.length)) this.#call.pause()
  }

  end(): void {
    this.#queue.end()
  }

  cancel(): void {
    this.#life.cancel()
    if (this.#life.cancelled) this.#queue.fail(() => this.#life.signal.reason)
    else this.#queue.end()
  }
}

/** Runs a handler that gives one response, or a promise of it. */
function answerOnce(call: DirectServerCall, method: PlainMethod, life: CallLife, request: unknown): void {
  let response: unknown
  try {
    response = method.run(request, life)
  } catch (error) {
    return fail(call, life, error)
  }
  if (isThenable(response)) void answerLater(call, method, life, response)
  else respond(call, method, life, response)
}

async function answerLater(
  call: DirectServerCall,
  method: PlainMethod,
  life: CallLife,
  promise: PromiseLike<unknown>
): Promise<void> {
  let response: unknown
  try {
    response = await promise
  } catch (error) {
    return fail(call, life, error)
  }
  respond(call, method, life, response)
}

function respond(call: DirectServerCall, method: PlainMethod, life: CallLife, response: unknown): void {
  try {
    if (response === undefined || response === null) {
      const text = `the handler of ${method.descriptor.path} returned ${String(response)}, not a message`
      throw callError(Status.INTERNAL, text)
    }
    const trailer = life.ownTrailer
    const sent = trailer === undefined ? undefined : sendable(trailer)
    const bytes = bytesOf(method, response)
    life.finish()
    call.answer(bytes, sent)
  } catch (error) {
    fail(call, life, error)
  }
}

/** @throws Unsendable: no text of the codec's leaves the process */
function bytesOf(method: PlainMethod, response: unknown): Uint8Array {
  try {
    return serialize(method.descriptor.response, response)
  } catch {
    throw new Unsendable(Status.INTERNAL, 'Error serializing response')
  }
}

/** A handler's response that cannot go out. The call ends with this status, and without the handler's trailer, as on HTTP/2. */
export class Unsendable extends Error {
  readonly code: Status

  constructor(code: Status, details: string) {
    super(details)
    this.code = code
  }
}

function fail(call: DirectServerCall, life: CallLife, error: unknown): void {
  life.finish()
  if (error instanceof Unsendable) call.sendStatus(statusOf(error.code, error.message))
  else call.sendStatus(failure(error, life.ownTrailer))
}

/** Runs a handler that gives an async iterable of responses. */
async function answerMany(
  call: DirectServerCall,
  method: PlainMethod,
  life: CallLife,
  request: unknown
): Promise<void> {
  const sink: Sink = {
    write: (response) => call.sendMessage(bytesOf(method, response)),
    onDrain: (callback) => {
      call.onDrain = callback
    }
  }
  try {
    const sending = pump(method.run(request, life) as AsyncIterable<unknown>, sink)
    life.onCancel(sending.stop)
    if (!(await sending.done)) return
    const trailer = life.ownTrailer
    const sent = trailer === undefined ? undefined : sendable(trailer)
    life.finish()
    call.sendStatus({ code: Status.OK, details: '', metadata: sent })
  } catch (error) {
    fail(call, life, error)
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | null | undefined)?.then === 'function'
}
