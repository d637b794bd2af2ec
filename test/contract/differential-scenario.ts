import { createHash } from 'node:crypto'
import { Metadata } from '@grpc/grpc-js'
import {
  array,
  constant,
  constantFrom,
  integer,
  oneof,
  option,
  record,
  string,
  tuple,
  uint8Array,
  type Arbitrary
} from 'fast-check'
import type { Encoding } from '../../lib/grpc/compression.js'

/** One gRPC call as data: what the caller does, what the handler does. JSON keeps it. */
export interface Scenario {
  readonly kind: Kind
  readonly caller: CallerPart
  readonly handler: HandlerPart
}

export const kinds = ['unary', 'upload', 'download', 'duplex'] as const
/** The four kinds of call: one request or many, one response or many. */
export type Kind = (typeof kinds)[number]

/** Through which API a side is written: grpc-js's own, or this package's typed one. */
export type Api = 'grpc-js' | 'typed'

/**
 * Size in bytes and what it is filled with: 0 is zeros, which compress; any other number selects random
 * bytes.
 */
export type MessageSpec = readonly [bytes: number, fill: number]

/** Metadata in the order they are added; bytes of a `-bin` key in base64. */
export type Entries = readonly (readonly [key: string, value: string])[]

export interface CallerPart {
  readonly api: Api
  readonly metadata: Entries
  /** A call with one request sends the first, or an empty one. */
  readonly requests: readonly MessageSpec[]
  /**
   * Whether requests of a stream wait for the response's metadata; in turn: each for the response to the
   * last.
   */
  readonly sends: 'at once' | 'after the header' | 'in turn'
  /** When a stream of requests is half-closed; late: once the handler has them all. */
  readonly halfClose: 'with the last' | 'late' | 'never'
  readonly reader: 'flowing' | 'slow'
  /** The two that are short are 20 ms, and say whose timer is the first. */
  readonly deadline: 'none' | 'generous' | 'past' | "caller's timer" | "server's timer"
  /**
   * Waiting: the caller has all that the handler sends, and the handler waits for the call to be cancelled.
   */
  readonly cancel: 'never' | 'before start' | 'waiting'
  readonly compression: Encoding
  readonly maxReceiveBytes: number | null
  readonly maxSendBytes: number | null
  /** Metadata from call credentials, or the status code that they fail with. */
  readonly credentials: Entries | number | null
  /** Added by an interceptor. */
  readonly intercepted: Entries | null
}

export interface HandlerPart {
  readonly api: Api
  readonly header: 'none' | 'early' | 'with the first message'
  readonly headerMetadata: Entries
  /** How many requests of a stream are read before the answer; all: until the half-close. */
  readonly reads: number | 'all'
  /**
   * What is answered once the requests were read. Echo: the requests that were read, in one message where
   * only one may be sent, and each at once where both sides stream.
   */
  readonly responses: readonly MessageSpec[] | 'echo'
  readonly trailer: Entries
  readonly outcome: Outcome
  /** What grpc-js's own API lets a handler do after it has ended the call; of a stream: end it again. */
  readonly surplus: 'none' | 'message' | 'end' | 'error'
  readonly maxReceiveBytes: number | null
  readonly maxSendBytes: number | null
}

export type Outcome =
  | { readonly t: 'ok' }
  /** No message where one is due. */
  | { readonly t: 'nothing' }
  /** `rich`: grpc-status-details-bin, in base64. */
  | { readonly t: 'status'; readonly code: number; readonly details: string; readonly rich: string | null }
  | { readonly t: 'throw'; readonly message: string }
  /** Until the call is cancelled. */
  | { readonly t: 'wait' }

export const plainScenario: Scenario = {
  kind: 'unary',
  caller: {
    api: 'grpc-js',
    metadata: [],
    requests: [[3, 1]],
    sends: 'at once',
    halfClose: 'with the last',
    reader: 'flowing',
    deadline: 'none',
    cancel: 'never',
    compression: 'identity',
    maxReceiveBytes: null,
    maxSendBytes: null,
    credentials: null,
    intercepted: null
  },
  handler: {
    api: 'grpc-js',
    header: 'none',
    headerMetadata: [],
    reads: 'all',
    responses: 'echo',
    trailer: [],
    outcome: { t: 'ok' },
    surplus: 'none',
    maxReceiveBytes: null,
    maxSendBytes: null
  }
}

