import type { PluginError } from '../errors.js'
import { Status } from '../grpc/grpc-js.js'
import { callError, toServiceError } from '../grpc/status.js'
import type { Logger } from '../log.js'
import { nameText } from '../security/root-path.js'
import { type Plan, type SizePlan, methodName } from './restrict-rules.js'

/**
 * What was asked of a restricted service and how it was answered: one record a call, never with what was in
 * it.
 */
export interface AuditRecord {
  /** Who called: `caller` of the options, or the address that grpc-js knows. */
  readonly caller: string
  /** When the call came, in milliseconds since the epoch. */
  readonly time: number
  /** `/package.Service/Method` */
  readonly method: string
  /**
   * The paths that were asked for, where a path rule looks for them: at most 32, the one that was refused
   * among them. As the caller wrote them, cut at 200 characters; control characters and the like are escaped,
   * as `\u{a}`.
   */
  readonly paths: readonly string[]
  /** Denied: by a rule. A call that was allowed may still fail, as `status` tells. */
  readonly decision: 'allowed' | 'denied'
  /** The name of the rule that denied it. */
  readonly rule?: string
  /**
   * gRPC status code, 0 to 16, as the service gave it; of a call that was cut short, CANCELLED or
   * DEADLINE_EXCEEDED.
   */
  readonly status: number
  /**
   * Bytes of the messages that have come to the service, as encoded and without compression, refused ones
   * too.
   */
  readonly requestBytes: number
  readonly requestMessages: number
  /** Bytes of the messages that the service gave and that no rule held back. */
  readonly responseBytes: number
  readonly responseMessages: number
  /** From the call's arrival at the service to its end. */
  readonly durationMs: number
}

/** What the calls of a restricted service have in common. */
export interface CallCore {
  readonly caller: string | undefined
  readonly audit: ((record: AuditRecord) => unknown) | undefined
  readonly logger: Logger
  readonly now: () => number
}

/** Paths of a call that a record tells, and characters of each. */
const mostPaths = 32
const mostPathChars = 200

/**
 * One call of a restricted service: what its rules say, and its record.
 *
 * ```
 *   new ── admit ──> open ── end ──> ended      the record is written on the way to `ended`
 *    └──── deny ──────┴──── deny ──> ended
 * ```
 */
export class RestrictedCall {
  readonly #plan: Plan
  readonly #core: CallCore
  readonly #gauge: Gauge | undefined
  readonly #peer: { readonly peer: string }
  readonly #startedAt: number
  readonly #time: number
  #ended = false
  /** So many of the plan's rates count the call as running. */
  #held = 0
  #requestBytes = 0
  #requestMessages = 0
  #responseBytes = 0
  #responseMessages = 0
  #paths: string[] | undefined
  #rule: string | undefined
  /** What the call is refused with. */
  denied: PluginError | undefined

  constructor(plan: Plan, core: CallCore, gauge: Gauge | undefined, peer: { readonly peer: string }) {
    this.#plan = plan
    this.#core = core
    this.#gauge = gauge
    this.#peer = peer
    this.#startedAt = core.audit === undefined ? 0 : core.now()
    this.#time = core.audit === undefined ? 0 : Date.now()
  }

  /**
   * Asks whether the call may begin; with its request, where it has just one. @throws what it is refused with
   */
  admit(only?: { readonly request: unknown }): void {
    const { closedBy, rates, method } = this.#plan
    // First, so that a record tells what was asked for whichever rule refuses it.
    const bytes = only === undefined ? 0 : this.#receive(only.request)
    if (closedBy !== undefined) this.#deny(closedBy, `${methodName(method)} is not allowed`)
    for (const rate of rates) {
      const problem = rate.begin()
      if (problem !== undefined) this.#deny(rate.rule, problem)
      this.#held += 1
    }
    if (only !== undefined) this.#judge(only.request, bytes)
  }

  /** Asks whether a message of a stream may reach the handler. @throws what the call is refused with */
  request(message: unknown): void {
    this.#judge(message, this.#receive(message))
  }

