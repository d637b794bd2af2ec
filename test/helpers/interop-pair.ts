import { Duplex } from 'node:stream'

/** Buffer of each direction: more than HTTP/2's connection window and a write, or two node:http2 ends can lock up. */
const bufferBytes = 1 << 20

/**
 * Two Duplexes, each reading what the other writes. As a socket does, destroying one with data unread makes the other
 * see the end or the error that `peerError` gives.
 */
export function interopPair(): [PairEnd, PairEnd] {
  const left = new PairEnd()
  const right = new PairEnd()
  left.peer = right
  right.peer = left
  return [left, right]
}

export class PairEnd extends Duplex {
  peer: PairEnd | undefined
  #waiting: (() => void) | undefined
  /** Bytes this end has written, for tests that look at the wire. */
  written = 0
  #frozen = false
  #held: (() => void) | undefined

  constructor() {
    super({ allowHalfOpen: true, highWaterMark: bufferBytes })
  }

  override _read(): void {
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.()
  }

  /** Keeps what this end writes from now on to itself, until `thaw`. */
  freeze(): void {
    this.#frozen = true
  }

  thaw(): void {
    this.#frozen = false
    this.#held?.()
    this.#held = undefined
  }

  override _write(chunk: Buffer, encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#frozen) {
      this.#held = () => this._write(chunk, encoding, done)
      return
    }
    this.written += chunk.length
    // Never within the writer's tick, as no socket does: TLS on both ends would re-enter itself.
    setImmediate(() => {
      const peer = this.peer
      if (peer === undefined || peer.destroyed || peer.readableEnded || peer.push(chunk)) done()
      else peer.#waiting = done
    })
  }

  override _final(done: (error?: Error | null) => void): void {
    if (this.peer !== undefined && !this.peer.destroyed) this.peer.push(null)
    done()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const peer = this.peer
    this.#waiting?.()
    if (peer !== undefined && !peer.destroyed) {
      setImmediate(() => {
        if (!peer.destroyed && !peer.readableEnded) peer.push(null)
      })
    }
    done(error)
  }
}
