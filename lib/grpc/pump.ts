import type { Writable } from 'node:stream'
import { promisify } from 'node:util'

const nextTurn = promisify(setImmediate)

/** How long items are written without a turn of the event loop, at the least. */
const longestTurnMs = 2

/** A transfer that {@link pump} has begun. */
export interface Pump {
  /**
   * True once every item was written, false when the transfer was stopped before. Rejects with what the iterable
   * threw, or with what the stream threw for an item.
   */
  readonly done: Promise<boolean>
  /** Writes no more and lets the iterable clean up. Safe to repeat, and after the end. */
  readonly stop: () => void
}

/** Where items go. */
export interface Sink {
  /** Takes an item. False: no more until `onDrain` has told. What it throws ends the transfer. */
  write(item: unknown): boolean
  /** Whom to tell, the next time that there is room again. */
  onDrain(callback: () => void): void
}

/** An object stream as a sink. */
export function sinkOf(stream: Writable): Sink {
  return {
    write: (item) => stream.write(item),
    onDrain: (callback) => void stream.once('drain', callback)
  }
}

/**
 * Writes each item and waits whenever the sink asks for it. The sink is left open at the end; whoever sees it fail or
 * close calls `stop()`.
 */
export function pump(items: Iterable<unknown> | AsyncIterable<unknown>, sink: Sink): Pump {
  let iterator: Iterator<unknown> | AsyncIterator<unknown> | undefined
  let stopped = false
  let finished = false
  let wake = (): void => {}

  const transfer = async (): Promise<boolean> => {
    iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]()
    let turnedAt = performance.now()
    for (;;) {
      const result = await iterator.next()
      if (stopped) return false
      if (result.done === true) return true
      if (!sink.write(result.value)) {
        await new Promise<void>((resolve) => {
          wake = resolve
          sink.onDrain(resolve)
        })
        // A stream may drain without a turn of the event loop: an endless iterable would stop all else.
        if (performance.now() - turnedAt > longestTurnMs) {
          await nextTurn()
          turnedAt = performance.now()
        }
      }
      if (stopped) return false
    }
  }

  const stop = (): void => {
    if (stopped || finished) return
    stopped = true
    wake()
    // A generator that waits inside next() sees this only when it goes on; one that yields sees it now.
    const leave = async (): Promise<unknown> => iterator?.return?.()
    leave().catch(() => {})
  }

  const run = async (): Promise<boolean> => {
    try {
      return await transfer()
    } catch (error) {
      if (stopped) return false
      stop()
      throw error
    } finally {
      finished = true
    }
  }
  return { done: run(), stop }
}
