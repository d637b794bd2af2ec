import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import type { Metadata } from '@grpc/grpc-js'
import type { MessageCodec } from '../../lib/grpc/service.js'
import type { Entries } from './differential-scenario.js'

/** What the two sides of a call saw. Messages are their length and a hash, metadata are sorted by key. */
export interface Transcript {
  readonly caller: CallerView | 'hung'
  /** One for each time that the handler ran. */
  readonly handler: readonly HandlerView[]
}

export interface CallerView {
  readonly header: Entries | null
  readonly messages: readonly string[]
  readonly outcome: CallerOutcome
  /** What came in which order, repetitions left out; only where the API tells and the reader is flowing. */
  readonly order: readonly string[] | null
}

export type CallerOutcome =
  | { readonly t: 'status'; readonly code: number; readonly details: string; readonly trailer: Entries }
  /** Rejected with the reason of the caller's own signal. */
  | { readonly t: 'aborted' }
  | { readonly t: 'rejected'; readonly reason: string }

export interface HandlerView {
  /** Null where the API does not tell. */
  readonly path: string | null
  readonly metadata: Entries
  /** Whether the call has one. */
  readonly deadline: boolean
  readonly messages: readonly string[]
  /** Whether the half-close was seen. */
  readonly ended: boolean
  /** Cancelled before the handler was done. */
  readonly cancelled: boolean
}

/** Where the two sides of a call meet, so that neither has to guess what the other has seen. */
export interface Stage {
  /** The handler has done all but wait for its cancellation. */
  readonly waits: Deferred
  /** The handler has read every request. */
  readonly hasAll: Deferred
  /** The caller has the response's metadata. */
  readonly header: Deferred
  /** The caller has so many responses. */
  readonly responses: Arrivals
  /** The caller's call is over. */
  readonly ended: Deferred
}

export function createStage(): Stage {
  return {
    waits: deferred(),
    hasAll: deferred(),
    header: deferred(),
    responses: arrivals(),
    ended: deferred()
  }
}

export interface Deferred {
  readonly promise: Promise<void>
  resolve(): void
}

export function deferred(): Deferred {
  let resolve!: () => void
  const promise = new Promise<void>((settle) => (resolve = settle))
  return { promise, resolve }
}

interface Arrivals {
  add(): void
  reached(count: number): Promise<void>
}

function arrivals(): Arrivals {
  const waiting = new Map<number, Deferred>()
  let arrived = 0
  return {
    add() {
      arrived += 1
      waiting.get(arrived)?.resolve()
    },
    reached(count) {
      if (arrived >= count) return Promise.resolve()
      const wanted = waiting.get(count) ?? deferred()
      waiting.set(count, wanted)
      return wanted.promise
    }
  }
}

export const nextTurn = promisify(setImmediate)

const bytes: MessageCodec<Uint8Array, Uint8Array> = {
  encode: (message) => ({ finish: () => message }),
  decode: (encoded) => encoded
}

/**
 * A service with a method of each kind whose messages are plain bytes, and one to make sure that an earlier
 * call has arrived. The number tells services apart that one server has at once.
 */
export function differentialService(number: number) {
  const typeName = `muxplug.test.Differential${number}`
  const method = <Req extends boolean, Res extends boolean>(
    name: string,
    requestStream: Req,
    responseStream: Res
  ) =>
    ({
      path: `/${typeName}/${name}`,
      requestStream,
      responseStream,
      request: bytes,
      response: bytes
    }) as const
  return {
    typeName,
    methods: {
      unary: method('Unary', false, false),
      upload: method('Upload', true, false),
      download: method('Download', false, true),
      duplex: method('Duplex', true, true),
      fence: method('Fence', false, false)
    }
  } as const
}

export type DifferentialService = ReturnType<typeof differentialService>

export function hashOf(message: Uint8Array): string {
  return `${message.length}:${createHash('sha256').update(message).digest('hex').slice(0, 8)}`
}

/** Headers of HTTP that say nothing about the call. */
const transportHeaders = new Set(['content-type', 'date', 'user-agent'])

export function entriesOf(metadata: Metadata): Entries {
  const seen: [string, string][] = []
  for (const key of Object.keys(metadata.getMap()).sort()) {
    if (transportHeaders.has(key)) continue
    for (const value of metadata.get(key)) {
      seen.push([key, typeof value === 'string' ? value : value.toString('base64')])
    }
  }
  return seen
}
