import { GRPCStdio, StdioData } from '#proto/goplugin/goplugin.js'
import { checkBytes } from '../check.js'
import { isPluginError } from '../errors.js'
import { Status } from '../grpc/grpc-js.js'
import { type ServiceBinding, implement } from '../grpc/handler.js'
import { type Logger, silentLogger } from '../log.js'
import type { Connection } from './broker.js'

/** Which of its two outputs a plugin printed to. */
export type StdioChannel = 'stdout' | 'stderr'

/** Bytes of one block of what waits. */
const blockBytes = 1024

/** Most bytes in one message. go-plugin's plugins send 1024 (`grpc_stdio.go`), and its hosts take any number. */
const messageBytes = 16 * blockBytes

/** What may wait before the writer is asked to pause, in bytes: that many a pipe holds. */
const pauseBytes = 64 * 1024

const { STDOUT, STDERR } = StdioData.Channel
const numbers = { stdout: STDOUT, stderr: STDERR } as const

export interface StdioOutputOptions {
  /**
   * What is kept for a host that does not read, or not as fast, in bytes; the oldest goes first. Default 16 MiB:
   * far more than is printed in one go, and bounded.
   */
  readonly maxBufferedBytes?: number
  /** Told when a writer that was asked to pause may go on. */
  readonly onDrain?: () => void
  /** Told once, when the first output is lost. */
  readonly onDrop?: () => void
}

/**
 * What a plugin prints, on its way to the host. go-plugin's plugins block in their prints while nobody reads;
 * a print of Node cannot wait, so here the oldest output is dropped instead.
 */
export interface StdioOutput {
  /** Takes bytes, which are copied. Never blocks; after `end()` they are lost. False: better wait for `onDrain`. */
  write(channel: StdioChannel, bytes: Uint8Array): boolean
  /**
   * Lets readers go once they have read everything: a call that waits for output would hold up the server's
   * close.
   */
  end(): void
  /** Bytes that nobody will read. */
  readonly dropped: number
  /** Takes what no reader has taken yet, of both channels in the order of printing: for the last words of a process. */
  takeRest(): Buffer
  /**
   * Reads until `end()` or the signal; each message goes to one of the readers there are, and to no other one
   * later. The order within a channel is kept.
   */
  read(signal: AbortSignal): AsyncGenerator<StdioData.Init>
}

interface Block {
  readonly channel: StdioChannel
  readonly bytes: Buffer
  length: number
}

/** @throws `ERR_CONFIG_INVALID` */
export function createStdioOutput(options: StdioOutputOptions = {}): StdioOutput {
  const { maxBufferedBytes = 16 * 1024 * 1024, onDrop = () => {}, onDrain = () => {} } = options
  const maxBlocks = Math.ceil(checkBytes('maxBufferedBytes', maxBufferedBytes) / blockBytes)
  // Blocks of one size, filled up by later writes: many small prints take no more memory than few large ones.
  const blocks: Block[] = []
  const readers = new Set<() => void>()
  let dropped = 0
  let ended = false
  let paused = false

  function tail(channel: StdioChannel): Block {
    const last = blocks.at(-1)
    if (last?.channel === channel && last.length < blockBytes) return last
    if (blocks.length >= maxBlocks) drop()
    const block = { channel, bytes: Buffer.allocUnsafeSlow(blockBytes), length: 0 }
    blocks.push(block)
    return block
  }

  function drop(): void {
    if (dropped === 0) onDrop()
    dropped += blocks.shift()?.length ?? 0
  }

  /** The oldest blocks, as many of one channel as there are and fit into a message. */
  function takeMessage(): StdioData.Init | undefined {
    const [first] = blocks
    if (first === undefined) return undefined
    let count = 1
    while (count < messageBytes / blockBytes && blocks[count]?.channel === first.channel) count += 1
    const data = Buffer.concat(blocks.splice(0, count).map(({ bytes, length }) => bytes.subarray(0, length)))
    if (paused && blocks.length === 0) {
      paused = false
      onDrain()
    }
    return { channel: numbers[first.channel], data }
  }

  function wakeAll(): void {
    for (const wake of readers) wake()
  }

  return {
    write(channel, bytes) {
      if (ended) {
        dropped += bytes.length
        return true
      }
      for (let offset = 0; offset < bytes.length;) {
        const block = tail(channel)
        const piece = bytes.subarray(offset, offset + blockBytes - block.length)
        block.bytes.set(piece, block.length)
        block.length += piece.length
        offset += piece.length
      }
      wakeAll()
      paused ||= blocks.length * blockBytes > pauseBytes
      return !paused
    },

    end() {
      ended = true
      wakeAll()
    },

    get dropped() {
      return dropped
    },

    takeRest() {
      return Buffer.concat(blocks.splice(0).map(({ bytes, length }) => bytes.subarray(0, length)))
    },

    async *read(signal) {
      while (!signal.aborted) {
        const next = takeMessage()
        if (next !== undefined) {
          yield next
        } else if (ended) {
          return
        } else {
          await new Promise<void>((resolve) => {
            const wake = (): void => {
              readers.delete(wake)
              signal.removeEventListener('abort', wake)
              resolve()
            }
            readers.add(wake)
            signal.addEventListener('abort', wake, { once: true })
          })
        }
      }
    }
  }
}

/** Offers go-plugin's `plugin.GRPCStdio`; concurrent callers share what there is, as in go-plugin. */
export function stdioService(output: StdioOutput): ServiceBinding {
  const binding = implement(GRPCStdio, {
    streamStdio: (_request, { signal }) => output.read(signal)
  })
  // A host that listens is no call in flight.
  return { ...binding, background: true }
}

/**
 * Takes what the plugin prints, raw and not by lines. The next message waits for the promise it may return.
 */
export type StdioSink = (channel: StdioChannel, bytes: Uint8Array) => void | Promise<void>

export interface ReadStdioOptions {
  /** Ends the reading. */
  readonly signal?: AbortSignal
  readonly logger?: Logger
}

/**
 * Ends of the call that are no failure: the plugin or this host is going, or the plugin does not offer the
 * service.
 */
const ordinary: ReadonlySet<number | undefined> = new Set([
  Status.UNAVAILABLE,
  Status.UNIMPLEMENTED,
  Status.CANCELLED
])

/**
 * Reads a plugin's output until it ends, which is an ordinary thing: resolves then, also when the plugin does
 * not have the service, when the connection is lost, and when the signal aborts. To be called at once and to
 * the end: a plugin of go-plugin blocks in its prints while nobody reads.
 * @throws what the sink throws, and `ERR_CALL_FAILED` for any other status
 */
export async function readStdio(
  connection: Connection,
  sink: StdioSink,
  options: ReadStdioOptions = {}
): Promise<void> {
  const { signal, logger = silentLogger } = options
  const messages = connection.dispense(GRPCStdio).streamStdio({}, { signal })[Symbol.asyncIterator]()
  for (;;) {
    let next: IteratorResult<StdioData>
    try {
      next = await messages.next()
    } catch (error) {
      const expected = signal?.aborted === true || (isPluginError(error) && ordinary.has(error.status))
      if (!expected) throw error
      logger.debug({ err: error }, "the plugin's output ends")
      return
    }
    if (next.done === true) return
    const { channel, data } = next.value
    if (channel !== STDOUT && channel !== STDERR) {
      logger.warn({ channel }, 'output of an unknown channel was dropped')
    } else if (data.length > 0) {
      try {
        await sink(channel === STDOUT ? 'stdout' : 'stderr', data)
      } catch (error) {
        await messages.return?.()
        throw error
      }
    }
  }
}
