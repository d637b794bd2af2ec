import { timerMs } from '../signal.js'
import type { ConnInfo } from './control.js'
import { idTaken } from './errors.js'
import type { KnockHalf } from './knock-dialler.js'
import type { ConnectionListener } from './route.js'

/**
 * How long a knock for an ID that is not accepted yet may wait. go-plugin's diallers give up after 5 s, and a
 * yes that comes later would send the next stream the wrong way (`grpc_broker.go`).
 */
const knockPatienceMs = 4500

/** Streams that may be awaited at once: yamux's accept backlog, beyond which none could be opened. */
const maxGrants = 256

/** The accepting half: who knocked early, and which ID the next stream is for. */
export function createKnockAcceptor(half: KnockHalf) {
  const { send, acceptTimeoutMs, maxWaitingDials, logger } = half
  const accepted = new Map<number, { readonly listener: ConnectionListener }>()
  const early = new Set<Timed>()
  /** First come, first served. */
  const grants = new Set<Timed>()

  function grant(id: number): void {
    if (grants.size >= maxGrants) return deny(id, 'too many streams are awaited')
    // Before the answer, which the stream may follow at once. One that does not come is forgotten: it would
    // shift all that follow.
    const entry = timed(grants, id, acceptTimeoutMs, () => {
      logger.warn({ brokerId: id, ms: acceptTimeoutMs }, 'a stream that a knock announced has not come')
    })
    send(reply(id, '')).catch((err: unknown) => {
      remove(grants, entry)
      logger.debug({ brokerId: id, err }, 'a knock cannot be answered')
    })
  }

  function deny(id: number, error: string): void {
    logger.debug({ brokerId: id, error }, 'dial refused')
    send(reply(id, error)).catch((err: unknown) => {
      logger.debug({ brokerId: id, err }, 'a knock cannot be answered')
    })
  }

  return {
    /** Gives what ends it. */
    accept(id: number, listener: ConnectionListener): () => void {
      if (accepted.has(id)) throw idTaken(id)
      const acceptance = { listener }
      accepted.set(id, acceptance)
      for (const entry of early) {
        if (entry.id !== id) continue
        remove(early, entry)
        grant(id)
      }
      return () => {
        // Safe to repeat, also after somebody else has accepted the ID again.
        if (accepted.get(id) === acceptance) accepted.delete(id)
      }
    },

    knocked(id: number): void {
      if (accepted.has(id)) return grant(id)
      if (early.size >= maxWaitingDials) return deny(id, 'too many dials wait for an accept')
      const ms = Math.min(acceptTimeoutMs, knockPatienceMs)
      timed(early, id, ms, () => deny(id, `not accepted within ${ms} ms`))
    },

    /** Takes the ID that the stream now coming is for; undefined when there was no knock. */
    nextGranted(): number | undefined {
      const [first] = grants
      if (first !== undefined) remove(grants, first)
      return first?.id
    },

    listener: (id: number) => accepted.get(id)?.listener,

    get waiting() {
      return early.size
    },

    /** No knocks come any more; streams may. */
    end(): void {
      for (const entry of early) remove(early, entry)
    },

    close(): void {
      accepted.clear()
      for (const entry of grants) remove(grants, entry)
    }
  }
}

/** Waits in a set until it is removed or its time is up. */
interface Timed {
  readonly id: number
  readonly timer: NodeJS.Timeout
}

function timed(set: Set<Timed>, id: number, ms: number, onLate: () => void): Timed {
  const timer = setTimeout(() => {
    set.delete(entry)
    onLate()
  }, timerMs(ms))
  timer.unref()
  const entry = { id, timer }
  set.add(entry)
  return entry
}

function remove(set: Set<Timed>, entry: Timed): void {
  clearTimeout(entry.timer)
  set.delete(entry)
}

function reply(id: number, error: string): ConnInfo {
  return { serviceId: id, network: '', address: '', knock: { knock: true, ack: true, error } }
}
