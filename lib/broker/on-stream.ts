import type { Duplex } from 'node:stream'
import type { PluginError } from '../errors.js'
import { type Logger, silentLogger } from '../log.js'
import type { Muxer } from '../mux/muxer.js'
import { timerMs } from '../signal.js'
import { badAnswer, brokerClosed, checkId, noAnswer, refused } from './errors.js'
import { type BrokerOptions, resolveBrokerOptions } from './options.js'
import {
  type Kind,
  type Refusal,
  answers,
  decodeAnswer,
  decodePreamble,
  encodePreamble,
  preambleBytes
} from './preamble.js'
import { createRendezvous } from './rendezvous.js'
import type { Route } from './route.js'

/** How long a refused substream may linger for its answer to be read before it is reset. */
const refusalMs = 1000

export interface StreamRoute extends Route {
  /** Takes a substream that the peer opened: give this to the muxer as `onSubstream`. */
  receive(substream: Duplex): void
  dial(id: number): Duplex
}

/**
 * Broker IDs on the substreams of one session: a dial opens a substream and names the ID in its preamble, so any
 * number of dials may be under way, in any order.
 * @param muxer may be given late, because it wants `receive` when it is made
 */
export function createStreamRoute(
  muxer: () => Pick<Muxer, 'open'>,
  options: BrokerOptions & { readonly logger?: Logger } = {}
): StreamRoute {
  const { acceptTimeoutMs, maxWaitingDials } = resolveBrokerOptions(options)
  const logger = options.logger ?? silentLogger
  const unnamed = new Set<Duplex>()
  let closed = false

  const rendezvous = createRendezvous({
    timeoutMs: acceptTimeoutMs,
    maxWaiting: maxWaitingDials,
    admit: (connection) => {
      connection.off('error', ignore)
      writeFirst(connection, Buffer.of(answers.accepted))
    },
    refuse
  })

  return {
    accept(id, onConnection) {
      checkId(id)
      const acceptance = rendezvous.accept(id, onConnection)
      logger.trace({ brokerId: id }, 'broker ID accepted')
      return acceptance
    },

    dial(id) {
      checkId(id)
      if (closed) throw brokerClosed(id)
      const kind: Kind = 'h2'
      const substream = muxer().open()
      writeFirst(substream, encodePreamble(kind, id))
      takeAnswer(substream, (byte) => {
        if (byte === undefined) return noAnswer(id)
        const answer = decodeAnswer(byte)
        if (answer === undefined) return badAnswer(id, byte)
        return answer === 'accepted' ? undefined : refused(id, answer, acceptTimeoutMs)
      })
      logger.trace({ brokerId: id }, 'broker ID dialled')
      return substream
    },

    receive(substream) {
      // A substream has no owner until it is accepted: its failure concerns nobody.
      substream.on('error', ignore)
      if (closed) return void substream.destroy()
      if (unnamed.size >= maxWaitingDials) return refuse(substream, 'busy')
      unnamed.add(substream)
      const timer = setTimeout(() => substream.destroy(), timerMs(acceptTimeoutMs))
      timer.unref()
      const settle = (): void => {
        clearTimeout(timer)
        unnamed.delete(substream)
        substream.off('readable', onReadable).off('end', onEnd).off('close', settle)
      }
      // Ended before its preamble was whole.
      const onEnd = (): void => void substream.destroy()
      const onReadable = (): void => {
        // Null until five bytes are there; at the end of the stream, what is left.
        const bytes = substream.read(preambleBytes) as Buffer | null
        if (bytes === null) return
        settle()
        if (bytes.length < preambleBytes) return void substream.destroy()
        const { kind, id } = decodePreamble(bytes)
        if (kind === undefined) return refuse(substream, 'unsupported')
        rendezvous.arrive(id, substream)
      }
      substream.on('readable', onReadable).on('end', onEnd).on('close', settle)
    },

    get waiting() {
      return rendezvous.waiting + unnamed.size
    },

    close() {
      closed = true
      rendezvous.close()
      for (const substream of unnamed) substream.destroy()
    }
  }

  function refuse(substream: Duplex, refusal: Refusal): void {
    logger.debug({ refusal }, 'dial refused')
    substream.end(Buffer.of(answers[refusal]))
    // The dialler hangs up when it has read the answer; one that does not is reset. Nothing it sends is read, so its
    // window stops it.
    const timer = setTimeout(() => substream.destroy(), refusalMs)
    timer.unref()
    substream.once('close', () => clearTimeout(timer))
  }
}

function ignore(): void {}

/** Writes `bytes` so that they leave in one piece with whatever else is written in this tick. */
function writeFirst(substream: Duplex, bytes: Buffer): void {
  substream.cork()
  substream.write(bytes)
  process.nextTick(uncork, substream)
}

function uncork(substream: Duplex): void {
  substream.uncork()
}

/**
 * Takes the first byte off the read side before any consumer sees it. This is done in `push`, for the first chunk
 * only, because the consumer (node:http2) must be attached before the answer is there and must not be made to wait;
 * a wrapping stream would cost every later byte a hop.
 * @param judge says what is wrong with the byte (undefined: the stream ended without one), if anything
 */
function takeAnswer(substream: Duplex, judge: (byte: number | undefined) => PluginError | undefined): void {
  const push = substream.push.bind(substream)
  substream.push = (chunk: Buffer | null, encoding?: BufferEncoding): boolean => {
    // An empty chunk only ends the pending read.
    if (chunk?.length === 0) return push(chunk)
    // The stream's own `push` from here on.
    Reflect.deleteProperty(substream, 'push')
    const error = judge(chunk?.[0])
    if (error === undefined) return push(chunk!.subarray(1), encoding)
    substream.destroy(error)
    return false
  }
}
