import { Duplex } from 'node:stream'
import { PluginError } from '../errors.js'
import { initialWindowBytes } from './frame.js'
import type { Turns } from './turns.js'

/**
 * What a substream holds in each direction before it says stop: the size at which node:http2, itself a reader
 * that pauses while it writes, gets through in few steps. It comes on top of the window.
 */
const substreamHighWaterMark = 64 * 1024

/** The largest frame we write: other substreams get their turn in between. */
const maxFrameBytes = 64 * 1024

/**
 * Credit is returned when half a window was consumed, as hashicorp/yamux does: two updates a window, not one
 * a frame.
 */
const creditThresholdBytes = initialWindowBytes / 2

/**
 * How long a reader may still take what has arrived once the session is lost and something waits on the write
 * side. Without a writer it may take its time.
 */
const lingerMs = 1000

/** The ledger's entry of one substream: credit in bytes, and which directions have ended. */
export interface Flow {
  readonly id: number
  /** Bytes that the peer still takes. */
  sendWindow: number
  /** Bytes that the peer may still send. */
  receiveWindow: number
  /** The last credit left so little that the library keeps data back until more comes. */
  withheld: boolean
  /** FIN was sent, FIN was received. */
  finished: boolean
  peerFinished: boolean
  /** Called when `sendWindow` has grown. */
  onCredit: (() => void) | undefined
}

/** What a substream needs of its session. */
export interface SubstreamPort {
  readonly flow: Flow
  readonly turns: Turns
  /** Sends one data frame; the bytes may be reused afterwards. */
  send(bytes: Uint8Array): void
  /** Sends FIN. */
  finish(): void
  /** Sends RST, unless both directions have ended or the peer was first. */
  reset(): void
  /** Gives the peer more credit. */
  grant(bytes: number): void
  /** The substream is gone; called once. */
  released(): void
}

/** One yamux substream as a byte Duplex; `Muxer` says how it behaves. */
export class Substream extends Duplex {
  readonly #port: SubstreamPort
  /** Bytes pushed and not yet credited to the peer. */
  #owedBytes = 0
  #queue: Buffer[] = []
  #queueBytes = 0
  #written: ((error?: Error | null) => void) | undefined
  /** Why the substream will be destroyed once what has arrived was read. */
  #failure: Error | undefined
  #linger: NodeJS.Timeout | undefined
  readonly #pump = (): void => this.#drain()

  constructor(port: SubstreamPort) {
    super({ allowHalfOpen: true, highWaterMark: substreamHighWaterMark, decodeStrings: true })
    this.#port = port
    port.flow.onCredit = this.#pump
  }

  /** Bytes from the peer. They are kept as they are: the caller gives them away. */
  receive(bytes: Buffer): void {
    if (this.destroyed) return
    this.#owedBytes += bytes.length
    if (this.push(bytes)) this.#credit()
  }

  /** The peer's FIN. */
  receiveEnd(): void {
    if (!this.destroyed) this.push(null)
  }

  /**
   * The peer has reset the substream: destroys it with `error`. A reader that is reading gets what has
   * arrived, which takes it no longer than this turn of the event loop.
   */
  receiveReset(error: Error): void {
    if (this.#fail(error)) setImmediate(() => this.destroy(error))
  }

  /**
   * The session is lost: destroys the substream with `error`, after what had arrived was read. Does nothing
   * when both directions had ended.
   */
  lose(error: Error): void {
    const { finished, peerFinished } = this.#port.flow
    if (finished && peerFinished) return
    if (!this.#fail(error)) return
    // node:http2 does not read while its write is unfinished, so the write must end for the rest to be read.
    if (this.#written !== undefined) this.#swallow()
  }

  /** Notes the failure. False: nothing is left to be read, and the substream is destroyed. */
  #fail(error: Error): boolean {
    if (this.destroyed) return false
    this.#failure ??= error
    if (this.readableLength > 0) return true
    this.destroy(error)
    return false
  }

  #startLinger(): void {
    this.#linger ??= setTimeout(() => this.destroy(this.#failure), lingerMs)
  }

  /** Drops what was to be written: there is nobody to send it to. The failure itself is told by `destroy`. */
  #swallow(): void {
    this.#startLinger()
    const written = this.#written
    this.#queue = []
    this.#queueBytes = 0
    this.#written = undefined
    this.#port.turns.leave(this.#pump)
    setImmediate(() => written?.())
  }

  #credit(): void {
    if (this.#owedBytes < creditThresholdBytes || this.#failure !== undefined) return
    const bytes = this.#owedBytes
    this.#owedBytes = 0
    if (!this.#port.flow.peerFinished) this.#port.grant(bytes)
  }

  /** Every way of reading comes through here; a failure must not wait for a read that nobody will make. */
  override read(size?: number): unknown {
    const chunk: unknown = super.read(size)
    if (this.#failure !== undefined && this.readableLength === 0) {
      process.nextTick(() => this.destroy(this.#failure))
    }
    return chunk
  }

  override _read(): void {
    this.#credit()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#queue = [chunk]
    this.#queueBytes = chunk.length
    this.#written = callback
    this.#drain()
  }

  override _writev(
    chunks: readonly { readonly chunk: Buffer }[],
    callback: (error?: Error | null) => void
  ): void {
    this.#queue = chunks.map(({ chunk }) => chunk)
    this.#queueBytes = this.#queue.reduce((sum, { length }) => sum + length, 0)
    this.#written = callback
    this.#drain()
  }

  /** Sends as much of the queue as the peer's window, the stream and the other substreams let it. */
  #drain(): void {
    if (this.#written === undefined) return
    if (this.#failure !== undefined) {
      this.#swallow()
      return
    }
    const { flow, turns } = this.#port
    while (this.#queueBytes > 0) {
      if (flow.sendWindow === 0 || flow.withheld) return
      if (!turns.take(this.#pump)) return
      this.#port.send(this.#dequeue(Math.min(flow.sendWindow, maxFrameBytes)))
    }
    const written = this.#written
    this.#queue = []
    this.#written = undefined
    written()
  }

  /** Takes up to `limit` bytes off the queue; many small chunks become one. */
  #dequeue(limit: number): Buffer {
    const parts: Buffer[] = []
    let length = 0
    let taken = 0
    for (const chunk of this.#queue) {
      if (length + chunk.length > limit) {
        const head = chunk.subarray(0, limit - length)
        parts.push(head)
        length = limit
        this.#queue[taken] = chunk.subarray(head.length)
        break
      }
      parts.push(chunk)
      length += chunk.length
      taken++
    }
    this.#queue.splice(0, taken)
    this.#queueBytes -= length
    const [first] = parts
    return parts.length === 1 && first !== undefined ? first : Buffer.concat(parts, length)
  }

  override _final(callback: (error?: Error | null) => void): void {
    if (this.#failure !== undefined) {
      this.#startLinger()
      return
    }
    this.#port.finish()
    callback()
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    clearTimeout(this.#linger)
    const { flow, turns } = this.#port
    flow.onCredit = undefined
    turns.leave(this.#pump)
    this.#port.reset()
    this.#port.released()
    const written = this.#written
    this.#queue = []
    this.#queueBytes = 0
    this.#written = undefined
    written?.(
      error ?? new PluginError('ERR_STREAM_CLOSED', `substream ${flow.id} was destroyed while writing`)
    )
    callback(error)
  }
}
