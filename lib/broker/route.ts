import type { Duplex } from 'node:stream'

/** Takes the connections dialled to an accepted broker ID. Each is a byte Duplex that belongs to the callee. */
export type ConnectionListener = (connection: Duplex) => void

/** An accepted broker ID. */
export interface Acceptance {
  readonly id: number
  /** Stops taking connections for the ID; those already taken stay. Safe to repeat. */
  close(): void
}

/**
 * How broker IDs become byte streams between the two processes; one implementation per transport. IDs belong to the
 * side that accepts, so ID 7 accepted here and ID 7 accepted by the peer have nothing to do with each other.
 */
export interface Route {
  /**
   * Takes connections for `id`, including those that dialled before.
   * @throws `ERR_BROKER_ID_TAKEN` when `id` is accepted already; `ERR_BROKER_CLOSED` after `close()`.
   */
  accept(id: number, onConnection: ConnectionListener): Acceptance
  /**
   * Opens a connection to the peer's `id`. It can be written to at once; when the peer refuses it, or nothing accepts
   * the ID in time, it is destroyed with `ERR_BROKER_REFUSED` or `ERR_BROKER_TIMEOUT`.
   * @throws `ERR_BROKER_CLOSED` after `close()`, and what the session throws when it can open nothing more.
   */
  dial(id: number): Duplex
  /** Accepts nothing more and refuses every dial that still waits. Connections stay. Safe to repeat. */
  close(): void
}
