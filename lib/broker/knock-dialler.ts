import type { Duplex } from 'node:stream'
import { PluginError } from '../errors.js'
import type { Logger } from '../log.js'
import type { Muxer } from '../mux/muxer.js'
import { timerMs } from '../signal.js'
import type { ConnInfo, Knock } from './control.js'
import { refused, tooManyDials } from './errors.js'
import type { BrokerOptions } from './options.js'

/** The plugin's main server, which is dialled without a knock. */
export const mainId = 0

/**
 * How long the other dials wait for the answer to one knock. An ID that is accepted is answered for in one
 * round trip, and one that is accepted just after its number was handed out in little more.
 */
const answerPatienceMs = 250

/** How long the next knock waits for the peer to show that it has taken a stream. */
const takenPatienceMs = 1000

/** IDs whose knocks were given up and may still be answered; beyond it the oldest are forgotten. */
const maxGivenUp = 1024

/** The most of a peer's text that an error shows. */
const maxQuoted = 200

/** What the two halves share. */
export interface KnockHalf extends Required<BrokerOptions> {
  /** Messages leave in the order of these calls; one that is aborted or rejects has not left. */
  readonly send: (info: ConnInfo, signal?: AbortSignal) => Promise<void>
  readonly logger: Logger
}

interface Dial {
  readonly id: number
  /** These end the wait; one of them is called, once. */
  readonly resolve: (substream: Duplex) => void
  readonly reject: (error: unknown) => void
  /** Takes it off where it waits now. */
  leave: () => void
}

type Secure = (substream: Duplex) => Duplex

/**
 * The dialling half. The order of streams has to be the order of the peer's grants, and go-plugin is easily
 * put off: its host gives the next stream to whichever ID was granted one, its plugin a stream without a
 * grant to the main server. go-plugin's own diallers therefore hold a lock from the knock to the opening of
 * the stream, for the whole 5 s if nobody answers. Here:
 *
 * - A yes is followed by its stream at once, whoever waits: streams come in the order of the answers. Where
 *   the dial was given up the stream is ended at once; without it the grant would take the next stream.
 * - The next knock leaves once the last stream was taken, which its first byte or its end shows (a gRPC
 *   server speaks first, a TLS server answers), or after 1 s. Of two IDs granted a stream in go-plugin's
 *   host, either may get the first.
 * - A knock that is not answered holds up the others for 250 ms only. Its answer may come between another
 *   knock and its stream, but waiting for longer would not rule that out: go-plugin keeps the knock until the
 *   ID is accepted, however late. Its plugin is safe even then, as it grants one ID at a time.
 * - One knock for an ID at a time: go-plugin keeps one and drops the others.
 */
