import { promisify } from 'node:util'
import { deflate, gunzip, gzip, inflate, type InputType, type ZlibOptions } from 'node:zlib'

/** Message encodings that this package reads and writes, by their gRPC names: gzip is RFC 1952, deflate RFC 1950. */
export const encodings = ['identity', 'deflate', 'gzip'] as const
export type Encoding = (typeof encodings)[number]

type Unpack = (input: InputType, options: ZlibOptions) => Promise<Buffer>

const packers = { gzip: promisify<InputType, Buffer>(gzip), deflate: promisify<InputType, Buffer>(deflate) }
const unpackers: Record<keyof typeof packers, Unpack> = {
  gzip: promisify(gunzip),
  deflate: promisify(inflate)
}

/** Compresses one message; every message has a context of its own. */
export function compress(encoding: Exclude<Encoding, 'identity'>, message: Uint8Array): Promise<Buffer> {
  return packers[encoding](message)
}

/** Whether messages in `encoding` can be decompressed here: false for `identity`, which has no compressed form. */
export function isCompressed(encoding: string): encoding is Exclude<Encoding, 'identity'> {
  return encoding === 'gzip' || encoding === 'deflate'
}

/**
 * Decompresses one message and stops as soon as the result is longer than `maxBytes`.
 * @throws RangeError when it is too long, Error when the bytes are not in `encoding`
 */
export async function decompress(
  encoding: Exclude<Encoding, 'identity'>,
  payload: Buffer,
  maxBytes: number
): Promise<Buffer> {
  const limits = Number.isFinite(maxBytes) ? { maxOutputLength: Math.max(1, maxBytes) } : {}
  let message: Buffer
  try {
    message = await unpackers[encoding](payload, limits)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLong(maxBytes, error)
    throw new Error(`Failed to decompress ${encoding}-encoded message`, { cause: error })
  }
  if (message.length > maxBytes) throw tooLong(maxBytes)
  return message
}

function tooLong(maxBytes: number, cause?: unknown): RangeError {
  return new RangeError(`Received message that decompresses to a size larger than ${maxBytes}`, { cause })
}
