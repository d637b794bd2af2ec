import type {
  CallCredentials,
  ChannelInterface,
  InterceptingListener,
  Metadata,
  StatusObject
} from '@grpc/grpc-js'
import { compress, decompress, isCompressed, type Encoding } from './compression.js'
import { deadlineMs, onDeadline } from './deadline.js'
import { Propagate, Status } from './grpc-js.js'
import { flagCompressed, flagPlain } from './message-frames.js'
import { statusOf, statusOfCredentials, unavailable } from './status-map.js'
import type {
  AuthContext,
  Call,
  MessageContext,
  OpenCall,
  ResponseEncodings,
  WireCall,
  WireCallEvents,
  WireConnection
} from './wire-connection.js'

/** The server call on whose behalf a call is made. */
export type ParentCall = NonNullable<Parameters<ChannelInterface['createCall']>[3]>

/** What a call needs of its channel. */
export interface CallOwner {
  readonly target: string
  readonly authority: string
  readonly userAgent: string
  readonly maxReceiveBytes: number
  readonly maxSendBytes: number
  readonly callCredentials: CallCredentials | undefined
  /** The encoding for new messages, as far as the peer is known to read it. */
  encoding(): Encoding
  /** What the peer said it reads. */
  learnEncodings(accepted: readonly string[]): void
  /** The connection, or undefined where it is lost: the call is then told `connectionLost`, or to `proceed`. */
  connect(call: ChannelCall): WireConnection | undefined
  /** The connection a call is on, if there is one. */
  authContext(): AuthContext | null
  started(call: OpenCall): void
  ended(call: OpenCall): void
}

export interface CallRequest {
  readonly path: string
  readonly deadline: number
  readonly host: string | null | undefined
  readonly parent: ParentCall | null
  readonly flags: number
  readonly number: number
}

/** Resolves what `createCall` was given to the deadline and parent that hold for the call. */
export function callRequest(
  number: number,
  ...[path, deadline, host, parent, propagateFlags]: Parameters<ChannelInterface['createCall']>
): CallRequest {
  if (typeof path !== 'string') throw new TypeError('Channel#createCall: method must be a string')
  const flags = propagateFlags ?? Propagate.DEFAULTS
  const own = deadlineMs(deadline)
  const inherited =
    parent !== null && (flags & Propagate.DEADLINE) !== 0 ? deadlineMs(parent.getDeadline()) : Infinity
  return { path, deadline: Math.min(own, inherited), host, parent, flags, number }
}

/** `write` flag: send this message as it is, whatever the call's encoding. */
const noCompress = 2

/** How far messages are read ahead of the reader before the peer is held back: a DATA frame or four. */
const readAheadBytes = 65_536
const readAheadMessages = 64

interface Outgoing {
  readonly message: Buffer
  readonly compressed: boolean
  readonly callback: (() => void) | undefined
}

interface Incoming {
  readonly payload: Buffer
  readonly compressed: boolean
}

/**
 * One call: gRPC's rules between grpc-js's client above and a wire below.
 *
 * ```
 *   start ── next tick ──> open ──> wire call      messages wait in the outbox until there is one
 *     │                                            response messages wait in the inbox for startRead
 *     └── cancel, deadline, limit, loss ──> end    at once; what is unread is dropped
 *         peer's status ──> end                    once every message before it was read
 * ```
 *
 * The status is told once, last and in a tick of its own; each message in a tick of its own too.
 */
export class ChannelCall implements Call, OpenCall, WireCallEvents {
  readonly #owner: CallOwner
  readonly #request: CallRequest
  #credentials: CallCredentials | undefined
  #metadata: Metadata | undefined
  #listener: InterceptingListener | undefined
  #clearDeadline: (() => void) | undefined
  #onParentCancelled: (() => void) | undefined
  #startedAt = 0
  /** In the tick of start, where only a unary response is asked for. */
  #starting = false
  #wireCall: WireCall | undefined
  /** The status this call ends with, once that is certain. */
  #final: StatusObject | undefined

  #outbox: Outgoing[] = []
  #encoding: Encoding = 'identity'
  #compressing = false
  /** Callback of the message that the wire has and did not accept yet. */
  #unsent: (() => void) | undefined
  #halfClosed = false
  #halfCloseSent = false

  #inbox: Incoming[] = []
  #inboxBytes = 0
  #responseEncoding = 'identity'
  #paused = false
  #everRead = false
  #readAllowed = false
  #readAtStart = false
  /** One request and one response: no second message will be asked for. */
  #unary = false
  #delivering = false
  /**
   * An interceptor of grpc-js that passes metadata on in a later turn loses the response that came in the same one, as
   * answers do on wire `direct`: the status overtakes the message. Our own listeners are prompt.
   */
  #prompt = false
  #held = false
  #delivered = false
  #peerStatus: StatusObject | undefined
  #noMoreMessages = false

