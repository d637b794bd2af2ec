import { Duplex } from 'node:stream'

export interface PairOptions {
  /**
   * How much each end holds before its writer must wait, and before it stops reading ahead. Default 64 KiB.
   */
  readonly highWaterMarkBytes?: number
  /**
   * The most that arrives at once: larger writes come in pieces of this size; a function is asked for each
   * piece. Default: as written.
   */
  readonly chunkBytes?: number | (() => number)
  /**
   * How much the pair itself holds in each direction, as a kernel does: as long as there is room a write is
   * done at once, and no `'drain'` follows it. Default 0: a write is done when the other end has taken it, a
   * turn later.
   */
  readonly kernelBytes?: number
}

/** One end of an in-memory stream with knobs for trouble. */
export interface PairEnd extends Duplex {
  /** Bytes written and not yet taken by the other end stay where they are until `thaw()`. */
  freeze(): void
  thaw(): void
  /** Everything this end has written so far, in chunks. */
  readonly sent: readonly Buffer[]
}

/**
 * Two joined byte streams in memory that behave as a socket pair does: half-close, back pressure, and a
 * destroyed end is an end of stream for the other one, after what was written before it.
 */
export function createPair(options: PairOptions = {}): [PairEnd, PairEnd] {
  const a = new End(options)
  const b = new End(options)
  a.peer = b
  b.peer = a
  return [a, b]
}

class End extends Duplex implements PairEnd {
  peer: End = this
  readonly sent: Buffer[] = []
  readonly #chunkBytes: () => number
  readonly #kernelBytes: number
  readonly #arriving: Buffer[] = []
  #wanted = false
  #ended = false
  #frozen = false
  #taken: (() => void) | undefined

  constructor({ highWaterMarkBytes = 64 * 1024, chunkBytes = Infinity, kernelBytes = 0 }: PairOptions) {
    super({
      writableHighWaterMark: highWaterMarkBytes,
      readableHighWaterMark:
        typeof chunkBytes === 'number' ? Math.min(highWaterMarkBytes, chunkBytes) : highWaterMarkBytes
    })
    this.#kernelBytes = kernelBytes
    this.#chunkBytes = typeof chunkBytes === 'number' ? () => chunkBytes : chunkBytes
  }

  freeze(): void {
    this.#frozen = true
  }

  thaw(): void {
    this.#frozen = false
    this.peer.#deliver()
  }

  override _read(): void {
    this.#wanted = true
    this.#deliver()
  }

  override _writev(chunks: { chunk: Buffer }[], callback: (error?: Error | null) => void): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), 'binary', callback)
  }

  override _write(chunk: Buffer, _encoding: string, callback: (error?: Error | null) => void): void {
    const { peer } = this
    if (peer.destroyed) {
      callback(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }))
      return
    }
    // A copy, as a socket takes: the writer may reuse its buffer.
    const bytes = Buffer.from(chunk)
    this.sent.push(bytes)
    peer.#arriving.push(bytes)
    if (peer.#arriving.reduce((sum, { length }) => sum + length, 0) <= this.#kernelBytes) callback()
    else this.#taken = callback
    peer.#deliver()
  }

  override _final(callback: (error?: Error | null) => void): void {
    callback()
    this.peer.#ended = true
    this.peer.#deliver()
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    const { peer } = this
    this.#arriving.length = 0
    if (!peer.destroyed) {
      this.#frozen = false
      peer.#ended = true
      peer.#release()
      setImmediate(() => peer.#deliver())
    }
    callback(error)
  }

  /** Pushes what has arrived, a chunk for each read; the writer is released when the last of it was taken. */
  #deliver(): void {
    if (this.destroyed || this.peer.#frozen) return
    while (this.#wanted && this.#arriving.length > 0) {
      const [bytes] = this.#arriving.splice(0, 1)
      if (bytes === undefined) break
      const piece = bytes.subarray(0, this.#chunkBytes())
      if (piece.length < bytes.length) this.#arriving.unshift(bytes.subarray(piece.length))
      this.#wanted = false
      this.push(piece)
    }
    if (this.#arriving.length > 0) return
    this.peer.#release()
    if (this.#ended && !this.readableEnded) {
      this.#ended = false
      this.push(null)
    }
  }

  #release(): void {
    const taken = this.#taken
    this.#taken = undefined
    if (taken !== undefined) setImmediate(taken)
  }
}
