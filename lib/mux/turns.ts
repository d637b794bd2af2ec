import type { Writable } from 'node:stream'
import { headerBytes, writeHeader } from './frame.js'

/**
 * Bytes of control frames (window updates, resets, ping replies) that may pile up behind a peer that does not
 * read: about 87 000 of them, far more than the largest session in order can owe.
 */
const controlBacklogBytes = 1024 * 1024

/**
 * Headers and small bodies are put side by side in a slab, so that the frames of a tick are one buffer and one write.
 * A body of more than `copiedBytes` goes out as it is, between two pieces of the slab: from about this size on the copy
 * costs more than the piece.
 */
const slabBytes = 32 * 1024
const copiedBytes = 4 * 1024

/** One that waits for its turn to write. */
export interface Writer {
  turn(): void
}

/**
 * The write side of the stream, shared by the substreams of a session: one data frame a turn, first come
 * first served.
 */
export interface Turns {
  /**
   * Writes one frame; what is written in one tick leaves in one piece. `length` is what the header says, `body` what
   * follows it. True: a part of the body was not copied and must not change until {@link Turns.left} has told. A
   * stream that has ended takes no more.
   */
  frame(type: number, flags: number, streamId: number, length: number, body?: readonly Uint8Array[]): boolean
  /** The same for a frame that is encoded already; the bytes are given away. */
  write(frame: Uint8Array): void
  /** Calls back once the stream is done with all that was written before, or is destroyed. */
  left(callback: () => void): void
  /**
   * Asks to write one data frame. When the answer is false, because the stream is full or others were first,
   * `writer` has been queued and is told when its turn comes; it must ask again then.
   */
  take(writer: Writer): boolean
  /** Takes `writer` out of the queue. */
  leave(writer: Writer): void
  /** Makes sure that this tick is followed by a flush. */
  schedule(): void
  /** Hands what was written in this tick to the stream now. */
  flush(): void
  /** Takes no frame any more. */
  stop(): void
}

export interface TurnsOptions {
  /** Told when the peer lets too many control frames pile up. */
  readonly onFlood: () => void
  /** Told before what was written in a tick leaves: the last chance to write what shall go with it. */
  readonly beforeFlush?: () => void
}

/**
 * Shares `stream` between writers. Data waits for the stream's back pressure; control frames pass it, so that
 * a reader can always be answered.
 */
export function createTurns(stream: Writable, { onFlood, beforeFlush }: TurnsOptions): Turns {
  const waiting = new Set<Writer>()
  const fullBytes = stream.writableHighWaterMark
  const limitBytes = fullBytes + controlBacklogBytes
  let served: Writer | undefined
  let scheduled = false
  let stopped = false

  let slab = Buffer.alloc(0)
  /** The part of the slab that is filled and has not left, and what leaves before it. */
  let start = 0
  let end = 0
  let pieces: Uint8Array[] = []
  let pendingBytes = 0
  let callbacks: (() => void)[] = []

  /** Makes the filled part of the slab a piece. */
  const cut = (): void => {
    if (end === start) return
    pieces.push(slab.subarray(start, end))
    start = end
  }

  const reserve = (bytes: number): void => {
    if (end + bytes <= slab.length) return
    cut()
    slab = Buffer.allocUnsafeSlow(slabBytes)
    start = 0
    end = 0
  }

  /** False: `bytes` were copied. */
  const append = (bytes: Uint8Array): boolean => {
    if (bytes.length > copiedBytes) {
      cut()
      pieces.push(bytes)
      return true
    }
    reserve(bytes.length)
    slab.set(bytes, end)
    end += bytes.length
    return false
  }

  const flush = (): void => {
    beforeFlush?.()
    scheduled = false
    if (pendingBytes === 0) return
    cut()
    const [leaving, told] = [pieces, callbacks]
    pieces = []
    pendingBytes = 0
    if (told.length > 0) callbacks = []
    const onLeft = told.length === 0 ? undefined : () => told.forEach((callback) => callback())
    if (stream.destroyed || stream.writableEnded) {
      onLeft?.()
      return
    }
    const last = leaving.pop()
    if (leaving.length === 0) {
      stream.write(last, onLeft)
      return
    }
    stream.cork()
    for (const piece of leaving) stream.write(piece)
    stream.write(last, onLeft)
    stream.uncork()
  }

  const schedule = (): void => {
    if (scheduled) return
    scheduled = true
    process.nextTick(flush)
  }

  const written = (): void => {
    schedule()
    if (stream.writableLength + pendingBytes > limitBytes) onFlood()
  }

  /** Only the stream itself says so: it may take at once what is more than its mark, and then tells of no drain. */
  const isFull = (): boolean => {
    if (pendingBytes >= fullBytes) flush()
    return stream.writableNeedDrain || stopped
  }

  const serve = (): void => {
    for (const writer of waiting) {
      if (isFull()) return
      waiting.delete(writer)
      served = writer
      writer.turn()
      served = undefined
    }
  }

  stream.on('drain', serve)

  return {
    frame: (type, flags, streamId, length, body) => {
      if (stopped || stream.destroyed || stream.writableEnded) return false
      reserve(headerBytes)
      writeHeader(slab, end, type, flags, streamId, length)
      end += headerBytes
      pendingBytes += headerBytes
      let held = false
      if (body !== undefined) {
        for (const bytes of body) if (append(bytes)) held = true
        pendingBytes += length
      }
      written()
      return held
    },
    write: (frame) => {
      if (stopped || stream.destroyed || stream.writableEnded) return
      append(frame)
      pendingBytes += frame.length
      written()
    },
    left: (callback) => {
      if (pendingBytes === 0) process.nextTick(callback)
      else callbacks.push(callback)
    },
    take: (writer) => {
      const first = served === writer || waiting.size === 0
      served = undefined
      if (first && !isFull()) return true
      waiting.add(writer)
      return false
    },
    leave: (writer) => {
      waiting.delete(writer)
    },
    schedule,
    flush,
    stop: () => {
      stopped = true
    }
  }
}
