import { frameTypes, headerBytes } from './frame.js'

/** Told of frames as they arrive. False: no more is wanted, and the rest is dropped. */
export interface FrameSink {
  /**
   * A header, as it is on the wire. Of a data frame the body follows, which is `length` bytes: whether they are
   * too many has to be said here, before one of them is looked at.
   */
  onHeader(version: number, type: number, flags: number, streamId: number, length: number): boolean
  /** A piece of the body, in order, not copied. `last`: the frame is complete. Not told of empty bodies. */
  onBody(piece: Buffer, last: boolean): boolean
}

/**
 * Chunks of a stream to frames. Holds at most the beginning of one header; bodies are passed on as they come. No frame
 * costs an object but the slice of its body.
 */
export class Decoder {
  readonly #sink: FrameSink
  readonly #header = Buffer.alloc(headerBytes)
  #headerLength = 0
  #bodyLeft = 0
  #chunk: Buffer = this.#header
  #offset = headerBytes
  #stopped = false

  constructor(sink: FrameSink) {
    this.#sink = sink
  }

  /** Whether a frame has begun and is not complete. */
  get partial(): boolean {
    return this.#headerLength > 0 || this.#bodyLeft > 0
  }

  /** Takes the next chunk; the one before must have been read to its end. */
  push(chunk: Buffer): void {
    this.#chunk = chunk
    this.#offset = 0
    this.resume()
  }

  /** Goes on with the chunk after the sink has thrown. */
  resume(): void {
    const chunk = this.#chunk
    while (this.#offset < chunk.length && !this.#stopped) {
      const start = this.#offset
      if (this.#bodyLeft > 0) {
        const end = Math.min(start + this.#bodyLeft, chunk.length)
        this.#offset = end
        this.#bodyLeft -= end - start
        const piece = start === 0 && end === chunk.length ? chunk : chunk.subarray(start, end)
        this.#goOn(this.#sink.onBody(piece, this.#bodyLeft === 0))
      } else if (this.#headerLength === 0 && chunk.length - start >= headerBytes) {
        this.#offset = start + headerBytes
        this.#read(chunk, start)
      } else {
        const end = Math.min(start + headerBytes - this.#headerLength, chunk.length)
        chunk.copy(this.#header, this.#headerLength, start, end)
        this.#offset = end
        this.#headerLength += end - start
        if (this.#headerLength < headerBytes) return
        this.#headerLength = 0
        this.#read(this.#header, 0)
      }
    }
  }

  #read(bytes: Buffer, start: number): void {
    const type = bytes[start + 1]!
    const length = bytes.readUInt32BE(start + 8)
    this.#bodyLeft = type === frameTypes.data ? length : 0
    const flags = bytes.readUInt16BE(start + 2)
    const streamId = bytes.readUInt32BE(start + 4)
    this.#goOn(this.#sink.onHeader(bytes[start]!, type, flags, streamId, length))
  }

  #goOn(wanted: boolean): void {
    if (wanted) return
    this.#stopped = true
    this.#headerLength = 0
    this.#bodyLeft = 0
  }
}
