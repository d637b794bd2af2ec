import type { Duplex } from 'node:stream'
import type { PluginError } from '../errors.js'
import { type Logger, silentLogger } from '../log.js'
import { createExpiry } from '../mux/expiry.js'
import type { Muxer } from '../mux/muxer.js'
import type { Receiver, SubstreamPort } from '../mux/port.js'
import { Substream } from '../mux/substream.js'
import { badAnswer, brokerClosed, checkId, noAnswer, refused } from './errors.js'
import { type BrokerOptions, resolveBrokerOptions } from './options.js'
import {
  type Kind,
  type Refusal,
  answers,
  decodeAnswer,
  decodePreamble,
  encodePreamble,
  preambleBytes,
  writePreamble
} from './preamble.js'
import { createRendezvous } from './rendezvous.js'
import type { CallListener, CallRoute, ConnectionListener, Route } from './route.js'

/** How long a refused substream may linger for its answer to be read before it is reset. */
const refusalMs = 1000

/** IDs of closed services that are remembered, so that who still dials them is told at once. */
const maxEndedIds = 4096

export interface StreamRoute extends Route {
  /** Takes a substream that the peer opened: give this to the muxer as `receiverOf`. */
  receiverOf(port: SubstreamPort): Receiver
  dial(id: number): Duplex
  calls(id: number): CallRoute
}

/**
 * Broker IDs on the substreams of one session: a dial opens a substream and names the ID in its preamble, so any
 * number of dials may be under way, in any order.
 * @param muxer may be given late, because it wants `receiverOf` when it is made
 */
export function createStreamRoute(
  muxer: () => Pick<Muxer, 'open' | 'openRaw' | 'over'>,
  options: BrokerOptions & { readonly logger?: Logger } = {}
): StreamRoute {
  const { acceptTimeoutMs, maxWaitingDials } = resolveBrokerOptions(options)
  const logger = options.logger ?? silentLogger
  let closed = false

  /** Substreams of the peer whose preamble is not whole. */
  const unnamed = new Set<Arrival>()
  const naming = createExpiry<Arrival>(acceptTimeoutMs, (arrival) => arrival.destroy())
  const refusing = createExpiry<Arrival>(refusalMs, (arrival) => arrival.destroy())

  const rendezvous = createRendezvous<Arrival, Listeners>({
    timeoutMs: acceptTimeoutMs,
    maxWaiting: maxWaitingDials,
    maxEnded: maxEndedIds,
    admit: (arrival, listeners) => {
      if (!arrival.admit(listeners)) refuse(arrival, 'unsupported')
    },
    refuse,
    watch: (arrival, forget) => {
      arrival.onGone = forget
      return () => {
        arrival.onGone = undefined
      }
    }
  })

  const gate: Gate = {
    named: (arrival) => {
      unnamed.delete(arrival)
      naming.delete(arrival)
      if (arrival.kind === undefined) refuse(arrival, 'unsupported')
      else rendezvous.arrive(arrival.id, arrival)
    },
    gone: (arrival) => {
      if (unnamed.delete(arrival)) naming.delete(arrival)
      refusing.delete(arrival)
    }
  }

  const calls: Calls = {
    open: (id, make) => {
      if (closed) throw brokerClosed(id)
      return muxer().openRaw(make)
    },
    judge,
    get over() {
      return muxer().over
    }
  }

  return {
    accept(id, onConnection, onCall) {
      checkId(id)
      const acceptance = rendezvous.accept(id, { onConnection, onCall })
      logger.trace({ brokerId: id }, 'broker ID accepted')
      return acceptance
    },

    dial(id) {
      checkId(id)
      if (closed) throw brokerClosed(id)
      const kind: Kind = 'h2'
      const substream = muxer().open()
      writeFirst(substream, encodePreamble(kind, id))
      takeAnswer(substream, (byte) => judge(id, byte))
      logger.trace({ brokerId: id }, 'broker ID dialled')
      return substream
    },

    calls(id) {
      checkId(id)
      return new StreamCallRoute(id, calls)
    },

    receiverOf(port) {
      const arrival = new Arrival(port, gate)
      if (closed) {
        port.receiver = arrival
        arrival.destroy()
      } else if (unnamed.size >= maxWaitingDials) {
        refuse(arrival, 'busy')
      } else {
        unnamed.add(arrival)
        naming.add(arrival)
      }
      return arrival
    },

    get waiting() {
      return rendezvous.waiting + unnamed.size
    },

    close() {
      closed = true
      rendezvous.close()
      for (const arrival of unnamed) arrival.destroy()
    }
  }

  function judge(id: number, byte: number | undefined): PluginError | undefined {
    if (byte === answers.accepted) return undefined
    if (byte === undefined) return noAnswer(id)
    const answer = decodeAnswer(byte)
    if (answer === undefined || answer === 'accepted') return badAnswer(id, byte)
    return refused(id, answer, acceptTimeoutMs)
  }

  function refuse(arrival: Arrival, refusal: Refusal): void {
    logger.debug({ brokerId: arrival.id, refusal }, 'dial refused')
    // The dialler hangs up when it has read the answer; one that does not is reset. Nothing it sends is read, so its
    // window stops it.
    if (arrival.refuse(answers[refusal])) refusing.add(arrival)
  }
}

