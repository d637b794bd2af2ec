import type { Duplex } from 'node:stream'
import type { Logger } from '../log.js'

/**
 * One yamux session over one byte stream: many substreams, each a byte Duplex with half-close, reset and back
 * pressure. Engines implement this; what runs above sees no difference between them.
 *
 * A substream is a `node:stream` Duplex with `allowHalfOpen`:
 * - `end()` sends FIN after everything written; `'end'` is emitted only after the peer's FIN and all data before it;
 * - `destroy(error?)` before both directions have ended sends RST; afterwards it sends nothing;
 * - the peer's RST destroys it with `ERR_STREAM_RESET`; the loss of the session before the peer's FIN destroys it
 *   with `ERR_SESSION_CLOSED` (or the reason given to {@link Muxer.abort}), after what had arrived was delivered:
 *   never a clean end of a truncated stream;
 * - `write` is acknowledged once its bytes were handed to the session within the peer's window, so a reader that
 *   stops reading stops the writer.
 */
export interface Muxer {
  /**
   * Opens a substream; it may be written to at once, and no round trip is waited for.
   * @throws `ERR_SESSION_CLOSED` after `close()`, `abort()` or loss of the stream; `ERR_SESSION_GOAWAY` once the peer
   * has said that it accepts no more; `ERR_SESSION_LIMIT` when `maxSubstreams` are open.
   */
  open(): Duplex
  /** Whether the session is over: nothing can be opened, and every substream has been told. */
  readonly over: boolean
  /** Settles once the session is over and the stream closed: with the reason, or undefined after an orderly end. Never rejects. */
  readonly closed: Promise<Error | undefined>
  /**
   * Ends the session in order: no new substreams either way (the peer's are reset), live ones finish, then the stream
   * is ended. What is still open after `timeoutMs` is reset. Safe to repeat; resolves once the session is over.
   */
  close(options?: { readonly timeoutMs?: number }): Promise<void>
  /** Ends the session now: every substream is destroyed with `reason`, the stream is destroyed. Safe to repeat. */
  abort(reason: Error): void
  stats(): MuxerStats
}

export interface MuxerStats {
  /** Substreams open now, of both sides. */
  readonly substreams: number
  /** Substreams this end has opened, and has been told of, since the start. */
  readonly opened: number
  readonly accepted: number
}

export interface MuxerOptions {
  /** yamux role: the host is the client (odd stream IDs), the plugin the server (even ones). */
  readonly role: 'client' | 'server'
  /** Told of each substream the peer opens. Must not throw; a substream nobody wants is destroyed by the callee. */
  readonly onSubstream: (substream: Duplex) => void
  /**
   * Substreams that may be open at once, counted for each opener. A further one from the peer is reset; a further
   * own one throws `ERR_SESSION_LIMIT`. Default 1000, the libp2p engine's own default: its look-up is linear.
   */
  readonly maxSubstreams?: number
  readonly logger?: Logger
}

/** Starts an engine on a byte stream. The stream belongs to the session from then on. */
export type CreateMuxer = (stream: Duplex, options: MuxerOptions) => Muxer