  constructor(owner: CallOwner, request: CallRequest) {
    this.#owner = owner
    this.#request = request
  }

  getPeer(): string {
    return this.#owner.target
  }

  getCallNumber(): number {
    return this.#request.number
  }

  getAuthContext(): AuthContext | null {
    return this.#wireCall === undefined ? null : this.#owner.authContext()
  }

  setCredentials(credentials: CallCredentials): void {
    this.#credentials = credentials
  }

  start(metadata: Metadata, listener: InterceptingListener): void {
    if (this.#listener !== undefined) throw new Error('call was started already')
    this.#listener = listener
    this.#prompt = 'prompt' in listener
    this.#startedAt = Date.now()
    this.#owner.started(this)
    if (this.#final !== undefined) {
      process.nextTick(tellStatus, this)
      return
    }
    this.#metadata = metadata.clone()
    this.#starting = true
    this.#followParent()
    if (this.#request.deadline !== Infinity) {
      this.#clearDeadline = onDeadline(this.#request.deadline, () => this.#expire())
    }
    process.nextTick(open, this)
  }

  #followParent(): void {
    const { parent, flags } = this.#request
    if (parent === null || (flags & Propagate.CANCELLATION) === 0) return
    const cancel = () => this.cancelWithStatus(Status.CANCELLED, 'Cancelled by parent call')
    if (parent.cancelled) {
      cancel()
      return
    }
    this.#onParentCancelled = cancel
    parent.on('cancelled', cancel)
  }

  #expire(): void {
    const seconds = ((Date.now() - this.#startedAt) / 1000).toFixed(3)
    this.#end(statusOf(Status.DEADLINE_EXCEEDED, `Deadline exceeded after ${seconds}s`))
  }

  /** For the channel: the tick of start is over. */
  open(): void {
    this.#starting = false
    if (this.#final !== undefined) return
    const { callCredentials } = this.#owner
    const own = this.#credentials
    const credentials = own && callCredentials ? own.compose(callCredentials) : (own ?? callCredentials)
    if (credentials === undefined) this.#openOnWire()
    else void this.#openWith(credentials)
  }

  async #openWith(credentials: CallCredentials): Promise<void> {
    const { path } = this.#request
    const host = (this.#request.host ?? this.#owner.authority).replace(/:\d+$/, '')
    const service = path.slice(1, path.lastIndexOf('/'))
    let added: Metadata
    try {
      added = await credentials.generateMetadata({
        method_name: path,
        service_url: `https://${host}/${service}`
      })
    } catch (error) {
      this.#end(statusOfCredentials(error))
      return
    }
    if (this.#final !== undefined) return
    this.#metadata?.merge(added)
    if (this.#metadata !== undefined && this.#metadata.get('authorization').length > 1) {
      this.#end(statusOf(Status.INTERNAL, '"authorization" metadata cannot have multiple values'))
      return
    }
    this.#openOnWire()
  }

  #openOnWire(): void {
    const { path, host, deadline } = this.#request
    const timeoutMs = deadline - Date.now()
    if (timeoutMs <= 0) {
      this.#expire()
      return
    }
    const connection = this.#owner.connect(this)
    const metadata = this.#metadata
    if (connection === undefined || metadata === undefined) return
    this.#metadata = undefined
    this.#encoding = this.#owner.encoding()
    const opened = connection.open(
      {
        path,
        authority: host ?? this.#owner.authority,
        host: host ?? undefined,
        metadata,
        timeoutMs,
        encoding: this.#encoding,
        userAgent: this.#owner.userAgent
      },
      this
    )
    if (opened === undefined) {
      this.#metadata = metadata
      this.#openOnWire()
      return
    }
    if ('code' in opened) {
      this.#end(opened)
      return
    }
    this.#wireCall = opened
    this.#flush()
    opened.begun()
  }

  /** Tries again to reach the wire, after `connect` gave no connection and said nothing of a loss. */
  proceed(): void {
    if (this.#final === undefined && this.#wireCall === undefined) this.#openOnWire()
  }

  /** `/package.Service/Method` */
  get path(): string {
    return this.#request.path
  }

  /** Whether the call has not reached the wire: its credentials are still being made. */
  get waiting(): boolean {
    return this.#wireCall === undefined && !this.#starting
  }

  // Request

  sendMessageWithContext(context: MessageContext, message: Buffer): void {
    const { callback, flags = 0 } = context
    if (callback === undefined && this.#readAtStart) this.#unary = true
    if (this.#final === undefined) {
      if (this.#halfClosed) {
        this.#end(statusOf(Status.INTERNAL, 'Write error: message after half-close'))
      } else if (message.length > this.#owner.maxSendBytes) {
        const limit = this.#owner.maxSendBytes
        this.#end(
          statusOf(Status.RESOURCE_EXHAUSTED, `Attempted to send message with a size larger than ${limit}`)
        )
      }
    }
    if (this.#final !== undefined) {
      acknowledge(callback)
      return
    }
    this.#outbox.push({
      message,
      compressed: (flags & noCompress) === 0,
      callback: callback && (() => callback())
    })
    this.#flush()
  }

  halfClose(): void {
    this.#halfClosed = true
    this.#flush()
  }

  #flush(): void {
    const wireCall = this.#wireCall
    if (wireCall === undefined || this.#final !== undefined || this.#compressing) return
    while (this.#unsent === undefined) {
      const next = this.#outbox.shift()
      if (next === undefined) break
      const encoding = this.#encoding
      if (next.compressed && encoding !== 'identity') {
        this.#compressing = true
        this.#unsent = next.callback
        void this.#compressAndSend(wireCall, encoding, next)
        return
      }
      this.#send(wireCall, flagPlain, next.message, next)
    }
    if (this.#halfClosed && !this.#halfCloseSent && this.#outbox.length === 0 && this.#unsent === undefined) {
      this.#halfCloseSent = true
      wireCall.halfClose()
    }
  }

  async #compressAndSend(
    wireCall: WireCall,
    encoding: Exclude<Encoding, 'identity'>,
    next: Outgoing
  ): Promise<void> {
    let packed: Buffer
    try {
      packed = await compress(encoding, next.message)
    } catch (error) {
      this.#end(statusOf(Status.INTERNAL, `Failed to compress message: ${(error as Error).message}`))
      return
    }
    this.#compressing = false
    if (this.#final !== undefined) return
    this.#send(wireCall, flagCompressed, packed, next)
    this.#flush()
  }

  #send(wireCall: WireCall, flag: number, message: Buffer, { callback }: Outgoing): void {
    const last = this.#halfClosed && this.#outbox.length === 0
    if (last) this.#halfCloseSent = true
    this.#unsent = callback
    if (!wireCall.send(flag, message, last, callback !== undefined)) return
    this.#unsent = undefined
    acknowledge(callback)
  }

