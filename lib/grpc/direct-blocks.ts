import { type Entry, Header, Start, Status as StatusBlock } from '#proto/muxplug/direct/v1/direct.js'
import type { Encoding } from './compression.js'
import { Metadata, Status } from './grpc-js.js'
import { blockFlag, prefixBytes, writePrefix } from './message-frames.js'

/**
 * The blocks of the wire `direct`: what HTTP/2 would have as headers and trailers. `docs/wire-direct.md` specifies them. No
 * I/O here.
 */

/** Flags of the frames that hold a block: `Start` and `Header` lead, `Status` ends. */
export const leadingFlag = blockFlag | 0x40
export const statusFlag = blockFlag

/** A block that breaks the rules; the message says which. */
export class BlockError extends Error {}

/** Names of what is not metadata here, although it would be a header on HTTP/2. They are not sent. */
const notMetadata = new Set([
  'te',
  'content-type',
  'accept-encoding',
  'grpc-timeout',
  'grpc-encoding',
  'grpc-accept-encoding',
  'grpc-status',
  'grpc-message'
])

function toEntries(metadata: Metadata): Entry.Init[] {
  const entries: Entry.Init[] = []
  for (const [key, values] of Object.entries(metadata.toJSON())) {
    if (notMetadata.has(key)) continue
    for (const value of values) {
      entries.push({ key, value: typeof value === 'string' ? Buffer.from(value, 'latin1') : value })
    }
  }
  return entries
}

const legalKey = /^[0-9a-z_.-]{1,1024}$/
const legalText = /^[\x20-\x7e]*$/

function toMetadata(entries: readonly Entry[]): Metadata {
  const metadata = new Metadata()
  if (entries.length === 0) return metadata
  const texts = new Map<string, string>()
  for (const { key, value } of entries) {
    if (!legalKey.test(key))
      throw new BlockError(`metadata key ${JSON.stringify(key.slice(0, 80))} is not allowed`)
    if (notMetadata.has(key)) continue
    if (key.endsWith('-bin')) {
      metadata.add(key, Buffer.from(value))
      continue
    }
    const text = Buffer.from(value.buffer, value.byteOffset, value.length).toString('latin1')
    if (!legalText.test(text)) throw new BlockError(`metadata "${key}" is not printable ASCII`)
    const before = texts.get(key)
    // As node:http2 gives several headers of one name.
    texts.set(key, before === undefined ? text : `${before}, ${text}`)
  }
  for (const [key, text] of texts) metadata.set(key, text)
  return metadata
}

interface Block {
  finish(): Uint8Array
}

/** A block as a frame, ready to be sent. */
function frameOf(flag: number, block: Block): Buffer {
  const bytes = block.finish()
  const frame = Buffer.allocUnsafe(prefixBytes + bytes.length)
  writePrefix(frame, 0, flag, bytes.length)
  frame.set(bytes, prefixBytes)
  return frame
}

/** What begins a request. */
export interface StartFields {
  readonly method: string
  /** Milliseconds above 0; `Infinity`: no limit. */
  readonly timeoutMs: number
  /** undefined: none. */
  readonly metadata: Metadata | undefined
  readonly encoding: string
  readonly authority: string
}

/** The longest time-out that the block can express, some 49 days; a longer one is none. */
const maxTimeoutMs = 0xffff_ffff

export function encodeStart(fields: StartFields): Buffer {
  const { method, timeoutMs, metadata, encoding, authority } = fields
  return frameOf(
    leadingFlag,
    Start.encode({
      method,
      timeoutMs: timeoutMs > maxTimeoutMs ? 0 : Math.max(1, Math.ceil(timeoutMs)),
      metadata: metadata === undefined ? [] : toEntries(metadata),
      encoding: encoding === 'identity' ? '' : encoding,
      authority
    })
  )
}

/** @throws BlockError */
export function decodeStart(payload: Buffer): StartFields {
  const { method, timeoutMs, metadata, encoding, authority } = decode(() => Start.decode(payload))
  if (!method.startsWith('/'))
    throw new BlockError(`method ${JSON.stringify(method.slice(0, 80))} is no path`)
  return {
    method,
    timeoutMs: timeoutMs === 0 ? Infinity : timeoutMs,
    metadata: metadata.length === 0 ? undefined : toMetadata(metadata),
    encoding: encoding === '' ? 'identity' : encoding,
    authority
  }
}

export function encodeHeader(metadata: Metadata, encoding: Encoding = 'identity'): Buffer {
  return frameOf(
    leadingFlag,
    Header.encode({ metadata: toEntries(metadata), encoding: encoding === 'identity' ? '' : encoding })
  )
}

/** @throws BlockError */
export function decodeHeader(payload: Buffer): { metadata: Metadata; encoding: string } {
  const { metadata, encoding } = decode(() => Header.decode(payload))
  return { metadata: toMetadata(metadata), encoding: encoding === '' ? 'identity' : encoding }
}

/** A status with nothing to say besides OK. */
export const okStatus = frameOf(statusFlag, StatusBlock.encode({}))

export function encodeStatus(code: number, details: string, metadata: Metadata | undefined): Buffer {
  return frameOf(
    statusFlag,
    StatusBlock.encode({
      code,
      // Half a surrogate pair is no UTF-8, and would break the whole block.
      details: details.replaceAll(/\p{Surrogate}/gu, '\uFFFD'),
      metadata: metadata === undefined ? [] : toEntries(metadata)
    })
  )
}

/** A code that is none of gRPC's becomes UNKNOWN, with the number in the text. @throws BlockError */
export function decodeStatus(payload: Buffer): { code: Status; details: string; metadata: Metadata } {
  if (payload.length === 0) return { code: Status.OK, details: 'OK', metadata: new Metadata() }
  const { code, details, metadata } = decode(() => StatusBlock.decode(payload))
  const trailer = toMetadata(metadata)
  if (code > Status.UNAUTHENTICATED) {
    return { code: Status.UNKNOWN, details: `Unknown gRPC status ${code}: ${details}`, metadata: trailer }
  }
  // Left out because it says nothing.
  return { code, details: code === Status.OK && details === '' ? 'OK' : details, metadata: trailer }
}

function decode<T>(read: () => T): T {
  try {
    return read()
  } catch (cause) {
    throw new BlockError(`block is no protobuf message: ${(cause as Error).message}`, { cause })
  }
}
