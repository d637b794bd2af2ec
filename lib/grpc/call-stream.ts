import type { Receiver, SubstreamPort } from '../mux/port.js'
import { maxFrameBytes, own } from '../mux/substream.js'
import type { Writer } from '../mux/turns.js'
import { FrameDecoder, blockFlag, prefixBytes, writePrefix } from './message-frames.js'

/** What one end of a call is told by its substream. Nothing comes after `onReset` and `onLost`. */
export interface CallStreamEvents {
  /** Only of the dialling end: the acceptor's first byte. False: the call is over. */
  onAnswer?(byte: number): boolean
  onFrame(flag: number, payload: Buffer): void
  /** A frame is announced that is longer than the limit; nothing of it was kept. */
  onTooLong(message: string): void
  /** The peer has ended its half, inside a frame if `truncated`. */
  onFin(truncated: boolean): void
  onReset(): void
  /** The session is lost, or the substream was ended by it. */
  onLost(error: Error | undefined): void
  /** What `send` did not take at once has left. */
  onSent(): void
  /** The engine acknowledges the substream now, unless something is sent here. */
  onAcknowledging?(): void
}

/** Up to this size a message is copied beside what leaves with it: from there on the copy costs more than the piece. */
const joinedBytes = 2048

/** Longest block taken. Metadata are limited to this where they are sent, as on HTTP/2. */
export const maxBlockBytes = 64 * 1024

/**
 * One end of a call on a substream of its own (wire `direct`): frames with gRPC's message prefix in both directions, within
 * yamux's credit. No node:stream, because a call of two frames costs less than making one.
 */
export class CallStream implements Receiver, Writer {
  readonly #port: SubstreamPort
  readonly #events: CallStreamEvents
  readonly #maxMessageBytes: number
  #answered: boolean
  /** Begun where a frame lies in several pieces, or reading is paused. */
  #decoder: FrameDecoder | undefined
  #paused = false
  #deaf = false
  #peerFinished = false
  #finTold = false
  #owedBytes = 0
  #queue: Uint8Array[] = []
  #queueBytes = 0
  #lastQueued = false
  #released = false

  constructor(port: SubstreamPort, events: CallStreamEvents, maxMessageBytes: number) {
    this.#port = port
    this.#events = events
    this.#maxMessageBytes = maxMessageBytes
    this.#answered = events.onAnswer === undefined
  }

  // What arrives