  onSent(): void {
    acknowledge(this.#unsent)
    this.#unsent = undefined
    this.#flush()
  }

  // Response

  startRead(): void {
    this.#everRead = true
    // Not a count: until a message has gone up, asking again is asking once.
    if (this.#delivering) return
    this.#readAllowed = true
    if (this.#starting) this.#readAtStart = true
    this.#advance()
  }

  onMetadata(metadata: Metadata, encodings: ResponseEncodings): void {
    if (this.#final !== undefined) return
    this.#responseEncoding = encodings.encoding
    if (encodings.accepted !== undefined) {
      this.#owner.learnEncodings(encodings.accepted)
      if (!encodings.accepted.includes(this.#encoding)) this.#encoding = 'identity'
    }
    this.#listener?.onReceiveMetadata(metadata)
    if (this.#prompt) return
    this.#held = true
    setImmediate(letGo, this)
  }

  /** For the turn it runs in: what came with the metadata may go up. */
  letGo(): void {
    this.#held = false
    this.#advance()
  }

  onMessage(flag: number, payload: Buffer): void {
    if (this.#final !== undefined) return
    const compressed = flag === flagCompressed
    if (compressed && !isCompressed(this.#responseEncoding)) {
      const encoding = this.#responseEncoding
      this.#end(statusOf(Status.INTERNAL, `Received compressed message, but grpc-encoding is ${encoding}`))
      return
    }
    if (!compressed && flag !== flagPlain) {
      this.#end(statusOf(Status.INTERNAL, `Received message with unknown flag ${flag}`))
      return
    }
    this.#inbox.push({ payload, compressed })
    this.#inboxBytes += payload.length
    if (!this.#paused && this.#readAhead()) {
      this.#paused = true
      this.#wireCall?.pause()
    }
    this.#advance()
  }

  onStatus(status: StatusObject): void {
    this.#peerStatus ??= status
    this.#advance()
  }

  onEnd(truncated: boolean): void {
    this.#noMoreMessages = true
    if (truncated && this.#peerStatus?.code === Status.OK) {
      this.#peerStatus = statusOf(
        Status.INTERNAL,
        'Response ended inside a message',
        this.#peerStatus.metadata
      )
    }
    this.#advance()
  }

  onFailure(status: StatusObject): void {
    const peer = this.#peerStatus
    // A server of Go resets a call whose deadline has passed, and that may come ahead of this side's timer.
    if (status.code === Status.CANCELLED && Date.now() >= this.#request.deadline) {
      this.#expire()
      return
    }
    // A peer's error explains more than the reset after it; its OK promised messages that will not come.
    this.#end(peer !== undefined && peer.code !== Status.OK ? peer : status)
  }

  /** For the channel: the connection is gone. A response that had arrived whole stays readable. */
  connectionLost(reason: Error): void {
    if (this.#peerStatus === undefined || !this.#noMoreMessages) this.onFailure(unavailable(reason))
  }

  #readAhead(): boolean {
    return this.#inboxBytes >= readAheadBytes || this.#inbox.length >= readAheadMessages
  }

  /** Moves the response on: the next message if one may go up, else the status if its time has come. */
  #advance(): void {
    if (this.#delivering || this.#held || this.#final !== undefined) return
    if (!this.#readAllowed || this.#inbox.length === 0) {
      this.#endIfRead()
      return
    }
    const next = this.#inbox.shift()!
    this.#inboxBytes -= next.payload.length
    this.#readAllowed = false
    this.#delivering = true
    if (next.compressed) void this.#decompressAndDeliver(next.payload)
    else process.nextTick(deliver, this, next.payload)
    if (this.#paused && !this.#readAhead()) {
      this.#paused = false
      this.#wireCall?.resume()
    }
  }

  async #decompressAndDeliver(payload: Buffer): Promise<void> {
    const encoding = this.#responseEncoding
    if (!isCompressed(encoding)) return
    try {
      const message = await decompress(encoding, payload, this.#owner.maxReceiveBytes)
      process.nextTick(deliver, this, message)
    } catch (error) {
      const code = error instanceof RangeError ? Status.RESOURCE_EXHAUSTED : Status.INTERNAL
      this.#end(statusOf(code, (error as Error).message))
    }
  }

  /** For the tick it runs in: hands one message up. */
  deliver(message: Buffer): void {
    this.#delivering = false
    if (this.#final !== undefined) return
    this.#delivered = true
    try {
      this.#listener?.onReceiveMessage(message)
    } finally {
      this.#advance()
    }
  }

  #endIfRead(): void {
    const status = this.#peerStatus
    if (status === undefined) return
    const surplus = this.#unary && this.#delivered
    if (status.code !== Status.OK && (surplus || !this.#everRead)) {
      this.#end(status)
      return
    }
    if (!this.#noMoreMessages) return
    if (this.#inbox.length === 0) this.#end(status)
    else if (surplus)
      this.#end(statusOf(Status.UNIMPLEMENTED, 'Too many responses received', status.metadata))
  }

  // End

  cancelWithStatus(code: Status, details: string): void {
    this.#end(statusOf(code, details))
  }

  #end(status: StatusObject): void {
    if (this.#final !== undefined) return
    this.#final = status
    this.#clearDeadline?.()
    if (this.#onParentCancelled !== undefined) {
      this.#request.parent?.removeListener('cancelled', this.#onParentCancelled)
    }
    this.#metadata = undefined
    this.#inbox = []
    acknowledge(this.#unsent)
    this.#unsent = undefined
    for (const { callback } of this.#outbox) acknowledge(callback)
    this.#outbox = []
    this.#wireCall?.discard(status.code === Status.OK)
    if (this.#listener !== undefined) process.nextTick(tellStatus, this)
  }

  /** For the tick it runs in: hands the status up. */
  tellStatus(): void {
    try {
      if (this.#final !== undefined) this.#listener?.onReceiveStatus(this.#final)
    } finally {
      this.#owner.ended(this)
    }
  }
}

// Functions that nextTick can be given with the call as an argument: no closure for each tick.

function open(call: ChannelCall): void {
  call.open()
}

function deliver(call: ChannelCall, message: Buffer): void {
  call.deliver(message)
}

function letGo(call: ChannelCall): void {
  call.letGo()
}

function tellStatus(call: ChannelCall): void {
  call.tellStatus()
}

/** A write's callback is always called, later and without an error: the status is where errors are told. */
function acknowledge(callback: (() => void) | undefined): void {
  if (callback !== undefined) process.nextTick(callback)
}