/** What the calls to all broker IDs have in common. */
interface Calls extends Pick<CallRoute, 'over'> {
  open<R extends Receiver>(id: number, make: (port: SubstreamPort) => R): R
  judge(id: number, answer: number | undefined): PluginError | undefined
}

class StreamCallRoute implements CallRoute {
  readonly #id: number
  readonly #calls: Calls

  constructor(id: number, calls: Calls) {
    this.#id = id
    this.#calls = calls
  }

  writePreamble(head: Buffer): void {
    writePreamble(head, 'direct', this.#id)
  }

  open<R extends Receiver>(make: (port: SubstreamPort) => R): R {
    return this.#calls.open(this.#id, make)
  }

  judge(answer: number | undefined): PluginError | undefined {
    return this.#calls.judge(this.#id, answer)
  }

  get over(): boolean {
    return this.#calls.over
  }
}

const nothing = Buffer.alloc(0)
const leastKeptBytes = 64

interface Listeners {
  readonly onConnection: ConnectionListener
  readonly onCall: CallListener | undefined
}

interface Gate {
  /** The preamble is whole. */
  named(arrival: Arrival): void
  gone(arrival: Arrival): void
}

/**
 * A substream of the peer that nobody has taken: it keeps what arrives, which yamux's window bounds, until it is
 * admitted or refused.
 */
class Arrival implements Receiver {
  readonly #port: SubstreamPort
  readonly #gate: Gate
  kind: Kind | undefined
  id = 0
  /** Told when the peer has gone away. */
  onGone: (() => void) | undefined
  /** What came after the preamble in the same piece, while it is decided on. */
  #rest: Buffer | undefined
  /** What is kept, in the front of a buffer with room for more. */
  #kept = nothing
  #length = 0
  #ended = false
  #state: 'naming' | 'waiting' | 'refused' | 'over' = 'naming'

  constructor(port: SubstreamPort, gate: Gate) {
    this.#port = port
    this.#gate = gate
  }

  receive(piece: Buffer): void {
    if (this.#state === 'waiting') {
      this.#keep(piece)
    } else if (this.#state === 'naming') {
      if (this.#length === 0 && piece.length >= preambleBytes) this.#name(piece)
      else this.#collect(piece)
    }
  }

  /** The preamble comes in pieces. */
  #collect(piece: Buffer): void {
    this.#keep(piece)
    if (this.#length < preambleBytes) return
    const bytes = this.#takeKept()
    this.#name(bytes)
  }

  #name(bytes: Buffer): void {
    const { kind, id } = decodePreamble(bytes)
    this.kind = kind
    this.id = id
    this.#state = 'waiting'
    this.#rest = bytes.length === preambleBytes ? undefined : bytes.subarray(preambleBytes)
    this.#gate.named(this)
    // It is still here, so it waits: a piece of a chunk may be kept for long only as a copy.
    if (this.#rest !== undefined) this.#keep(this.#rest)
    this.#rest = undefined
  }

  /** Copies bytes behind those that are kept. They may come one at a time, so room is made in great steps. */
  #keep(bytes: Buffer): void {
    const length = this.#length + bytes.length
    if (length > this.#kept.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(length, 2 * this.#kept.length, leastKeptBytes))
      larger.set(this.#kept.subarray(0, this.#length))
      this.#kept = larger
    }
    this.#kept.set(bytes, this.#length)
    this.#length = length
  }

  #takeKept(): Buffer {
    const bytes = this.#kept.subarray(0, this.#length)
    this.#kept = nothing
    this.#length = 0
    return bytes
  }

  receiveEnd(): void {
    this.#ended = true
    // Ended before its preamble was whole, or after it was refused.
    if (this.#state !== 'waiting') this.destroy()
  }

  receiveReset(): void {
    this.#release()
  }

  lose(): void {
    this.#release()
  }

  destroy(): void {
    if (this.#state === 'over') return
    this.#port.reset()
    this.#release()
  }

  /** Gives the substream to its listener; false: there is none for its kind. */
  admit({ onConnection, onCall }: Listeners): boolean {
    if (this.kind === 'direct' && onCall === undefined) return false
    this.#state = 'over'
    const port = this.#port
    const bytes = this.#rest ?? this.#takeKept()
    this.#rest = undefined
    if (this.kind === 'direct') {
      port.receiver = onCall!(port)
    } else {
      const substream = new Substream(port)
      port.receiver = substream
      writeFirst(substream, Buffer.of(answers.accepted))
      onConnection(substream)
    }
    const { receiver } = port
    if (bytes.length > 0) receiver.receive(bytes)
    if (this.#ended) receiver.receiveEnd()
    return true
  }

  /** Answers and ends our half. True: the peer has not ended its own. */
  refuse(answer: number): boolean {
    this.#state = 'refused'
    this.#forget()
    this.#port.send([Buffer.of(answer)], 1, true)
    if (!this.#ended) return true
    this.#release()
    return false
  }

  #forget(): void {
    this.#rest = undefined
    this.#takeKept()
  }

  #release(): void {
    if (this.#state === 'over') return
    this.#state = 'over'
    this.#forget()
    this.#gate.gone(this)
    this.onGone?.()
    this.#port.released()
  }
}

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
