import type { Turns } from './turns.js'

/** The ledger's entry of one substream: credit in bytes, and which directions have ended. */
export interface Flow {
  readonly id: number
  /** Bytes that the peer still takes. */
  sendWindow: number
  /** Bytes that the peer may still send. */
  receiveWindow: number
  /** Nothing may be sent although there is credit; `onCredit` tells when that is over. */
  withheld: boolean
  /** FIN was sent, FIN was received. */
  finished: boolean
  peerFinished: boolean
  /** Called when `sendWindow` has grown. */
  onCredit: (() => void) | undefined
}

/**
 * Takes what arrives on one substream: a `Substream`, which makes a Duplex of it, or what needs no node:stream. After
 * `receiveReset`, `lose` and `destroy` nothing more comes, and the receiver has called {@link SubstreamPort.released}.
 */
export interface Receiver {
  /** Bytes of the peer, within its credit. They are a piece of a larger chunk, which whoever keeps them keeps alive. */
  receive(bytes: Buffer): void
  /** The peer's FIN. */
  receiveEnd(): void
  /** The peer has reset the substream. */
  receiveReset(error: Error): void
  /** The session is lost. */
  lose(error: Error): void
  /** Ends the substream from here: the session is aborted, or a time-out has passed. */
  destroy(error?: Error): void
  /** The ACK leaves by itself now; a frame that is sent here carries it instead. */
  acknowledging?(): void
}

/** One substream as its engine has it: what a {@link Receiver} needs of its session. */
export interface SubstreamPort {
  /** Who takes what arrives; may be replaced at any time by another that goes on from there. */
  receiver: Receiver
  readonly flow: Flow
  readonly turns: Turns
  /**
   * Sends one data frame of `length` bytes, with FIN if it is the `last`. True: the bytes are still in use, and must not
   * change until `turns.left` has told.
   */
  send(body: readonly Uint8Array[], length: number, last?: boolean): boolean
  /** Sends FIN. */
  finish(): void
  /** Sends RST, unless both directions have ended or the peer was first. */
  reset(): void
  /** How many bytes have to be consumed before the peer gets credit for them, so that updates are few. */
  readonly creditThresholdBytes: number
  /** Gives the peer credit for bytes that were consumed. */
  grant(bytes: number): void
  /** The substream is gone; called once. */
  released(): void
}
