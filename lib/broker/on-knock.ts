import type { Duplex } from 'node:stream'
import { PluginError } from '../errors.js'
import { type Logger, silentLogger } from '../log.js'
import type { Muxer } from '../mux/muxer.js'
import type { TlsSettings } from '../security/certificate.js'
import { createTlsAcceptor, dialTls } from '../security/tls.js'
import type { ConnInfo, ControlLink, Knock } from './control.js'
import { brokerClosed, checkId, idTaken, linkEnded, noMainServer, refused, tooManyDials } from './errors.js'
import { type BrokerOptions, resolveBrokerOptions } from './options.js'
import { timerMs } from '../signal.js'
import { createRendezvous } from './rendezvous.js'
import type { ConnectionListener, Route } from './route.js'

/** The plugin's main server, which is dialled without a knock. */
const mainId = 0

/**
 * How long a knock for an ID that is not accepted yet may wait. go-plugin's diallers give up after 5 s, and a
 * yes that comes later would send the next stream the wrong way (`grpc_broker.go`).
 */
const knockPatienceMs = 4500

/**
 * How long the other dials wait for the answer to one knock. An ID that is accepted is answered for in one
 * round trip, and one that is accepted just after its number was handed out in little more.
 */
const answerPatienceMs = 250

/** How long the next knock waits for the peer to show that it has taken a stream. */
const takenPatienceMs = 1000

/** Streams that may be awaited at once: yamux's accept backlog, beyond which none could be opened. */
const maxGrants = 256

/** IDs whose knocks were given up and may still be answered; beyond it the oldest are forgotten. */
const maxGivenUp = 1024

/** The most of a peer's text that an error shows. */
const maxQuoted = 200

export interface KnockRoute extends Route {
  /** Takes a substream that the peer opened: give this to the muxer as `onSubstream`. */
  receive(substream: Duplex): void
}

export interface KnockRouteOptions extends BrokerOptions {
  /** May be given late, because it wants `receive` when it is made. */
  readonly muxer: () => Pick<Muxer, 'open'>
  /**
   * The link between the two brokers. Asked for in a microtask after the route was made, because it runs over
   * the main server's connection; its messages are read from then on.
   */
  readonly link: () => ControlLink
  /** The main server is the plugin's: only the host dials ID 0, only the plugin accepts it. */
  readonly role: 'host' | 'plugin'
  /** Mutual TLS inside each substream, those of the main server too. Default: none. */
  readonly tls?: TlsSettings | undefined
  readonly logger?: Logger
}

/**
 * Broker IDs on the substreams of one session as go-plugin has them with `GRPCBrokerMultiplex`
 * (`grpc_broker.go`, `internal/grpcmux`). A substream does not say which ID it is for: the dialler knocks
 * first, the acceptor answers and gives the next substream to that ID. A substream without a knock is for the
 * plugin's main server.
 *
 * ```
 * dialler                                    acceptor
 *    │ ── link: knock for N ───────────────────> │  N is accepted, now or within 4.5 s
 *    │                                           │  N joins the IDs that are granted a stream
 *    │ <───────────────── link: yes, for N ───── │
 *    │ ── session: a stream ───────────────────> │  goes to the first ID granted one
 * ```
 *
 * `dial` gives the connection to ID 0 at once, unless a knock is under way, and a promise of all others; it
 * rejects where it gives a promise. It waits `acceptTimeoutMs` for the answer, from its knock on. Besides the
 * errors of {@link Route}, `ERR_BROKER_REFUSED`: the acceptor says no, too many dials wait here, or a plugin
 * dials ID 0 (in a host, `accept` of ID 0 throws it).
 */
