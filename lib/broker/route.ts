import type { Duplex } from 'node:stream'

/** Takes the connections dialled to an accepted broker ID. Each is a byte Duplex that belongs to the callee. */
export type ConnectionListener = (connection: Duplex) => void

/** An accepted broker ID. */
export interface Acceptance {
  readonly id: number
  /**
   * Settles once the other side can dial the ID: at once where nothing has to be told or opened. Rejects with what was
   * in the way, and then the ID is free again; nobody has to look.
   */
  readonly ready: Promise<void>
  /** Stops taking connections for the ID; those already taken stay. Safe to repeat. */
  close(): void
}

/**
 * How broker IDs become byte streams between the two processes; one implementation per transport. IDs belong to the
 * side that accepts, so ID 7 accepted here and ID 7 accepted by the peer have nothing to do with each other.
 */
export interface Route {
  /**
   * Takes connections for `id`, including those that dialled before. ID 0 is the plugin's main server.
   * @throws `ERR_BROKER_ID_TAKEN` when `id` is accepted already; `ERR_BROKER_CLOSED` after `close()`.
   */
  accept(id: number, onConnection: ConnectionListener): Acceptance
  /**
   * Opens a connection to the peer's `id`. One that is given at once can be written to at once; when the peer refuses
   * it, or nothing accepts the ID in time, it is destroyed with `ERR_BROKER_REFUSED` or `ERR_BROKER_TIMEOUT`. One that
   * has to be waited for rejects with these, or with the reason of `signal`, which has no effect afterwards.
   * @throws `ERR_BROKER_CLOSED` after `close()`, and what the session throws when it can open nothing more.
   */
  dial(id: number, signal?: AbortSignal): Duplex | Promise<Duplex>
  /** Dials that wait now for their accept, for statistics and tests. */
  readonly waiting: number
  /** Accepts nothing more and refuses every dial that still waits. Connections stay. Safe to repeat. */
  close(): void
}