  #receive(message: unknown): number {
    const bytes = this.#gauge?.requestBytes(message) ?? 0
    this.#requestBytes += bytes
    this.#requestMessages += 1
    if (this.#core.audit === undefined) return bytes
    for (const { pathsOf } of this.#plan.paths) {
      for (const path of pathsOf(message).flat()) {
        if ((this.#paths?.length ?? 0) >= mostPaths) return bytes
        this.#note(shownPath(path))
      }
    }
    return bytes
  }

  #note(path: string): void {
    this.#paths ??= []
    if (!this.#paths.includes(path)) this.#paths.push(path)
  }

  #judge(message: unknown, bytes: number): void {
    for (const { rule, optional, pathsOf, allows } of this.#plan.paths) {
      const fields = pathsOf(message)
      if (optional && this.#requestMessages > 1 && fields.flat().every(isEmpty)) continue
      for (const paths of fields) {
        if (paths.length === 0) this.#deny(rule, 'the request names no path')
        const refused = paths.find((path) => !allows(path))
        if (refused === undefined) continue
        const shown = shownPath(refused)
        if (this.#paths?.includes(shown) === false) this.#paths[mostPaths - 1] = shown
        this.#deny(rule, `"${shown}" is not allowed`)
      }
    }
    for (const size of this.#plan.request)
      this.#check(size, 'request', bytes, this.#requestBytes, this.#requestMessages)
    this.#pass(bytes)
  }

  /** Asks whether a message may leave. @throws what the call is refused with */
  response(message: unknown): void {
    if (this.denied !== undefined) throw this.denied
    const bytes = this.#responseSize(message)
    // What cannot be sent ends the call on its way, and no limit is for it.
    if (bytes === undefined) return this.end(Status.INTERNAL)
    const total = this.#responseBytes + bytes
    const messages = this.#responseMessages + 1
    for (const size of this.#plan.response) this.#check(size, 'response', bytes, total, messages)
    this.#pass(bytes)
    this.#responseBytes = total
    this.#responseMessages = messages
  }

  #responseSize(message: unknown): number | undefined {
    if (message === undefined || message === null) return undefined
    try {
      return this.#gauge?.responseBytes(message) ?? 0
    } catch {
      // The wire finds it, too, and says so in its own words.
      return undefined
    }
  }

  #check(
    { rule, limits }: SizePlan,
    side: 'request' | 'response',
    bytes: number,
    total: number,
    messages: number
  ): void {
    const { maxMessageBytes = Infinity, maxBytes = Infinity, maxMessages = Infinity } = limits
    if (bytes > maxMessageBytes) this.#deny(rule, `a ${side} of ${bytes} bytes, more than ${maxMessageBytes}`)
    if (total > maxBytes) this.#deny(rule, `more than ${maxBytes} bytes of ${side}`)
    if (messages > maxMessages) this.#deny(rule, `more than ${maxMessages} messages of ${side}`)
  }

  #pass(bytes: number): void {
    for (const { rule, pass } of this.#plan.rates) {
      const problem = pass?.(bytes)
      if (problem !== undefined) this.#deny(rule, problem)
    }
  }

  #deny(rule: string, what: string): never {
    const error = callError(Status.PERMISSION_DENIED, `denied by rule ${JSON.stringify(rule)}: ${what}`)
    this.#rule = rule
    this.denied = error
    this.end(Status.PERMISSION_DENIED)
    throw error
  }

  /**
   * The handler has done its work. @throws what the call was refused with, whatever its handler made of that
   */
  succeed(): void {
    if (this.denied !== undefined) throw this.denied
    this.end(Status.OK)
  }

  /** The call has failed with what its handler threw. */
  fail(error: unknown): void {
    this.end(toServiceError(error).code)
  }

  /** The call is over for its caller. Writes the record, the first time. */
  end(status: number): void {
    if (this.#ended) return
    this.#ended = true
    const { audit, caller, now } = this.#core
    if (audit === undefined) return
    const record: AuditRecord = {
      caller: caller ?? this.#peer.peer,
      time: this.#time,
      method: this.#plan.method,
      paths: this.#paths ?? [],
      decision: this.#rule === undefined ? 'allowed' : 'denied',
      ...(this.#rule === undefined ? {} : { rule: this.#rule }),
      status,
      requestBytes: this.#requestBytes,
      requestMessages: this.#requestMessages,
      responseBytes: this.#responseBytes,
      responseMessages: this.#responseMessages,
      durationMs: now() - this.#startedAt
    }
    try {
      const written = audit(record) as PromiseLike<unknown> | undefined
      if (typeof written?.then === 'function') written.then(undefined, (err: unknown) => this.#lost(err))
    } catch (err) {
      this.#lost(err)
    }
  }

  #lost(err: unknown): void {
    try {
      this.#core.logger.error({ err, method: this.#plan.method }, 'an audit record was lost')
    } catch {
      // Where nothing can be written, the call still goes on.
    }
  }

  /** The handler is over: there is room for another call. Safe to repeat. */
  release(): void {
    for (; this.#held > 0; this.#held -= 1) this.#plan.rates[this.#held - 1]!.end()
  }
}

/** Whether a path is one that is left out. */
function isEmpty(path: unknown): boolean {
  return path === '' || (path instanceof Uint8Array && path.length === 0)
}

/** A path in records and refusals: on one line, and nothing in it that a terminal obeys. */
function shownPath(path: unknown): string {
  if (typeof path !== 'string' && !(path instanceof Uint8Array)) return `a value of type ${typeof path}`
  // Not the whole of it: bytes that are no text take long to write as one.
  const text = typeof path === 'string' ? path : nameText(path.subarray(0, 4 * mostPathChars))
  const cut = text.length > mostPathChars ? `${text.slice(0, mostPathChars)}...` : text
  return cut.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`)
}

/** The codec of one method, as a server uses it. */
export interface ServerCodec {
  readonly decodeRequest: (bytes: Buffer) => unknown
  readonly encodeRequest: (message: unknown) => Buffer
  readonly encodeResponse: (message: unknown) => Buffer
}

/**
 * A codec that knows how many bytes a message came in, and that encodes a response once: when it is measured.
 * A message that is no object cannot be recognised, and is encoded again.
 */
export class Gauge {
  readonly #codec: ServerCodec
  readonly #received = new WeakMap<object, number>()
  readonly #encoded = new WeakMap<object, Buffer>()

  constructor(codec: ServerCodec) {
    this.#codec = codec
  }

  decodeRequest(bytes: Buffer): unknown {
    const message = this.#codec.decodeRequest(bytes)
    if (isObject(message)) this.#received.set(message, bytes.length)
    return message
  }

  requestBytes(message: unknown): number {
    const known = isObject(message) ? this.#received.get(message) : undefined
    return known ?? this.#codec.encodeRequest(message).length
  }

  /** @throws what the codec throws */
  responseBytes(message: unknown): number {
    const bytes = this.#codec.encodeResponse(message)
    if (isObject(message)) this.#encoded.set(message, bytes)
    return bytes.length
  }

  encodeResponse(message: unknown): Buffer {
    const bytes = isObject(message) ? this.#encoded.get(message) : undefined
    return bytes ?? this.#codec.encodeResponse(message)
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
