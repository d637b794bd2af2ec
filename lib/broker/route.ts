import type { Duplex } from 'node:stream'
import type { PluginError } from '../errors.js'
import type { Receiver, SubstreamPort } from '../mux/port.js'

/** Takes the connections dialled to an accepted broker ID. Each is a byte Duplex that belongs to the callee. */
export type ConnectionListener = (connection: Duplex) => void

/**
 * Takes the calls dialled to an accepted broker ID, each on a substream of its own (wire `direct`): gives what receives
 * what comes after the preamble. The first byte it sends has to be the answer `accepted`.
 */
export type CallListener = (port: SubstreamPort) => Receiver

/** Opens calls to a broker ID of the peer, each on a substream of its own (wire `direct`). */
export interface CallRoute {
  /** Writes what each of them begins with over the first `preambleBytes` of `head`. */
  writePreamble(head: Buffer): void
  /**
   * Opens a substream, on which nothing has been sent.
   * @throws what {@link Route.dial} throws
   */
  open<R extends Receiver>(make: (port: SubstreamPort) => R): R
  /** What the acceptor's first byte says: undefined where it has accepted, and so the call goes on. */
  judge(answer: number | undefined): PluginError | undefined
  /** Whether the session is over, and every call has been told. */
  readonly over: boolean
}

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
   * Takes connections for `id`, including those that dialled before, and calls where the transport has any. ID 0 is the
   * plugin's main server.
   * @throws `ERR_BROKER_ID_TAKEN` when `id` is accepted already; `ERR_BROKER_CLOSED` after `close()`.
   */
  accept(id: number, onConnection: ConnectionListener, onCall?: CallListener): Acceptance
  /**
   * Opens a connection to the peer's `id`. One that is given at once can be written to at once; when the peer refuses
   * it, or nothing accepts the ID in time, it is destroyed with `ERR_BROKER_REFUSED` or `ERR_BROKER_TIMEOUT`. One that
   * has to be waited for rejects with these, or with the reason of `signal`, which has no effect afterwards.
   * @throws `ERR_BROKER_CLOSED` after `close()`, and what the session throws when it can open nothing more.
   */
  dial(id: number, signal?: AbortSignal): Duplex | Promise<Duplex>
  /** Only where calls can have substreams of their own. @throws `ERR_CONFIG_INVALID` for a number that is no broker ID */
  calls?(id: number): CallRoute
  /** Dials that wait now for their accept, for statistics and tests. */
  readonly waiting: number
  /** Accepts nothing more and refuses every dial that still waits. Connections stay. Safe to repeat. */
  close(): void
}
