import type { Duplex } from 'node:stream'
import { timerMs } from '../signal.js'
import { brokerClosed, idTaken } from './errors.js'
import type { Refusal } from './preamble.js'
import type { Acceptance } from './route.js'

export interface RendezvousOptions<Dial, Listener> {
  /** How long an early dial waits for its accept, in ms. */
  readonly timeoutMs: number
  /** Dials that may wait at once; further ones are refused as `busy`. */
  readonly maxWaiting: number
  /** Hands an accepted dial over to the acceptance's listener. */
  readonly admit: (dial: Dial, listener: Listener) => void
  /** Turns a dial away. */
  readonly refuse: (dial: Dial, refusal: Refusal) => void
  /** Calls `forget` when a dial that waits has gone away; gives what ends that. */
  readonly watch: (dial: Dial, forget: () => void) => () => void
  /**
   * How many IDs that were accepted once, and are not any more, are known as `ended`: a dial of one of them is refused at
   * once. Default 0.
   */
  readonly maxEnded?: number
}

/** Pairs dials with accepts of the same broker ID, whichever comes first. */
export interface Rendezvous<Dial, Listener> {
  /** @throws `ERR_BROKER_ID_TAKEN`, `ERR_BROKER_CLOSED` */
  accept(id: number, listener: Listener): Acceptance
  /** A dial of `id` has come in. */
  arrive(id: number, dial: Dial): void
  /** Dials waiting now. */
  readonly waiting: number
  /** Refuses what waits and what comes. Safe to repeat. */
  close(): void
}

/** That of every acceptance: nothing has to be told or opened. */
const ready = Promise.resolve()

interface Waiting {
  readonly id: number
  readonly timer: NodeJS.Timeout
  readonly unwatch: () => void
}

export function createRendezvous<Dial, Listener>(
  options: RendezvousOptions<Dial, Listener>
): Rendezvous<Dial, Listener> {
  const { admit, refuse, maxEnded = 0 } = options
  const accepted = new Map<number, Listener>()
  const waiting = new Map<Dial, Waiting>()
  /** In the order in which they ended. */
  const ended = new Set<number>()
  let closed = false

  function leave(dial: Dial): void {
    const entry = waiting.get(dial)
    if (entry === undefined) return
    waiting.delete(dial)
    clearTimeout(entry.timer)
    entry.unwatch()
  }

  function end(id: number): void {
    if (maxEnded === 0) return
    ended.add(id)
    if (ended.size <= maxEnded) return
    for (const oldest of ended) {
      ended.delete(oldest)
      return
    }
  }

  return {
    accept(id, listener) {
      if (closed) throw brokerClosed(id)
      if (accepted.has(id)) throw idTaken(id)
      accepted.set(id, listener)
      ended.delete(id)
      for (const [dial, entry] of waiting) {
        if (entry.id !== id) continue
        leave(dial)
        admit(dial, listener)
      }
      return {
        id,
        ready,
        close() {
          // Safe to repeat, also after somebody else has accepted the ID again.
          if (accepted.get(id) !== listener) return
          accepted.delete(id)
          end(id)
        }
      }
    },

    arrive(id, dial) {
      const listener = accepted.get(id)
      if (listener !== undefined) return admit(dial, listener)
      if (closed) return refuse(dial, 'closed')
      if (ended.has(id)) return refuse(dial, 'ended')
      if (waiting.size >= options.maxWaiting) return refuse(dial, 'busy')
      const timer = setTimeout(() => {
        leave(dial)
        refuse(dial, 'timeout')
      }, timerMs(options.timeoutMs))
      timer.unref()
      waiting.set(dial, { id, timer, unwatch: options.watch(dial, () => leave(dial)) })
    },

    get waiting() {
      return waiting.size
    },

    close() {
      closed = true
      accepted.clear()
      for (const dial of waiting.keys()) {
        leave(dial)
        refuse(dial, 'closed')
      }
    }
  }
}

/** {@link RendezvousOptions.watch} for dials that are streams. */
export function watchClose(stream: Duplex, forget: () => void): () => void {
  stream.once('close', forget)
  return () => stream.off('close', forget)
}
