import { preambleBytes } from '../broker/preamble.js'
import type { CallRoute } from '../broker/route.js'
import { PluginError } from '../errors.js'
import { CallStream, type CallStreamEvents } from './call-stream.js'
import { type BlockError, decodeHeader, decodeStatus, leadingFlag, statusFlag } from './direct-blocks.js'
import { type DirectLink, headOfRequest } from './direct-link.js'
import { DirectUnary, type PlainUnaryOwner, type PlainUnaryRequest } from './direct-unary.js'
import type { StatusObject } from '@grpc/grpc-js'
import { Metadata, Status } from './grpc-js.js'
import { requestProblem } from './header-list.js'
import { blockFlag } from './message-frames.js'
import { statusOf, unavailable } from './status-map.js'
import type {
  AuthContext,
  WireCall,
  WireCallEvents,
  WireConnection,
  WireConnectionEvents,
  WireRequest
} from './wire-connection.js'

export interface DirectConnectionOptions {
  /** Names the peer in messages. */
  readonly target: string
  /** Longest message taken, in bytes; `Infinity`: any. */
  readonly maxReceiveBytes: number
  /** How long the peer's first answer may take, in milliseconds; `Infinity`: for ever. */
  readonly connectTimeoutMs: number
}

/**
 * Calls under way before the peer has accepted one of them: it keeps those that come ahead of its accept, and has a
 * limit on them.
 */
const mostUnconfirmed = 32

/**
 * Calls to one broker ID, each on a substream of its own (wire `direct`; `docs/wire-direct.md`). There is no connection
 * beneath them: this stands for what they have in common, and is ready once the peer has accepted one.
 */
export function openDirectConnection(
  route: CallRoute,
  options: DirectConnectionOptions,
  events: WireConnectionEvents
): WireConnection {
  return new DirectConnection(route, options, events)
}

class DirectConnection implements WireConnection, DirectLink {
  readonly route: CallRoute
  readonly #options: DirectConnectionOptions
  readonly #events: WireConnectionEvents
  confirmed = false
  unconfirmed = 0
  #timer: NodeJS.Timeout | undefined
  #lost = false

  constructor(route: CallRoute, options: DirectConnectionOptions, events: WireConnectionEvents) {
    this.route = route
    this.#options = options
    this.#events = events
  }

  get maxReceiveBytes(): number {
    return this.#options.maxReceiveBytes
  }

  open(request: WireRequest, callEvents: WireCallEvents): WireCall | StatusObject | undefined {
    if (this.#lost || this.route.over) {
      this.lose(undefined)
      return undefined
    }
    const problem = requestProblem(request)
    if (problem !== undefined) return problem
    if (!this.confirmed) this.#expectAnswer()
    const call = new DirectCall(this, request, callEvents)
    try {
      call.open()
    } catch (error) {
      return unavailable(error as Error)
    }
    return call
  }

  unary(owner: PlainUnaryOwner, request: PlainUnaryRequest): Promise<unknown> {
    return new Promise((resolve, reject) => {
      new DirectUnary(this, owner, request, resolve, reject).start()
    })
  }

  get mayOpen(): boolean {
    return this.confirmed || this.unconfirmed < mostUnconfirmed
  }

  probe(): void {
    if (this.confirmed || this.unconfirmed > 0 || this.#lost) return
    this.#expectAnswer()
    try {
      probe(this)
    } catch (error) {
      this.lose(error as Error)
    }
  }

  /** Once something was sent, silence has a limit. */
  #expectAnswer(): void {
    const { target, connectTimeoutMs } = this.#options
    if (this.#timer !== undefined || connectTimeoutMs === Infinity) return
    this.#timer = setTimeout(() => {
      this.lose(
        new PluginError('ERR_SESSION_PROTOCOL', `no answer from ${target} within ${connectTimeoutMs} ms`, {
          hint: 'Check that the other process is not blocked.'
        })
      )
    }, connectTimeoutMs)
    // Open calls hold the process, not this.
    this.#timer.unref()
  }

  #expectNothing(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  confirm(): void {
    this.confirmed = true
    this.#expectNothing()
    this.#events.onReady(this)
  }

  lose(cause: Error | undefined): void {
    if (this.#lost) return
    this.#lost = true
    this.#expectNothing()
    this.#events.onLost(this, cause)
  }

  authContext(): AuthContext {
    return {}
  }

  close(): void {
    this.lose(undefined)
  }

  abort(reason: Error): void {
    this.lose(reason)
  }
}

/** A substream that ends after its preamble: the peer answers it as it would a call. */
function probe(link: DirectLink): void {
  link.unconfirmed++
  const settle = (error: PluginError | undefined): void => {
    link.unconfirmed--
    if (error !== undefined) {
      if (link.unconfirmed === 0) link.lose(error)
    } else if (!link.confirmed) link.confirm()
  }
  let answered = false
  const events: CallStreamEvents = {
    onAnswer(byte) {
      answered = true
      settle(link.route.judge(byte))
      return true
    },
    onFrame: () => {},
    onTooLong: () => {},
    onFin: () => {
      if (!answered) settle(link.route.judge(undefined))
    },
    onReset: () => {
      if (!answered) settle(link.route.judge(undefined))
    },
    onLost: (error) => link.lose(error),
    onSent: () => {}
  }
  const stream = link.route.open((port) => new CallStream(port, events, 0))
  const preamble = Buffer.allocUnsafe(preambleBytes)
  link.route.writePreamble(preamble)
  stream.send([preamble], preambleBytes, true)
}