export function createKnockDialler(half: KnockHalf, muxer: () => Pick<Muxer, 'open'>) {
  const { send, acceptTimeoutMs, maxWaitingDials, logger } = half
  const queue = new Set<Dial>()
  /** Whose knocks have left and are not answered. */
  const knocking = new Map<number, Dial>()
  /** Knocks that were given up and may still be answered, by ID. */
  const givenUp = new Map<number, number>()
  /** The knock whose answer everybody waits for. */
  let asking: Dial | undefined
  /** Streams that the peer has not taken yet, by the timer that bounds the wait. */
  const untaken = new Set<NodeJS.Timeout>()
  /** Granted streams that could not be opened. */
  let owed = 0
  let over = false

  /** Lets go ahead whoever can. */
  function proceed(): void {
    for (const dial of queue) {
      if (over || asking !== undefined) return
      if (dial.id === mainId) openFor(dial)
      else if (mayKnock(dial)) knock(dial)
    }
  }

  function mayKnock(dial: Dial): boolean {
    try {
      // They open streams that have to be taken first.
      payDebts()
    } catch (error) {
      dial.reject(error)
      return false
    }
    return untaken.size === 0 && !knocking.has(dial.id)
  }

  function knock(dial: Dial): void {
    const { id } = dial
    const unsent = new AbortController()
    const timer = setTimeout(
      () => giveUp(dial, refused(id, 'timeout', acceptTimeoutMs)),
      timerMs(acceptTimeoutMs)
    )
    const patience = setTimeout(letOthers, answerPatienceMs)
    function letOthers(): void {
      if (asking === dial) asking = undefined
      proceed()
    }
    queue.delete(dial)
    knocking.set(id, dial)
    asking = dial
    dial.leave = () => {
      clearTimeout(timer)
      clearTimeout(patience)
      unsent.abort()
      knocking.delete(id)
      letOthers()
    }
    send(question(id), unsent.signal).catch((error: unknown) => {
      if (knocking.get(id) === dial) dial.reject(error)
      else forget(id)
    })
  }

  /** Ends a dial that may have knocked and may still be answered. */
  function giveUp(dial: Dial, reason: unknown): void {
    if (knocking.get(dial.id) === dial) remember(dial.id)
    dial.reject(reason)
  }

  function remember(id: number): void {
    const count = givenUp.get(id) ?? 0
    const [oldest] = givenUp.keys()
    if (count === 0 && givenUp.size >= maxGivenUp && oldest !== undefined) givenUp.delete(oldest)
    givenUp.set(id, count + 1)
  }

  function forget(id: number): void {
    const count = givenUp.get(id) ?? 0
    if (count > 1) givenUp.set(id, count - 1)
    else givenUp.delete(id)
  }

  function openFor(dial: Dial): void {
    let substream: Duplex
    try {
      payDebts()
      substream = open()
    } catch (error) {
      if (dial.id !== mainId) owed++
      dial.reject(error)
      return
    }
    dial.resolve(substream)
  }

  function payDebts(): void {
    for (; owed > 0; owed--) dismiss(open())
  }

  function open(): Duplex {
    const substream = muxer().open()
    const timer = setTimeout(taken, takenPatienceMs)
    function taken(): void {
      clearTimeout(timer)
      if (untaken.delete(timer)) proceed()
    }
    untaken.add(timer)
    substream.once('close', taken)
    onFirstPush(substream, taken)
    return substream
  }

  /** Both ends of the wait: the first of them counts, and the caller's signal has no effect afterwards. */
  function wait(id: number, secure: Secure, signal: AbortSignal | undefined): Promise<Duplex> {
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        signal?.removeEventListener('abort', onAbort)
        dial.leave()
      }
      const onAbort = (): void => giveUp(dial, signal?.reason)
      const dial: Dial = {
        id,
        leave: () => queue.delete(dial),
        resolve(substream) {
          settle()
          // A muxer may announce a stream a microtask after it was opened, but sends its first bytes at once:
          // TLS on this one must not overtake another that was opened before it.
          resolve(Promise.resolve(substream).then(secure))
        },
        reject(error) {
          settle()
          // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- may be the signal's reason
          reject(error)
        }
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      queue.add(dial)
      proceed()
    })
  }

  return {
    dial(id: number, secure: Secure, signal: AbortSignal | undefined): Promise<Duplex> {
      if (queue.size + knocking.size >= maxWaitingDials) throw tooManyDials(id)
      logger.trace({ brokerId: id }, 'broker ID dialled')
      return wait(id, secure, signal)
    },

    /** A stream that crosses a grant would be taken for the one that was granted. */
    dialMain(secure: Secure, signal: AbortSignal | undefined): Duplex | Promise<Duplex> {
      if (asking !== undefined || owed > 0) return wait(mainId, secure, signal)
      return secure(open())
    },

    answered(id: number, { knock, ack, error }: Knock): void {
      const dial = knocking.get(id)
      const late = givenUp.has(id)
      if (dial === undefined && !late) {
        logger.warn({ brokerId: id }, 'the other side answered a knock that there was not')
      } else if (!knock || !ack) {
        logger.warn({ brokerId: id, knock, ack }, 'the answer to a knock makes no sense')
        if (dial !== undefined) giveUp(dial, badReply(id))
      } else if (error !== '') {
        logger.debug({ brokerId: id }, 'the other side refuses a dial')
        // Nothing was granted, so it does not matter much whose it is: that of the first knock, most likely.
        if (late) forget(id)
        else dial?.reject(denied(id, error))
      } else if (dial !== undefined) {
        // The stream before the next knock, which follows when the dial leaves.
        openFor(dial)
      } else {
        logger.debug({ brokerId: id }, 'a dial that was given up is granted a stream, which is ended')
        forget(id)
        owed++
        try {
          payDebts()
        } catch (err) {
          logger.debug({ brokerId: id, err }, 'a granted stream cannot be opened')
        }
      }
    },

    get waiting() {
      return queue.size + knocking.size
    },

    end(reason: (id: number) => Error): void {
      over = true
      for (const timer of untaken) clearTimeout(timer)
      untaken.clear()
      for (const dial of [...knocking.values(), ...queue]) dial.reject(reason(dial.id))
      givenUp.clear()
    }
  }
}

function ignore(): void {}

/**
 * Tells of the first bytes from the peer, or of its end. `push` is the one place where they are seen and
 * nothing is taken from the consumer, who is not there yet: a listener for `readable` would stop it from
 * flowing later.
 */
function onFirstPush(substream: Duplex, tell: () => void): void {
  const push = substream.push.bind(substream)
  substream.push = (chunk: Buffer | null, encoding?: BufferEncoding): boolean => {
    // The stream's own `push` from here on.
    Reflect.deleteProperty(substream, 'push')
    tell()
    return push(chunk, encoding)
  }
}

/**
 * Ends a stream that nobody wants. Not by a reset: one of a stream just opened may leave alone, without
 * opening it.
 */
function dismiss(substream: Duplex): void {
  substream.on('error', ignore).resume().end()
  const timer = setTimeout(() => substream.destroy(), takenPatienceMs)
  timer.unref()
  substream.once('close', () => clearTimeout(timer))
}

function question(id: number): ConnInfo {
  return { serviceId: id, network: '', address: '', knock: { knock: true, ack: false, error: '' } }
}

function denied(id: number, text: string): PluginError {
  const quoted = JSON.stringify(text.length > maxQuoted ? `${text.slice(0, maxQuoted)}...` : text)
  return new PluginError('ERR_BROKER_REFUSED', `broker ID ${id}: the other side refuses it: ${quoted}`, {
    id,
    hint:
      `Check that the other side serves ID ${id} before or soon after it hands the number out, and that ` +
      'the ID was minted by the side that accepts: each side counts its own IDs.'
  })
}

function badReply(id: number): PluginError {
  return new PluginError('ERR_BROKER_REFUSED', `broker ID ${id}: the answer to its knock makes no sense`, {
    id,
    hint: 'The other end speaks a newer or different protocol: use the same release on both ends.'
  })
}
