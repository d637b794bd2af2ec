import type { CallRoute } from '../broker/route.js'
import { type StartFields, encodeStart } from './direct-blocks.js'
import type { Metadata } from './grpc-js.js'
import type { WireRequest } from './wire-connection.js'

/** Start blocks of methods called without metadata and time-out are kept: so many of them. */
const mostKnownStarts = 256

/** What the calls to one broker ID share. */
export interface DirectLink {
  readonly route: CallRoute
  readonly maxReceiveBytes: number
  readonly starts: Map<string, Buffer>
  /** Whether the peer has accepted a call. */
  confirmed: boolean
  /** Calls opened while that is not known. */
  unconfirmed: number
  confirm(): void
  /** Says that no call gets through any more; only the first time counts. */
  lose(cause: Error | undefined): void
}

/** Preamble and start block of a call that has neither metadata nor an encoding. */
export function headOf(link: DirectLink, path: string, timeoutMs: number): Buffer {
  const known = timeoutMs === Infinity ? link.starts.get(path) : undefined
  if (known !== undefined) return known
  const head = encodeHead(link, {
    method: path,
    timeoutMs,
    metadata: undefined,
    encoding: '',
    authority: ''
  })
  if (timeoutMs === Infinity && link.starts.size < mostKnownStarts) link.starts.set(path, head)
  return head
}

function encodeHead(link: DirectLink, fields: StartFields): Buffer {
  return Buffer.concat([link.route.preamble, encodeStart(fields)])
}

/** Preamble and start block of any call. */
export function headOfRequest(link: DirectLink, request: WireRequest): Buffer {
  const { path, timeoutMs, metadata, encoding, host } = request
  if (encoding === 'identity' && host === undefined && isEmpty(metadata)) return headOf(link, path, timeoutMs)
  return encodeHead(link, { method: path, timeoutMs, metadata, encoding, authority: host ?? '' })
}

function isEmpty(metadata: Metadata): boolean {
  for (const _ in metadata.getMap()) return false
  return true
}
