import type { ChannelInterface, Metadata, StatusObject } from '@grpc/grpc-js'
import type { Encoding } from './compression.js'
import type { PlainUnaryOwner, PlainUnaryRequest } from './direct-unary.js'
import type { Status } from './grpc-js.js'

/**
 * The seam between a channel and its wire: the channel keeps gRPC's rules (deadlines, cancellation, credentials, limits,
 * the order of what a caller is told), the wire moves headers, messages and status over one connection.
 */

/** A call as grpc-js's client uses it. */
export type Call = ReturnType<ChannelInterface['createCall']>
export type AuthContext = NonNullable<ReturnType<Call['getAuthContext']>>
export type MessageContext = Parameters<Call['sendMessageWithContext']>[0]

/** What a wire sends before the first message. */
export interface WireRequest {
  /** `/package.Service/Method` */
  readonly path: string
  readonly authority: string
  /** The `authority`, where the call itself names it. */
  readonly host: string | undefined
  /** The caller's metadata with those of the credentials; the wire may change it. */
  readonly metadata: Metadata
  /** Time left when the request leaves, in milliseconds above 0; `Infinity`: no deadline. */
  readonly timeoutMs: number
  /** How messages may be compressed. */
  readonly encoding: Encoding
  readonly userAgent: string
}

/** What the peer's leading headers say about messages, apart from metadata. */
export interface ResponseEncodings {
  /** Encoding of the response's compressed messages. */
  readonly encoding: string
  /** Encodings the peer reads, or undefined where it did not say. */
  readonly accepted: readonly string[] | undefined
}

/** What a wire tells one call. Nothing is told before {@link WireConnection.open} returned. */
export interface WireCallEvents {
  onMetadata(metadata: Metadata, encodings: ResponseEncodings): void
  onMessage(flag: number, payload: Buffer): void
  /** The peer's status. Messages sent before it may still follow. */
  onStatus(status: StatusObject): void
  /** No message follows. `truncated`: the peer stopped inside one. */
  onEnd(truncated: boolean): void
  /** The call cannot go on, for a reason the peer's status does not give. */
  onFailure(status: StatusObject): void
  /** The message sent with `acknowledge` was accepted below. */
  onSent(): void
}

/** One call on the wire. */
export interface WireCall {
  /**
   * Sends a message; `last` half-closes with it. False: it was not accepted yet, and where `acknowledge` asks for it
   * `onSent` is told when it is.
   */
  send(flag: number, message: Buffer, last: boolean, acknowledge: boolean): boolean
  halfClose(): void
  /** All that was there at first has been sent: what waited to leave with it may go. */
  begun(): void
  /** Stops and restarts reading, so that the peer's flow control holds it back. */
  pause(): void
  resume(): void
  /** The call has its status: reset it unless the peer ended it, drop what still comes. */
  discard(ok: boolean): void
}

/** A call that its channel can end. */
export interface OpenCall {
  /** `/package.Service/Method` */
  readonly path: string
  /** Whether it has not reached the wire: its credentials are still being made. */
  readonly waiting: boolean
  /** The connection is gone. A response that had arrived whole stays readable. */
  connectionLost(reason: Error): void
  cancelWithStatus(code: Status, details: string): void
  /** Tries again to reach the wire, after there was no connection and nothing was said of a loss. */
  proceed(): void
}

/** One connection of a wire; it is never replaced. */
export interface WireConnection {
  /**
   * Sends the request's headers, or gives the status that the call ends with; undefined when the connection has turned
   * out to be lost, and `onLost` been told.
   */
  open(request: WireRequest, events: WireCallEvents): WireCall | StatusObject | undefined
  /** Makes the usual unary call in a shorter way. Not while `mayOpen` is false. */
  unary?(owner: PlainUnaryOwner, request: PlainUnaryRequest): Promise<unknown>
  authContext(): AuthContext
  /** Whether a call may be opened now, or has to wait for `onReady`. */
  readonly mayOpen: boolean
  /** Finds out whether the peer is there, where opening the connection does not. */
  probe?(): void
  /** Ends the connection once its calls are over. */
  close(): void
  /** Ends it now, destroying the byte stream with `reason`. */
  abort(reason: Error): void
}

/** What a connection tells its channel, which it names itself to: a channel may have replaced it. */
export interface WireConnectionEvents {
  /** The peer has spoken: calls reach it. */
  onReady(connection: WireConnection): void
  /** The peer takes no new calls; open ones go on, unless it is `failing`: then the connection is lost in a moment. */
  onDraining(connection: WireConnection, reason: Error, failing: boolean): void
  /** The connection is gone, `cause` where one is known. Told once, and last. */
  onLost(connection: WireConnection, cause: Error | undefined): void
}