/**
 * One call. What it sends first waits for more of the same tick, so that a request with one message is one frame.
 *
 * ```
 *   opened ── answer ──> accepted ── Header or a message ──> responding ── Status ──> told ── FIN
 *      └── refusal, reset, loss, a broken rule ──> over
 * ```
 */
class DirectCall implements WireCall, CallStreamEvents {
  readonly #link: DirectLink
  readonly #events: WireCallEvents
  /** Preamble and start block, until they have left. */
  #head: Buffer | undefined
  #stream!: CallStream
  #acknowledge = false
  #state: 'opened' | 'accepted' | 'responding' | 'told' | 'over' = 'opened'
  #counted = false

  constructor(link: DirectLink, request: WireRequest, events: WireCallEvents) {
    this.#link = link
    this.#events = events
    this.#head = headOfRequest(link, request)
  }

  open(): void {
    const link = this.#link
    this.#stream = link.route.open((port) => new CallStream(port, this, link.maxReceiveBytes))
    if (link.confirmed) return
    link.unconfirmed++
    this.#counted = true
  }

  #uncount(): void {
    if (!this.#counted) return
    this.#counted = false
    this.#link.unconfirmed--
  }

  // Request

  send(flag: number, message: Buffer, last: boolean, acknowledge: boolean): boolean {
    const stream = this.#stream
    if (stream.finished) return true
    const head = this.#head
    this.#head = undefined
    if (stream.sendMessage(head, flag, message, undefined, last)) return true
    this.#acknowledge = acknowledge
    return false
  }

  halfClose(): void {
    if (this.#head === undefined) this.#stream.finish()
    else this.#sendHead(true)
  }

  begun(): void {
    if (this.#head !== undefined) this.#sendHead(false)
  }

  #sendHead(last: boolean): void {
    const head = this.#head!
    this.#head = undefined
    this.#stream.send([head], head.length, last)
  }

  onSent(): void {
    if (!this.#acknowledge) return
    this.#acknowledge = false
    this.#events.onSent()
  }

  pause(): void {
    this.#stream.pause()
  }

  resume(): void {
    this.#stream.resume()
  }

  discard(): void {
    this.#uncount()
    const told = this.#state === 'told'
    this.#state = 'over'
    this.#stream.deafen()
    // The peer has said all, and our half may have ended, too: then nothing is to be said.
    if (!told || !this.#stream.finished) this.#stream.reset()
  }

  // Response

  onAnswer(byte: number): boolean {
    const link = this.#link
    this.#uncount()
    const refusal = link.route.judge(byte)
    if (refusal !== undefined) {
      this.#refused(refusal)
      return false
    }
    this.#state = 'accepted'
    if (!link.confirmed) link.confirm()
    return true
  }

  #refused(refusal: PluginError): void {
    this.#uncount()
    // Nobody is left of those who could show that others get through.
    if (!this.#link.confirmed && this.#link.unconfirmed === 0) this.#link.lose(refusal)
    else this.#events.onFailure(unavailable(refusal))
  }

  onFrame(flag: number, payload: Buffer): void {
    try {
      this.#take(flag, payload)
    } catch (error) {
      this.#broken((error as BlockError).message)
    }
  }

  #take(flag: number, payload: Buffer): void {
    if ((flag & blockFlag) === 0) {
      this.#respond()
      if (this.#state === 'responding') this.#events.onMessage(flag, payload)
      else if (this.#state === 'told') this.#broken('a message came after the status')
    } else if (flag === statusFlag) {
      if (this.#state === 'told') return this.#broken('a second status came')
      const status = decodeStatus(payload)
      this.#state = 'told'
      this.#events.onStatus(status)
    } else if (flag === leadingFlag) {
      if (this.#state !== 'accepted') return this.#broken('a header came late')
      const { metadata, encoding } = decodeHeader(payload)
      this.#state = 'responding'
      this.#events.onMetadata(metadata, encoding === 'identity' ? plain : { encoding, accepted: undefined })
    }
    // Blocks of other kinds belong to later versions, and may be passed over.
  }

  /** A message has come: where no header was before it, it would have been empty. */
  #respond(): void {
    if (this.#state !== 'accepted') return
    this.#state = 'responding'
    this.#events.onMetadata(new Metadata(), plain)
  }

  #broken(what: string): void {
    if (this.#state === 'over') return
    this.#events.onFailure(statusOf(Status.INTERNAL, `The response breaks the rules: ${what}`))
  }

  onTooLong(message: string): void {
    this.#respond()
    this.#events.onFailure(statusOf(Status.RESOURCE_EXHAUSTED, message))
  }

  onFin(truncated: boolean): void {
    if (this.#state === 'told') this.#events.onEnd(truncated)
    else if (this.#state === 'opened') this.#refused(this.#link.route.judge(undefined)!)
    else this.#events.onFailure(statusOf(Status.INTERNAL, 'Call ended without gRPC status'))
  }

  onReset(): void {
    this.#uncount()
    this.#events.onFailure(
      this.#state === 'opened'
        ? statusOf(Status.UNAVAILABLE, 'The call was refused: its substream was reset')
        : statusOf(Status.CANCELLED, 'Call cancelled')
    )
  }

  onLost(error: Error | undefined): void {
    this.#uncount()
    if (error === undefined || this.#link.route.over) this.#link.lose(error)
    else this.#events.onFailure(unavailable(error))
  }
}

const plain = { encoding: 'identity', accepted: undefined } as const
