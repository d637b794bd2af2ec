import type { Duplex } from 'node:stream'
import { timerMs } from '../signal.js'
import { brokerClosed, idTaken } from './errors.js'
import type { Refusal } from './preamble.js'
import type { Acceptance, ConnectionListener } from './route.js'

export interface RendezvousOptions {
  /** How long an early dial waits for its accept, in ms. */
  readonly timeoutMs: number
  /** Dials that may wait at once; further ones are refused as `busy`. */
  readonly maxWaiting: number
  /** Hands an accepted dial over: the acceptance's listener gets the connection after this. */
  readonly admit: (connection: Duplex) => void
  /** Turns a dial away. */
  readonly refuse: (connection: Duplex, refusal: Refusal) => void
}

/** Pairs dials with accepts of the same broker ID, whichever comes first. */
export interface Rendezvous {
  /** @throws `ERR_BROKER_ID_TAKEN`, `ERR_BROKER_CLOSED` */
  accept(id: number, onConnection: ConnectionListener): Acceptance
  /** A dial of `id` has come in. */
  arrive(id: number, connection: Duplex): void
  /** Dials waiting now. */
  readonly waiting: number
  /** Refuses what waits and what comes. Safe to repeat. */
  close(): void
}

interface Waiting {
  readonly id: number
  readonly timer: NodeJS.Timeout
  readonly forget: () => void
}

export function createRendezvous(options: RendezvousOptions): Rendezvous {
  const accepted = new Map<number, ConnectionListener>()
  const waiting = new Map<Duplex, Waiting>()
  let closed = false

  function leave(connection: Duplex): void {
    const entry = waiting.get(connection)
    if (entry === undefined) return
    waiting.delete(connection)
    clearTimeout(entry.timer)
    connection.off('close', entry.forget)
  }

  function admit(connection: Duplex, onConnection: ConnectionListener): void {
    options.admit(connection)
    onConnection(connection)
  }

  return {
    accept(id, onConnection) {
      if (closed) throw brokerClosed(id)
      if (accepted.has(id)) throw idTaken(id)
      accepted.set(id, onConnection)
      for (const [connection, entry] of waiting) {
        if (entry.id !== id) continue
        leave(connection)
        admit(connection, onConnection)
      }
      return {
        id,
        ready: Promise.resolve(),
        close() {
          // Safe to repeat, also after somebody else has accepted the ID again.
          if (accepted.get(id) === onConnection) accepted.delete(id)
        }
      }
    },

    arrive(id, connection) {
      const onConnection = accepted.get(id)
      if (onConnection !== undefined) return admit(connection, onConnection)
      if (closed) return options.refuse(connection, 'closed')
      if (waiting.size >= options.maxWaiting) return options.refuse(connection, 'busy')
      const forget = (): void => leave(connection)
      const timer = setTimeout(() => {
        leave(connection)
        options.refuse(connection, 'timeout')
      }, timerMs(options.timeoutMs))
      timer.unref()
      connection.once('close', forget)
      waiting.set(connection, { id, timer, forget })
    },

    get waiting() {
      return waiting.size
    },

    close() {
      closed = true
      accepted.clear()
      for (const connection of waiting.keys()) {
        leave(connection)
        options.refuse(connection, 'closed')
      }
    }
  }
}
