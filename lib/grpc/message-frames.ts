/**
 * gRPC's message prefix: one flag byte and a big-endian 32-bit length before each message (gRPC over HTTP/2,
 * Length-Prefixed-Message). Both wires use it. No I/O here.
 */

/** Size of the prefix: flag byte and length. */
export const prefixBytes = 5

/** Flag byte of a message sent as it is, and of one compressed with the call's encoding. */
export const flagPlain = 0
export const flagCompressed = 1

/** Set in the flag of a frame that is a metadata block instead of a message: on wire `direct`, and in gRPC-Web. */
export const blockFlag = 0x80

/** One message as it was on the wire: the flag byte and the bytes after the prefix. */
export interface MessageFrame {
  readonly flag: number
  readonly payload: Buffer
}

/** Writes the prefix of a payload of `length` bytes. */
export function writePrefix(target: Buffer, offset: number, flag: number, length: number): void {
  target[offset] = flag
  target.writeUInt32BE(length, offset + 1)
}

/** Puts prefix and payload into one Buffer, so that a message costs one write. */
export function frameMessage(flag: number, payload: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(prefixBytes + payload.length)
  writePrefix(frame, 0, flag, payload.length)
  frame.set(payload, prefixBytes)
  return frame
}

/** Chunks below this size are put together, in blocks of this size: a peer may send a byte at a time. */
const smallBytes = 1024
const blockBytes = 8192

/**
 * Takes bytes in chunks of any size and gives whole frames back: `push` a chunk, then `read` until it gives
 * undefined. A payload that lies within one chunk is a view of it, not a copy.
 */
export class FrameDecoder {
  readonly #maxBytes: number
  readonly #maxBlockBytes: number
  #chunks: Buffer[] = []
  /** What the last of `chunks` is the front of, when it is made of small ones. */
  #block: Buffer | undefined
  /** Where the first chunk's unread part starts. */
  #offset = 0
  /** Unread bytes in all chunks. */
  #available = 0
  #flag = 0
  /** Announced length of the message being read; -1 while its prefix is incomplete. */
  #length = -1

  /** `maxBytes`: the longest payload taken, or `Infinity`; `maxBlockBytes`: of frames with {@link blockFlag}. */
  constructor(maxBytes: number, maxBlockBytes = maxBytes) {
    this.#maxBytes = maxBytes
    this.#maxBlockBytes = maxBlockBytes
  }

  push(chunk: Buffer): void {
    if (chunk.length === 0) return
    this.#available += chunk.length
    const last = this.#chunks.at(-1)
    if (last !== undefined && chunk.length < smallBytes && this.#append(last, chunk)) return
    this.#block = undefined
    this.#chunks.push(chunk)
  }

  /** Puts a small chunk behind the last one, where there is room. */
  #append(last: Buffer, chunk: Buffer): boolean {
    if (this.#block === undefined) {
      if (last.length >= smallBytes) return false
      this.#block = Buffer.allocUnsafeSlow(blockBytes)
      this.#block.set(last)
    }
    const length = last.length + chunk.length
    if (length > blockBytes) return false
    this.#block.set(chunk, last.length)
    this.#chunks[this.#chunks.length - 1] = this.#block.subarray(0, length)
    return true
  }

  /** Buffers that the unread bytes are in. */
  get pieces(): number {
    return this.#chunks.length
  }

  /**
   * The next whole frame, or undefined until more bytes come.
   * @throws RangeError as soon as a prefix announces more than the limit: nothing is buffered for it
   */
  read(): MessageFrame | undefined {
    if (this.#length < 0) {
      if (this.#available < prefixBytes) return undefined
      const prefix = this.#take(prefixBytes)
      const length = prefix.readUInt32BE(1)
      const flag = prefix[0]!
      const limit = (flag & blockFlag) === 0 ? this.#maxBytes : this.#maxBlockBytes
      if (length > limit) throw new RangeError(`Received message larger than max (${length} vs ${limit})`)
      this.#flag = flag
      this.#length = length
    }
    if (this.#available < this.#length) return undefined
    const payload = this.#take(this.#length)
    this.#length = -1
    return { flag: this.#flag, payload }
  }

  /** Whether a message has begun and is not complete. */
  get partial(): boolean {
    return this.#length >= 0 || this.#available > 0
  }

  #take(count: number): Buffer {
    if (count === 0) return Buffer.alloc(0)
    this.#available -= count
    const first = this.#chunks[0]!
    const end = this.#offset + count
    if (end <= first.length) {
      const part = first.subarray(this.#offset, end)
      if (end === first.length) {
        this.#chunks.shift()
        if (this.#chunks.length === 0) this.#block = undefined
        this.#offset = 0
      } else {
        this.#offset = end
      }
      return part
    }
    const parts = [first.subarray(this.#offset)]
    let missing = count - parts[0]!.length
    let used = 1
    this.#offset = 0
    while (missing > 0) {
      const chunk = this.#chunks[used]!
      if (chunk.length > missing) {
        parts.push(chunk.subarray(0, missing))
        this.#offset = missing
        break
      }
      parts.push(chunk)
      missing -= chunk.length
      used++
    }
    this.#chunks.splice(0, used)
    if (this.#chunks.length === 0) this.#block = undefined
    return Buffer.concat(parts, count)
  }
}