export function createKnockRoute(options: KnockRouteOptions): KnockRoute {
  const { muxer, role, tls } = options
  const { acceptTimeoutMs, maxWaitingDials } = resolveBrokerOptions(options)
  const logger = options.logger ?? silentLogger
  /** No knock can be sent or heard any more. */
  let over: { readonly cause: Error | undefined } | undefined
  let closed = false

  const linked = Promise.resolve().then(options.link)
  const half: Half = {
    send: async (info, signal) => (await linked).send(info, { signal }),
    acceptTimeoutMs,
    maxWaitingDials,
    logger
  }
  const dialler = createDialler(half, muxer)
  const acceptor = createAcceptor(half)
  /** Substreams that no knock announced. */
  const main = createRendezvous({
    timeoutMs: timerMs(acceptTimeoutMs),
    maxWaiting: maxWaitingDials,
    admit: (connection) => connection.off('error', ignore),
    refuse: (connection, refusal) => {
      logger.warn({ brokerId: mainId, refusal }, 'a stream for the main server was reset')
      connection.destroy()
    }
  })

  linked.then(hearAll).catch(end)

  async function hearAll(link: ControlLink): Promise<void> {
    void link.closed.then(end)
    try {
      for await (const info of link.infos) hear(info)
    } catch (error) {
      // The link's end has the reason.
      logger.debug({ err: error }, 'the broker hears no more')
    }
  }

  function hear({ serviceId: id, network, knock }: ConnInfo): void {
    if (over !== undefined) return
    if (!knock) logger.warn({ brokerId: id, network }, 'the other side sent a message that is no knock')
    else if (knock.knock && !knock.ack) acceptor.knocked(id)
    else dialler.answered(id, knock)
  }

  function end(cause: Error | undefined): void {
    if (over !== undefined) return
    over = { cause }
    dialler.end(ended)
    acceptor.end()
    linked.then((link) => link.close()).catch(ignore)
  }

  /** A fresh error for each call: who catches it may add to it. */
  function ended(id: number): PluginError {
    return over?.cause === undefined ? brokerClosed(id) : linkEnded(id, over.cause)
  }

  function secured(substream: Duplex): Duplex {
    return tls === undefined ? substream : dialTls(substream, tls)
  }

  async function dialAnnounced(id: number, signal: AbortSignal | undefined): Promise<Duplex> {
    checkId(id)
    signal?.throwIfAborted()
    if (id === mainId) throw noMainServer()
    if (over !== undefined) throw ended(id)
    return dialler.dial(id, secured, signal)
  }

  return {
    accept(id, onConnection) {
      checkId(id)
      if (id === mainId && role === 'host') throw noMainServer()
      const listener: ConnectionListener =
        tls === undefined ? onConnection : createTlsAcceptor(tls, onConnection, logger)
      if (id === mainId) return main.accept(id, listener)
      if (over !== undefined) throw ended(id)
      logger.trace({ brokerId: id }, 'broker ID accepted')
      return { id, ready: Promise.resolve(), close: acceptor.accept(id, listener) }
    },

    dial(id, signal) {
      if (id !== mainId || role === 'plugin') return dialAnnounced(id, signal)
      signal?.throwIfAborted()
      // Not when only the link is over: it may have gone with the main connection that is to be replaced.
      if (closed) throw brokerClosed(id)
      return dialler.dialMain(secured, signal)
    },

    receive(substream) {
      // A substream has no owner until it is handed over: its failure concerns nobody.
      substream.on('error', ignore)
      if (closed) return void substream.destroy()
      const id = acceptor.nextGranted()
      if (id === undefined && role === 'plugin') return main.arrive(mainId, substream)
      const listener = id === undefined ? undefined : acceptor.listener(id)
      if (listener === undefined) {
        if (id === undefined) logger.warn({}, 'a stream that no knock announced was reset')
        else logger.debug({ brokerId: id }, 'a stream for a broker ID that was closed meanwhile was reset')
        substream.destroy()
        return
      }
      substream.off('error', ignore)
      listener(substream)
    },

    get waiting() {
      return dialler.waiting + acceptor.waiting + main.waiting
    },

    close() {
      if (closed) return
      closed = true
      end(undefined)
      acceptor.close()
      main.close()
    }
  }
}

/** What the two halves share. */
interface Half extends Required<BrokerOptions> {
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
function createDialler(half: Half, muxer: () => Pick<Muxer, 'open'>) {
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

/** The accepting half: who knocked early, and which ID the next stream is for. */
function createAcceptor(half: Half) {
  const { send, acceptTimeoutMs, maxWaitingDials, logger } = half
  const accepted = new Map<number, { readonly listener: ConnectionListener }>()
  const early = new Set<Timed>()
  /** First come, first served. */
  const grants = new Set<Timed>()

  function grant(id: number): void {
    if (grants.size >= maxGrants) return deny(id, 'too many streams are awaited')
    // Before the answer, which the stream may follow at once. One that does not come is forgotten: it would
    // shift all that follow.
    const entry = timed(grants, id, acceptTimeoutMs, () => {
      logger.warn({ brokerId: id, ms: acceptTimeoutMs }, 'a stream that a knock announced has not come')
    })
    send(reply(id, '')).catch((err: unknown) => {
      remove(grants, entry)
      logger.debug({ brokerId: id, err }, 'a knock cannot be answered')
    })
  }

  function deny(id: number, error: string): void {
    logger.debug({ brokerId: id, error }, 'dial refused')
    send(reply(id, error)).catch((err: unknown) => {
      logger.debug({ brokerId: id, err }, 'a knock cannot be answered')
    })
  }

  return {
    /** Gives what ends it. */
    accept(id: number, listener: ConnectionListener): () => void {
      if (accepted.has(id)) throw idTaken(id)
      const acceptance = { listener }
      accepted.set(id, acceptance)
      for (const entry of early) {
        if (entry.id !== id) continue
        remove(early, entry)
        grant(id)
      }
      return () => {
        // Safe to repeat, also after somebody else has accepted the ID again.
        if (accepted.get(id) === acceptance) accepted.delete(id)
      }
    },

    knocked(id: number): void {
      if (accepted.has(id)) return grant(id)
      if (early.size >= maxWaitingDials) return deny(id, 'too many dials wait for an accept')
      const ms = Math.min(acceptTimeoutMs, knockPatienceMs)
      timed(early, id, ms, () => deny(id, `not accepted within ${ms} ms`))
    },

    /** Takes the ID that the stream now coming is for; undefined when there was no knock. */
    nextGranted(): number | undefined {
      const [first] = grants
      if (first !== undefined) remove(grants, first)
      return first?.id
    },

    listener: (id: number) => accepted.get(id)?.listener,

    get waiting() {
      return early.size
    },

    /** No knocks come any more; streams may. */
    end(): void {
      for (const entry of early) remove(early, entry)
    },

    close(): void {
      accepted.clear()
      for (const entry of grants) remove(grants, entry)
    }
  }
}

/** Waits in a set until it is removed or its time is up. */
interface Timed {
  readonly id: number
  readonly timer: NodeJS.Timeout
}

function timed(set: Set<Timed>, id: number, ms: number, onLate: () => void): Timed {
  const timer = setTimeout(() => {
    set.delete(entry)
    onLate()
  }, timerMs(ms))
  timer.unref()
  const entry = { id, timer }
  set.add(entry)
  return entry
}

function remove(set: Set<Timed>, entry: Timed): void {
  clearTimeout(entry.timer)
  set.delete(entry)
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

function reply(id: number, error: string): ConnInfo {
  return { serviceId: id, network: '', address: '', knock: { knock: true, ack: true, error } }
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