  receive(piece: Buffer): void {
    if (this.#deaf) return
    const bytes = own(piece)
    let offset = 0
    this.#owedBytes += bytes.length
    if (!this.#answered) {
      this.#answered = true
      if (!this.#events.onAnswer!(bytes[0]!)) return
      offset = 1
    }
    if (this.#decoder === undefined) offset = this.#readWhole(bytes, offset)
    if (offset < bytes.length && !this.#deaf) {
      this.#decoder ??= new FrameDecoder(this.#maxMessageBytes, maxBlockBytes)
      this.#decoder.push(offset === 0 ? bytes : bytes.subarray(offset))
      this.#readOn()
    }
    this.#credit()
  }

  /** Tells of the frames that lie whole in `bytes` from `offset` on; gives where the rest begins. */
  #readWhole(bytes: Buffer, start: number): number {
    let offset = start
    while (bytes.length - offset >= prefixBytes && !this.#paused && !this.#deaf) {
      const length = bytes.readUInt32BE(offset + 1)
      const end = offset + prefixBytes + length
      const flag = bytes[offset]!
      // What is too long is the decoder's to say.
      if (end > bytes.length || length > this.#limitOf(flag)) break
      const payload = bytes.subarray(offset + prefixBytes, end)
      offset = end
      this.#events.onFrame(flag, payload)
    }
    return offset
  }

  #readOn(): void {
    const decoder = this.#decoder
    if (decoder === undefined) return
    try {
      while (!this.#paused && !this.#deaf) {
        const frame = decoder.read()
        if (frame === undefined) break
        this.#events.onFrame(frame.flag, frame.payload)
      }
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      this.deafen()
      this.#events.onTooLong(error.message)
      return
    }
    if (!decoder.partial) this.#decoder = undefined
  }

  #limitOf(flag: number): number {
    return (flag & blockFlag) === 0 ? this.#maxMessageBytes : maxBlockBytes
  }

  receiveEnd(): void {
    this.#peerFinished = true
    this.#releaseIfOver()
    this.#tellFin()
  }

  #tellFin(): void {
    if (!this.#peerFinished || this.#paused || this.#deaf || this.#finTold) return
    this.#finTold = true
    this.#events.onFin(this.#decoder !== undefined)
  }

  receiveReset(): void {
    this.#release()
    this.#deaf = true
    this.#events.onReset()
  }

  lose(error: Error): void {
    this.#release()
    this.#deaf = true
    this.#events.onLost(error)
  }

  destroy(error?: Error): void {
    if (this.#released) return
    this.#port.reset()
    this.#release()
    this.#deaf = true
    this.#events.onLost(error)
  }

  acknowledging(): void {
    this.#events.onAcknowledging?.()
  }

  /** Stops telling of frames, and the peer once its credit is used up. */
  pause(): void {
    this.#paused = true
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#readOn()
    this.#credit()
    this.#tellFin()
  }

  /** Whatever arrives from now on is dropped; the peer gets no credit for it. */
  deafen(): void {
    this.#deaf = true
    this.#decoder = undefined
  }

  #credit(): void {
    if (this.#paused || this.#deaf || this.#owedBytes < this.#port.creditThresholdBytes) return
    const bytes = this.#owedBytes
    this.#owedBytes = 0
    if (!this.#peerFinished) this.#port.grant(bytes)
  }

  // What leaves

  /** Whether our half has ended, or will with what waits. */
  get finished(): boolean {
    return this.#lastQueued || this.#port.flow.finished || this.#released
  }

  /** Whether the peer's half has ended. */
  get peerFinished(): boolean {
    return this.#peerFinished
  }

  /**
   * Sends `body`, which are `length` bytes and given away, and ends our half with it if it is the `last`. False: some of it
   * waits for credit or for its turn, and `onSent` tells when that is over.
   */
  send(body: readonly Uint8Array[], length: number, last: boolean): boolean {
    if (this.#released) return true
    const { flow, turns } = this.#port
    if (
      this.#queueBytes === 0 &&
      length <= maxFrameBytes &&
      length <= flow.sendWindow &&
      !flow.withheld &&
      turns.take(this)
    ) {
      this.#port.send(body, length, last)
      if (last) this.#releaseIfOver()
      return true
    }
    for (const bytes of body) this.#queue.push(bytes)
    this.#queueBytes += length
    this.#lastQueued = last
    return this.#drain()
  }

  /**
   * Sends a message with what leaves right `before` and `after` it, as `send` does. What is small is put into one piece.
   */
  sendMessage(
    before: Uint8Array | undefined,
    flag: number,
    message: Uint8Array,
    after: Uint8Array | undefined,
    last: boolean
  ): boolean {
    const beforeBytes = before === undefined ? 0 : before.length
    const afterBytes = after === undefined ? 0 : after.length
    const frontBytes = beforeBytes + prefixBytes
    const total = frontBytes + message.length + afterBytes
    const joined = message.length + afterBytes <= joinedBytes
    const front = Buffer.allocUnsafe(joined ? total : frontBytes)
    if (before !== undefined) front.set(before)
    writePrefix(front, beforeBytes, flag, message.length)
    if (!joined)
      return this.send(after === undefined ? [front, message] : [front, message, after], total, last)
    front.set(message, frontBytes)
    if (after !== undefined) front.set(after, frontBytes + message.length)
    return this.send([front], total, last)
  }

  /** Ends our half. */
  finish(): void {
    if (this.finished) return
    if (this.#queueBytes > 0) {
      this.#lastQueued = true
      return
    }
    this.#port.finish()
    this.#releaseIfOver()
  }

  /** Breaks the substream off: nothing is told any more. */
  reset(): void {
    this.#deaf = true
    if (this.#released) return
    this.#port.reset()
    this.#release()
  }

  turn(): void {
    if (this.#queueBytes > 0 && this.#drain()) this.#events.onSent()
  }

  /** Sends what waits, as far as it may. True: all of it. */
  #drain(): boolean {
    const { flow, turns } = this.#port
    while (this.#queueBytes > 0) {
      if (flow.sendWindow === 0 || flow.withheld) {
        flow.onCredit ??= () => this.turn()
        return false
      }
      if (!turns.take(this)) return false
      this.#sendPart(Math.min(flow.sendWindow, maxFrameBytes))
    }
    if (this.#lastQueued) this.#releaseIfOver()
    return true
  }

  /** Sends one frame of at most `limit` bytes off the queue. */
  #sendPart(limit: number): void {
    const queue = this.#queue
    const body: Uint8Array[] = []
    let length = 0
    let used = 0
    while (length < limit && used < queue.length) {
      const bytes = queue[used]!
      if (bytes.length <= limit - length) {
        body.push(bytes)
        length += bytes.length
        used++
      } else {
        const part = bytes.subarray(0, limit - length)
        queue[used] = bytes.subarray(part.length)
        body.push(part)
        length += part.length
      }
    }
    this.#queue = queue.slice(used)
    this.#queueBytes -= length
    this.#port.send(body, length, this.#lastQueued && this.#queueBytes === 0)
  }

  #releaseIfOver(): void {
    if (this.#peerFinished && this.#port.flow.finished) this.#release()
  }

  /** Lets go of the substream: it is over. */
  #release(): void {
    if (this.#released) return
    this.#released = true
    const { flow, turns } = this.#port
    flow.onCredit = undefined
    if (this.#queueBytes > 0) {
      turns.leave(this)
      this.#queue = []
      this.#queueBytes = 0
    }
    this.#port.released()
  }
}
