import { preambleBytes } from '../broker/preamble.js'
import type { CallRoute } from '../broker/route.js'
import { type StartFields, encodeStart } from './direct-blocks.js'
import type { Metadata } from './grpc-js.js'
import type { WireRequest } from './wire-connection.js'

/** What the calls to one broker ID share. */
export interface DirectLink {
  readonly route: CallRoute
  readonly maxReceiveBytes: number
  /** Whether the peer has accepted a call. */
  confirmed: boolean
  /** Calls opened while that is not known. */
  unconfirmed: number
  confirm(): void
  /** Says that no call gets through any more; only the first time counts. */
  lose(cause: Error | undefined): void
}

/**
 * Preamble and start block of a call that has neither metadata nor an encoding: to be sent or copied at once, the next call
 * may write over them.
 */
export function headOf(link: DirectLink, path: string, timeoutMs: number): Buffer {
  const head = timeoutMs === Infinity ? knownHead(path) : plainHead(path, timeoutMs)
  link.route.writePreamble(head)
  return head
}

/** Preamble and start block of any call. */
export function headOfRequest(link: DirectLink, request: WireRequest): Buffer {
  const { path, timeoutMs, metadata, encoding, host } = request
  const plain = encoding === 'identity' && host === undefined && isEmpty(metadata)
  const head = plain
    ? plainHead(path, timeoutMs)
    : encodeHead({ method: path, timeoutMs, metadata, encoding, authority: host ?? '' })
  link.route.writePreamble(head)
  return head
}

/** Heads of calls without time-out, for all broker IDs: so many of them are kept. */
const mostKnownHeads = 256
const knownHeads = new Map<string, Buffer>()

function knownHead(path: string): Buffer {
  const known = knownHeads.get(path)
  if (known !== undefined) return known
  const head = plainHead(path, Infinity)
  if (knownHeads.size < mostKnownHeads) knownHeads.set(path, head)
  return head
}

function plainHead(method: string, timeoutMs: number): Buffer {
  return encodeHead({ method, timeoutMs, metadata: undefined, encoding: '', authority: '' })
}

/** A start block, and room for the preamble in front of it. */
function encodeHead(fields: StartFields): Buffer {
  return Buffer.concat([roomForPreamble, encodeStart(fields)])
}

const roomForPreamble = Buffer.alloc(preambleBytes)

function isEmpty(metadata: Metadata): boolean {
  for (const _ in metadata.getMap()) return false
  return true
}
