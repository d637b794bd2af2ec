import type { Duplex } from 'node:stream'
import type { Logger } from '../log.js'
import type { Receiver, SubstreamPort } from './port.js'

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
  /**
   * The same without a Duplex: `make` gives what takes the bytes of the substream, and sends by the port that it is given
   * once this has returned.
   */
  openRaw<R extends Receiver>(make: (port: SubstreamPort) => R): R
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
  /**
   * Asks the peer's engine for a sign of life and gives the round trip in milliseconds. Waits at most `timeoutMs`
   * (10 000, as hashicorp/yamux); the session goes on whatever comes of it.
   * @throws `ERR_SESSION_KEEPALIVE` when there is no answer in time, `ERR_SESSION_CLOSED` when the session ends
   */
  ping(options?: { readonly timeoutMs?: number }): Promise<number>
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
  readonly onSubstream?: (substream: Duplex) => void
  /**
   * Gives what takes the bytes of a substream that the peer opens. Default: a Duplex, of which `onSubstream` is told. Must
   * not throw.
   */
  readonly receiverOf?: (port: SubstreamPort) => Receiver
  /**
   * Substreams that may be open at once, counted for each opener. A further one from the peer is reset; a further
   * own one throws `ERR_SESSION_LIMIT`. Default 16,384 on `native`; 1000 on `libp2p`, its own default: its look-up is
   * linear.
   */
  readonly maxSubstreams?: number
  /**
   * How often the peer is pinged, in milliseconds; one that does not answer ends the session with
   * `ERR_SESSION_KEEPALIVE`. Default `Infinity`: never. A stream to a process of the same machine ends with the
   * process, and a plugin that computes for a minute, or stands in a debugger, answers nothing meanwhile. Go's yamux
   * pings every 30 s, which is answered whatever is set here.
   */
  readonly keepAliveIntervalMs?: number
  /** How long a ping of keep-alive may take. Default 10 000. */
  readonly keepAliveTimeoutMs?: number
  /**
   * Engine `native`: own substreams that the peer has not taken yet; the SYN and the bytes of further ones wait until it
   * has taken one. Default 256: what Go's acceptor holds, who resets the next.
   */
  readonly acceptBacklog?: number
  /**
   * Engine `native`: how long the ACK of a peer's substream waits for a frame that takes it along, in whole milliseconds
   * from 0 to 1000; no longer than until 16 wait. Default 20: the answer of most calls comes within less, so that a call
   * costs one frame each way, and an opener gives up after 75 s.
   */
  readonly acknowledgeDelayMs?: number
  /**
   * Engine `native`: an own substream that the peer has not taken for so long, in milliseconds, is destroyed with
   * `ERR_STREAM_TIMEOUT`. Default 75 000, as hashicorp/yamux, which would end the whole session.
   */
  readonly openTimeoutMs?: number
  /**
   * Engine `native`: a substream that was ended here, and on which the peer sends nothing for so long, in
   * milliseconds, is destroyed with `ERR_STREAM_TIMEOUT`. Default `Infinity`: the other direction may be silent for as
   * long as it likes. hashicorp/yamux allows five minutes.
   */
  readonly closeTimeoutMs?: number
  /**
   * Engine `native`: how far a substream's receive window may grow, in bytes. It begins with yamux's 256 KiB and
   * doubles while its reader keeps up and the round trip is what holds the writer up. Default 4 MiB: 80 MB/s
   * over a round trip of 50 ms. A reader that stops may be left with so much unread.
   */
  readonly maxWindowBytes?: number
  readonly logger?: Logger
}

/** Starts an engine on a byte stream. The stream belongs to the session from then on. */
export type CreateMuxer = (stream: Duplex, options: MuxerOptions) => Muxer
