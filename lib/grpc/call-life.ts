import { callError } from './status.js'
import { sendable } from './trailer.js'
import { Metadata, Status } from './grpc-js.js'
import type { CallContext } from './handler.js'
import type { MetadataInit } from './service.js'

/** What a handler's call stems from. */
export interface CallSource {
  readonly metadata: Metadata
  /** Milliseconds since the epoch; `Infinity`: none. */
  readonly deadline: number
  readonly peer: string
  sendHeader(header: Metadata): void
}

/**
 * What a handler knows of its call, and how the call came to its end. Most handlers ask for nothing, so all is made when it
 * is asked for.
 *
 * ```
 *   running ──finish()──> finished     what ends the call from now on is no cancellation
 *      └─────cancel()──> cancelled
 * ```
 */
export class CallLife implements CallContext {
  readonly #source: CallSource
  #state: 'running' | 'cancelled' | 'finished' = 'running'
  #controller: AbortController | undefined
  #trailer: Metadata | undefined
  #actions: (() => void)[] | undefined

  constructor(source: CallSource) {
    this.#source = source
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#state === 'cancelled') this.#controller.abort(this.#reason())
    }
    return this.#controller.signal
  }

  get metadata(): Metadata {
    return this.#source.metadata
  }

  get deadline(): number {
    return this.#source.deadline
  }

  get peer(): string {
    return this.#source.peer
  }

  get sendHeader(): (header: MetadataInit) => void {
    return (header) => this.#source.sendHeader(sendable(header))
  }

  get trailer(): Metadata {
    this.#trailer ??= new Metadata()
    return this.#trailer
  }

  /** The trailer, if the handler has asked for it. */
  get ownTrailer(): Metadata | undefined {
    return this.#trailer
  }

  get cancelled(): boolean {
    return this.#state === 'cancelled'
  }

  /** Runs `action` when the call is cancelled, also when it was before. */
  onCancel(action: () => void): void {
    if (this.#state === 'cancelled') action()
    else if (this.#actions === undefined) this.#actions = [action]
    else this.#actions.push(action)
  }

  cancel(): void {
    if (this.#state !== 'running') return
    this.#state = 'cancelled'
    this.#controller?.abort(this.#reason())
    for (const action of this.#actions ?? []) action()
  }

  finish(): void {
    if (this.#state === 'running') this.#state = 'finished'
  }

  #reason(): Error {
    return this.#source.deadline <= Date.now()
      ? callError(Status.DEADLINE_EXCEEDED, 'the deadline has passed')
      : callError(Status.CANCELLED, 'the call was cancelled')
  }
}
