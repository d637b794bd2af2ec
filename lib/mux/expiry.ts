import { timerMs } from '../signal.js'

/** Things that may stay for a while, in the order in which they came, under one timer. */
export interface Expiry<T> {
  /** Enters `item`, or enters it anew: its time begins now. */
  add(item: T): void
  delete(item: T): void
  /** Forgets all of them. */
  clear(): void
}

/**
 * Calls `onExpired` for each item that has stayed for `timeoutMs` milliseconds, and forgets it. The timer holds no
 * process. With `Infinity` nothing is kept.
 */
export function createExpiry<T>(timeoutMs: number, onExpired: (item: T) => void): Expiry<T> {
  const since = new Map<T, number>()
  let timer: NodeJS.Timeout | undefined

  const arm = (ms: number): void => {
    timer = setTimeout(expire, timerMs(ms)).unref()
  }

  const expire = (): void => {
    timer = undefined
    for (const [item, enteredAt] of since) {
      const leftMs = enteredAt + timeoutMs - performance.now()
      if (leftMs > 0) {
        arm(Math.ceil(leftMs))
        return
      }
      since.delete(item)
      onExpired(item)
    }
  }

  return {
    add: (item) => {
      if (timeoutMs === Infinity) return
      since.delete(item)
      since.set(item, performance.now())
      if (timer === undefined) arm(timeoutMs)
    },
    delete: (item) => void since.delete(item),
    clear: () => {
      clearTimeout(timer)
      timer = undefined
      since.clear()
    }
  }
}