/** What of a scenario differs from {@link plainScenario}: what a kept case is written as. */
export interface ScenarioChange {
  readonly kind?: Kind
  readonly caller?: Partial<Omit<CallerPart, 'requests'>> & { readonly requests?: readonly Repeated[] }
  readonly handler?: Partial<Omit<HandlerPart, 'responses'>> & {
    readonly responses?: readonly Repeated[] | 'echo'
  }
}

/** A message, and how often: once if that is left out. */
type Repeated = readonly [bytes: number, fill: number, times?: number]

export function scenarioFrom({ kind = 'unary', caller = {}, handler = {} }: ScenarioChange): Scenario {
  const { requests = plainScenario.caller.requests } = caller
  const { responses = 'echo' } = handler
  return possible({
    kind,
    caller: { ...plainScenario.caller, ...caller, requests: unfolded(requests) },
    handler: {
      ...plainScenario.handler,
      ...handler,
      responses: responses === 'echo' ? responses : unfolded(responses)
    }
  })
}

function unfolded(messages: readonly Repeated[]): readonly MessageSpec[] {
  return messages.flatMap(([bytes, fill, times = 1]) =>
    Array.from({ length: times }, () => [bytes, fill] as const)
  )
}

export const sendsMany = (kind: Kind): boolean => kind === 'upload' || kind === 'duplex'
export const answersMany = (kind: Kind): boolean => kind === 'download' || kind === 'duplex'

/** Whether responses come that no later request is needed for. */
function answersInTurn(kind: Kind, { responses, reads }: HandlerPart): boolean {
  return kind === 'duplex' && (reads === 'all' ? responses === 'echo' : reads <= 1)
}

/** The requests that the caller sends, as far as nothing stops it. */
export function requestsOf({ kind, caller }: Scenario): readonly MessageSpec[] {
  return sendsMany(kind) ? caller.requests : [caller.requests[0] ?? [0, 0]]
}

/** How many requests the handler reads. */
export function readsOf(scenario: Scenario): number {
  const { length } = requestsOf(scenario)
  const { reads } = scenario.handler
  return reads === 'all' || !sendsMany(scenario.kind) ? length : Math.min(reads, length)
}

/** The responses that the handler sends, as far as nothing stops it. */
export function responsesOf(scenario: Scenario): readonly Buffer[] {
  const { kind, handler } = scenario
  const { responses, outcome } = handler
  if (outcome.t === 'throw' && handler.api === 'grpc-js') return []
  if (!answersMany(kind) && outcome.t !== 'ok') return []
  if (responses !== 'echo') {
    const specs = answersMany(kind) ? responses : [responses[0] ?? ([0, 0] as const)]
    return specs.map(messageOf)
  }
  const read = requestsOf(scenario).slice(0, readsOf(scenario)).map(messageOf)
  return answersMany(kind) ? read : [Buffer.concat(read)]
}

const randomBytes = Buffer.concat(
  Array.from({ length: 8192 }, (_, index) => createHash('sha256').update(String(index)).digest())
)

export function messageOf([bytes, fill]: MessageSpec): Buffer {
  if (fill === 0) return Buffer.alloc(bytes)
  const at = (fill * 7919) % (randomBytes.length - bytes)
  return Buffer.from(randomBytes.subarray(at, at + bytes))
}

export function metadataOf(entries: Entries): Metadata {
  const metadata = new Metadata()
  for (const [key, value] of entries) {
    metadata.add(key, key.endsWith('-bin') ? Buffer.from(value, 'base64') : value)
  }
  return metadata
}

/**
 * The same scenario without what contradicts itself: who waits for something that the other does not do would
 * wait for ever, and two reasons to end a call would race.
 */
