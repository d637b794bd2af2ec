import { Duplex } from 'node:stream'
import { PluginError } from '../errors.js'
import { timerMs } from '../signal.js'
import type { Receiver, SubstreamPort } from './port.js'
import type { Writer } from './turns.js'

/**
 * What a substream holds in each direction before it says stop: the size at which node:http2, itself a reader
 * that pauses while it writes, gets through in few steps. It comes on top of the window.
 */
const substreamHighWaterMark = 64 * 1024

/**
 * The largest frame we write: other substreams get their turn in between. Somewhat more than 64 KiB, so that a message of
 * this much loved size is one frame with all that gRPC and HTTP/2 put around it.
 */
export const maxFrameBytes = 72 * 1024

/**
 * How long a reader may still take what has arrived once the session is lost and something waits on the write
 * side. Without a writer it may take its time.
 */
const lingerMs = 1000

/**
 * One yamux substream as a byte Duplex; `Muxer` says how it behaves. It has the members of `net.Socket` that node:http2
 * and node:tls use of theirs.
 */
export class Substream extends Duplex implements Receiver, Writer {
  readonly #port: SubstreamPort
  /** Bytes pushed and not yet credited to the peer. */
  #owedBytes = 0
  /** What is being written: chunks from `#next` on. */
  #queue: Buffer[] = []
  #next = 0
  #queueBytes = 0
  #written: ((error?: Error | null) => void) | undefined
  /** Part of what is being written is still in use below. */
  #inUse = false
  /** Why the substream will be destroyed once what has arrived was read. */
  #failure: Error | undefined
  #linger: NodeJS.Timeout | undefined
  #idle: NodeJS.Timeout | undefined
  #bytesRead = 0
  #bytesWritten = 0
  #onLeft: (() => void) | undefined

  constructor(port: SubstreamPort) {
    super({ allowHalfOpen: true, highWaterMark: substreamHighWaterMark, decodeStrings: true })
    this.#port = port
    port.flow.onCredit = () => this.#drain()
  }

  /** Bytes of payload that have arrived, and that were handed to the session. */
  get bytesRead(): number {
    return this.#bytesRead
  }

  get bytesWritten(): number {
    return this.#bytesWritten
  }

  /** A substream can be written to from the start. */
  get connecting(): boolean {
    return false
  }

  /** As `net.Socket` of a unix socket: a substream has no address of its own. */
  get remoteAddress(): undefined {
    return undefined
  }

  get remoteFamily(): undefined {
    return undefined
  }

  get remotePort(): undefined {
    return undefined
  }

  /** Without effect: nothing is ever held back to be sent with more. */
  setNoDelay(): this {
    return this
  }

  /** Without effect: the session below is what can be kept alive. */
  setKeepAlive(): this {
    return this
  }

  /** Without effect: the stream below holds the process, and whoever owns that decides. */
  ref(): this {
    return this
  }

  unref(): this {
    return this
  }

  /**
   * Emits `'timeout'` whenever nothing was received or sent for `timeoutMs` milliseconds; 0: never, the default. As
   * with `net.Socket` nothing else happens, and the timer holds no process.
   */
  setTimeout(timeoutMs: number, listener?: () => void): this {
    clearTimeout(this.#idle)
    this.#idle = undefined
    if (timeoutMs > 0 && !this.destroyed) {
      this.#idle = setTimeout(() => this.emit('timeout'), timerMs(timeoutMs)).unref()
      if (listener !== undefined) this.once('timeout', listener)
    } else if (listener !== undefined) {
      this.off('timeout', listener)
    }
    return this
  }

  receive(piece: Buffer): void {
    if (this.destroyed) return
    const bytes = own(piece)
    this.#owedBytes += bytes.length
    this.#bytesRead += bytes.length
    this.#idle?.refresh()
    if (this.push(bytes)) this.#credit()
  }

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
    const written = this.#takeWritten()
    this.#port.turns.leave(this)
    setImmediate(() => written?.())
  }

  #credit(): void {
    if (this.#owedBytes < this.#port.creditThresholdBytes || this.#failure !== undefined) return
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

  /** Its turn to write has come. */
  turn(): void {
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
      if (!turns.take(this)) return
      this.#send(Math.min(flow.sendWindow, maxFrameBytes))
    }
    if (this.#inUse) turns.left((this.#onLeft ??= () => this.#left()))
    else this.#takeWritten()?.()
  }

  /** Sends one frame of at most `limit` bytes off the queue. */
  #send(limit: number): void {
    let body = this.#queue
    let length = this.#queueBytes
    if (length > limit || this.#next > 0) {
      body = []
      length = 0
      while (length < limit && this.#next < this.#queue.length) {
        const chunk = this.#queue[this.#next]!
        const part = chunk.length <= limit - length ? chunk : chunk.subarray(0, limit - length)
        if (part === chunk) this.#next++
        else this.#queue[this.#next] = chunk.subarray(part.length)
        body.push(part)
        length += part.length
      }
    }
    this.#queueBytes -= length
    this.#bytesWritten += length
    this.#idle?.refresh()
    if (this.#port.send(body, length)) this.#inUse = true
  }

  #left(): void {
    if (this.#queueBytes === 0) this.#takeWritten()?.()
  }

  /** The callback of what is being written, which is over. */
  #takeWritten(): ((error?: Error | null) => void) | undefined {
    const written = this.#written
    this.#queue = []
    this.#next = 0
    this.#queueBytes = 0
    this.#inUse = false
    this.#written = undefined
    return written
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
    clearTimeout(this.#idle)
    const { flow, turns } = this.#port
    flow.onCredit = undefined
    turns.leave(this)
    this.#port.reset()
    this.#port.released()
    this.#takeWritten()?.(
      error ?? new PluginError('ERR_STREAM_CLOSED', `substream ${flow.id} was destroyed while writing`)
    )
    callback(error)
  }
}

/** Bytes that may be kept: a small slice must not keep the large chunk it came in alive. */
export function own(bytes: Buffer): Buffer {
  return bytes.length * 4 < bytes.buffer.byteLength ? Buffer.from(bytes) : bytes
}
