/** go-plugin's message about a broker ID (`plugin.ConnInfo` of its `grpc_broker.proto`). */
export interface ConnInfo {
  /** The broker ID, counted by the side that accepts. */
  readonly serviceId: number
  /** `unix` or `tcp`, and a path or `host:port`: where the ID is to be reached. Both empty in a knock. */
  readonly network: string
  readonly address: string
  /** Multiplexed connections only. */
  readonly knock?: Knock | null
}

/** Announces a stream for the ID, and answers that. */
export interface Knock {
  /** True in question and answer. */
  readonly knock: boolean
  /** True in the answer. */
  readonly ack: boolean
  /** Why the answer is no; empty when it is yes. */
  readonly error: string
}

/**
 * What both sides' brokers tell each other, in order. The broker asks for this much and does not care how it
 * is carried; between processes it is go-plugin's `GRPCBroker.StartStream`.
 */
export interface ControlLink {
  /**
   * Resolves once the message is on its way, for which the other side has to have opened its end. Messages
   * leave in the order of these calls.
   * @throws `ERR_BROKER_CLOSED`, or what `closed` settles with; `ERR_CALL_FAILED` when too many messages
   * wait; the signal's reason, and then it is not sent
   */
  send(info: ConnInfo, options?: { readonly signal?: AbortSignal | undefined }): Promise<void>
  /**
   * What the other side sends, from the first message on; ends when the link is closed. To be iterated once.
   */
  readonly infos: AsyncIterable<ConnInfo>
  /** Ends the link; what has not left yet is rejected. Safe to repeat. */
  close(): void
  /**
   * Settles when the link is over: with the reason, or undefined after `close()` and an orderly end. Never
   * rejects.
   */
  readonly closed: Promise<Error | undefined>
}