export function possible(scenario: Scenario): Scenario {
  const { kind } = scenario
  let { caller, handler } = scenario
  const short = caller.deadline !== 'none' && caller.deadline !== 'generous'
  if (short) caller = { ...caller, cancel: 'never' }
  const stopped = short || caller.cancel !== 'never'

  if (stopped) {
    // Cancelled in its own tick, a call is not to be sent: who sends it shows by a handler that answers.
    const outcome = caller.cancel === 'before start' ? ({ t: 'ok' } as const) : ({ t: 'wait' } as const)
    handler = { ...handler, outcome, surplus: 'none' }
    // What is still under way when a call is stopped may or may not arrive.
    if (caller.cancel !== 'waiting') handler = { ...handler, header: 'none', responses: [] }
    caller = { ...caller, credentials: typeof caller.credentials === 'number' ? null : caller.credentials }
  } else if (handler.outcome.t === 'wait') {
    handler = { ...handler, outcome: { t: 'ok' } }
  }
  if (handler.outcome.t === 'nothing' && answersMany(kind)) handler = { ...handler, outcome: { t: 'ok' } }
  if (caller.api === 'typed') caller = { ...caller, credentials: null }
  if (handler.api === 'typed' || handler.outcome.t === 'throw' || handler.outcome.t === 'nothing') {
    handler = { ...handler, surplus: 'none' }
  }
  // What follows the end of a stream is grpc-js's streams' own affair: a message or an error may end the call
  // in another way or leave it without an end, as writes happen to be done.
  if (handler.surplus !== 'none' && answersMany(kind)) handler = { ...handler, surplus: 'end' }
  // Before an answer in one message, metadata leave at once or not at all.
  if (handler.header === 'with the first message' && handler.outcome.t === 'wait' && !answersMany(kind)) {
    handler = { ...handler, header: 'none' }
  }
  if (caller.halfClose === 'never' && caller.cancel !== 'waiting') caller = { ...caller, halfClose: 'late' }
  if (caller.halfClose === 'never') {
    // The handler never comes to its answer.
    const header = handler.header === 'early' ? handler.header : 'none'
    handler = { ...handler, reads: 'all', responses: [], header }
  }
  if (
    (caller.sends === 'after the header' && handler.header !== 'early') ||
    (caller.sends === 'in turn' && !answersInTurn(kind, handler))
  ) {
    caller = { ...caller, sends: 'at once' }
  }
  const limits = [caller.maxReceiveBytes, caller.maxSendBytes, handler.maxReceiveBytes, handler.maxSendBytes]
  const first = limits.findIndex((limit) => limit !== null)
  const keep = (index: number): number | null =>
    index === first && !stopped && typeof caller.credentials !== 'number' ? (limits[index] ?? null) : null
  caller = { ...caller, maxReceiveBytes: keep(0), maxSendBytes: keep(1) }
  handler = { ...handler, maxReceiveBytes: keep(2), maxSendBytes: keep(3) }
  // Of two errors, which one is the first depends on when data and status are read.
  if (caller.maxReceiveBytes !== null && handler.outcome.t !== 'ok')
    handler = { ...handler, outcome: { t: 'ok' } }
  if (caller.maxSendBytes !== null || handler.maxReceiveBytes !== null) {
    handler = { ...handler, reads: 'all' }
    // What the handler sends meanwhile may come before or not.
    if (handler.responses === 'echo' && kind === 'duplex') handler = { ...handler, responses: [] }
    if (caller.maxSendBytes !== null && handler.header === 'early') handler = { ...handler, header: 'none' }
    caller = { ...caller, sends: 'at once' }
    // Thrown before anything is read.
    if (handler.outcome.t === 'throw') handler = { ...handler, outcome: { t: 'ok' } }
    if (handler.surplus !== 'none') handler = { ...handler, surplus: 'none' }
  }
  return { kind, caller, handler }
}

// Arbitraries

const bytesArbitrary = oneof(
  { arbitrary: integer({ min: 0, max: 20 }), weight: 6 },
  { arbitrary: integer({ min: 0, max: 5000 }), weight: 3 },
  {
    arbitrary: constantFrom(0, 1, 995, 1000, 1001, 16_379, 16_384, 16_385, 65_530, 65_535, 65_536),
    weight: 3
  },
  { arbitrary: constantFrom(131_072, 199_999), weight: 1 }
)
const messageArbitrary: Arbitrary<MessageSpec> = tuple(bytesArbitrary, integer({ min: 0, max: 3 }))
const tinyMessage: Arbitrary<MessageSpec> = tuple(integer({ min: 0, max: 3 }), constant(1))
const messages = oneof(
  { arbitrary: array(messageArbitrary, { maxLength: 6 }), weight: 12 },
  // More than is read ahead, or held in an object stream.
  { arbitrary: array(tinyMessage, { minLength: 15, maxLength: 90, size: 'max' }), weight: 1 }
)

const keyCharacters = 'abcdefghijklmnopqrstuvwxyz0123456789_.-'.split('')
const textKey = string({ unit: constantFrom(...keyCharacters), minLength: 1, maxLength: 8 })
  // A prefix keeps clear of names that mean something to HTTP.
  .map((name) => `x-${name}`)
  .filter((name) => !name.endsWith('-bin'))
