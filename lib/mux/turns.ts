import type { Writable } from 'node:stream'

/**
 * Bytes of control frames (window updates, resets, ping replies) that may pile up behind a peer that does not
 * read: about 87 000 of them, far more than the largest session in order can owe.
 */
const controlBacklogBytes = 1024 * 1024

/**
 * The write side of the stream, shared by the substreams of a session: one data frame a turn, first come
 * first served.
 */
export interface Turns {
  /**
   * Writes one whole frame. What is written in one tick leaves in one piece. A stream that has ended takes no
   * more.
   */
  write(frame: Uint8Array): void
  /**
   * Asks to write one data frame. When the answer is false, because the stream is full or others were first,
   * `writer` has been queued and is called when its turn comes; it must ask again then.
   */
  take(writer: () => void): boolean
  /** Takes `writer` out of the queue. */
  leave(writer: () => void): void
  /** Hands what was written in this tick to the stream now. */
  flush(): void
}

/**
 * Shares `stream` between writers. Data waits for the stream's back pressure; control frames pass it, so that
 * a reader can always be answered, and `onFlood` is told when the peer lets too many of them pile up.
 */
export function createTurns(stream: Writable, onFlood: () => void): Turns {
  const waiting = new Set<() => void>()
  const limitBytes = stream.writableHighWaterMark + controlBacklogBytes
  let served: (() => void) | undefined
  let corked = false

  const flush = (): void => {
    if (!corked) return
    corked = false
    stream.uncork()
  }

  const serve = (): void => {
    for (const writer of waiting) {
      if (stream.writableNeedDrain) return
      waiting.delete(writer)
      served = writer
      writer()
      served = undefined
    }
  }

  stream.on('drain', serve)

  return {
    write: (frame) => {
      if (stream.destroyed || stream.writableEnded) return
      if (!corked) {
        corked = true
        stream.cork()
        process.nextTick(flush)
      }
      stream.write(frame)
      if (stream.writableLength > limitBytes) onFlood()
    },
    take: (writer) => {
      const first = served === writer || waiting.size === 0
      served = undefined
      if (first && !stream.writableNeedDrain) return true
      waiting.add(writer)
      return false
    },
    leave: (writer) => {
      waiting.delete(writer)
    },
    flush
  }
}
