/**
 * The frame header of the yamux spec: 12 bytes, all integers big-endian and unsigned. Bytes in, values out;
 * no I/O.
 *
 * ```
 * offset  0        1     2      4          8
 *         version  type  flags  stream ID  length
 * ```
 */

/** Size of a frame header in bytes. Only a data frame has bytes after it. */
export const headerBytes = 12

/** The only version there is. */
export const yamuxVersion = 0

/** Credit that either direction of a substream starts with, in bytes. Fixed by the yamux spec. */
export const initialWindowBytes = 256 * 1024

/** The largest substream ID, and the largest window, that the header's 32-bit fields can carry. */
export const maxUint32 = 0xff_ff_ff_ff

/**
 * What a frame is. It decides what `length` means: payload bytes, credit to add, an opaque value, a go-away
 * code.
 */
export const frameTypes = { data: 0, windowUpdate: 1, ping: 2, goAway: 3 } as const

/** Bits of `flags`. On a ping, `syn` is the request and `ack` the reply. Other bits are ignored. */
export const frameFlags = { syn: 0x1, ack: 0x2, fin: 0x4, rst: 0x8 } as const

/** Why a go-away was sent: its `length` field. */
export const goAwayCodes = { normal: 0, protocolError: 1, internalError: 2 } as const

/** A decoded header. Every field is what the wire says: nothing has been checked. */
export interface FrameHeader {
  readonly version: number
  readonly type: number
  readonly flags: number
  /** 0 is the session itself; odd IDs belong to the yamux client, even ones to the server. */
  readonly streamId: number
  readonly length: number
}

/** Encodes a header into 12 bytes of its own. */
export function encodeHeader(type: number, flags: number, streamId: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(headerBytes)
  writeHeader(bytes, 0, type, flags, streamId, length)
  return bytes
}

/** Encodes a header into the 12 bytes of `target` from `offset` on. */
export function writeHeader(
  target: Buffer,
  offset: number,
  type: number,
  flags: number,
  streamId: number,
  length: number
): void {
  target[offset] = yamuxVersion
  target[offset + 1] = type
  target.writeUInt16BE(flags, offset + 2)
  target.writeUInt32BE(streamId, offset + 4)
  target.writeUInt32BE(length, offset + 8)
}

/**
 * Decodes the header at `offset`.
 * @throws `RangeError` when fewer than 12 bytes are there
 */
export function decodeHeader(bytes: Buffer, offset = 0): FrameHeader {
  return {
    version: bytes.readUInt8(offset),
    type: bytes.readUInt8(offset + 1),
    flags: bytes.readUInt16BE(offset + 2),
    streamId: bytes.readUInt32BE(offset + 4),
    length: bytes.readUInt32BE(offset + 8)
  }
}