const printable = string({ unit: 'grapheme-ascii', maxLength: 20 }).map((text) => text.trim())
const binary = uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes).toString('base64'))
const entry: Arbitrary<readonly [string, string]> = oneof(
  { arbitrary: tuple(textKey, printable), weight: 3 },
  { arbitrary: tuple(constantFrom('x-twice', 'x-a'), constantFrom('one', 'two', '', 'a, b')), weight: 1 },
  {
    arbitrary: tuple(
      constantFrom('x-a-bin', 'x-b-bin'),
      oneof(binary, constantFrom('', Buffer.from(',').toString('base64')))
    ),
    weight: 2
  }
)
const entries: Arbitrary<Entries> = array(entry, { maxLength: 4 })

const details = oneof(
  string({ unit: 'binary', maxLength: 30 }),
  constantFrom('', 'not there', '100 %', '%41', ' a\r\nb\t', 'ü ☺ 😈', 'a,b;c?d=e&f#g', 'x'.repeat(2000))
)
const outcome: Arbitrary<Outcome> = oneof(
  { arbitrary: constant({ t: 'ok' } as const), weight: 6 },
  {
    arbitrary: record({
      t: constant('status' as const),
      code: oneof(
        { arbitrary: integer({ min: 1, max: 16 }), weight: 20 },
        { arbitrary: constantFrom(0, 17, 99), weight: 1 }
      ),
      details,
      rich: option(binary)
    }),
    weight: 3
  },
  { arbitrary: record({ t: constant('throw' as const), message: details }), weight: 1 },
  { arbitrary: constant({ t: 'nothing' } as const), weight: 1 }
)

const api = constantFrom<Api>('grpc-js', 'typed')
const limit = constantFrom(1000, 16_384, 65_535)
const seldom = <T>(arbitrary: Arbitrary<T>): Arbitrary<T | null> =>
  oneof({ arbitrary: constant(null), weight: 7 }, { arbitrary, weight: 1 })

const caller: Arbitrary<CallerPart> = record({
  api,
  metadata: entries,
  requests: messages,
  sends: constantFrom('at once', 'at once', 'after the header', 'in turn'),
  halfClose: constantFrom('with the last', 'with the last', 'late', 'never'),
  reader: constantFrom('flowing', 'flowing', 'slow'),
  deadline: oneof(
    { arbitrary: constant('none' as const), weight: 12 },
    { arbitrary: constant('generous' as const), weight: 6 },
    { arbitrary: constantFrom('past', "caller's timer", "server's timer"), weight: 1 }
  ),
  cancel: oneof(
    { arbitrary: constant('never' as const), weight: 6 },
    { arbitrary: constantFrom('before start', 'waiting', 'waiting', 'waiting'), weight: 1 }
  ),
  compression: constantFrom('identity', 'identity', 'gzip', 'deflate'),
  maxReceiveBytes: seldom(limit),
  maxSendBytes: seldom(limit),
  credentials: seldom(
    oneof({ arbitrary: entries, weight: 3 }, { arbitrary: integer({ min: 1, max: 16 }), weight: 1 })
  ),
  intercepted: seldom(entries)
})

const handler: Arbitrary<HandlerPart> = record({
  api,
  header: constantFrom('none', 'early', 'with the first message'),
  headerMetadata: entries,
  reads: oneof(constant('all' as const), constant('all' as const), integer({ min: 0, max: 4 })),
  responses: oneof(constant('echo' as const), messages),
  trailer: entries,
  outcome,
  surplus: oneof(
    { arbitrary: constant('none' as const), weight: 6 },
    { arbitrary: constantFrom('message', 'end', 'error'), weight: 1 }
  ),
  maxReceiveBytes: seldom(limit),
  maxSendBytes: seldom(limit)
})

const scenarios: Arbitrary<Scenario> = record({ kind: constantFrom(...kinds), caller, handler }).map(possible)

/** Calls that one connection carries at the same time. What is set for a connection is that of the first. */
const manyAtOnce = array(scenarios, { minLength: 2, maxLength: 6 }).map((crowd) => {
  const compression = crowd[0]?.caller.compression ?? 'identity'
  const noLimits = { maxReceiveBytes: null, maxSendBytes: null }
  return crowd.map(({ kind, caller, handler }) => {
    // Whose timer is the first can be decided for one call alone.
    const short = caller.deadline !== 'none' && caller.deadline !== 'past'
    const deadline = short ? ('generous' as const) : caller.deadline
    return possible({
      kind,
      caller: { ...caller, ...noLimits, compression, deadline },
      handler: { ...handler, ...noLimits }
    })
  })
})

/** One call, or now and then several that share a connection. */
export const crowds: Arbitrary<readonly Scenario[]> = oneof(
  { arbitrary: scenarios.map((scenario) => [scenario]), weight: 6 },
  { arbitrary: manyAtOnce, weight: 1 }
)
