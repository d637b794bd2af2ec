import type { Duplex } from 'node:stream'
import type { PluginError } from '../errors.js'
import { type Logger, silentLogger } from '../log.js'
import type { Muxer } from '../mux/muxer.js'
import type { TlsSettings } from '../security/certificate.js'
import { createTlsAcceptor, dialTls } from '../security/tls.js'
import { timerMs } from '../signal.js'
import type { ConnInfo, ControlLink } from './control.js'
import { brokerClosed, checkId, linkEnded, noMainServer } from './errors.js'
import { createKnockAcceptor } from './knock-acceptor.js'
import { type KnockHalf, createKnockDialler, mainId } from './knock-dialler.js'
import { type BrokerOptions, resolveBrokerOptions } from './options.js'
import { createRendezvous, watchClose } from './rendezvous.js'
import type { ConnectionListener, Route } from './route.js'

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
  const half: KnockHalf = {
    send: async (info, signal) => (await linked).send(info, { signal }),
    acceptTimeoutMs,
    maxWaitingDials,
    logger
  }
  const dialler = createKnockDialler(half, muxer)
  const acceptor = createKnockAcceptor(half)
  /** Substreams that no knock announced. */
  const main = createRendezvous({
    timeoutMs: timerMs(acceptTimeoutMs),
    maxWaiting: maxWaitingDials,
    admit: (connection: Duplex, listener: ConnectionListener) => listener(connection.off('error', ignore)),
    watch: watchClose,
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

function ignore(): void {}
