import type { Duplex } from 'node:stream'
import { PluginError, isPluginError } from '../errors.js'
import { type Logger, silentLogger } from '../log.js'
import type { TlsSettings } from '../security/certificate.js'
import { createTlsAcceptor, dialTls } from '../security/tls.js'
import { waitFor } from '../signal.js'
import type { SocketAddress, SocketListener } from '../stream/socket.js'
import { createAddressBook } from './address-book.js'
import type { ConnInfo, ControlLink } from './control.js'
import { brokerClosed, checkId, idTaken, linkEnded, noMainServer, refused } from './errors.js'
import { type BrokerOptions, resolveBrokerOptions } from './options.js'
import { createRendezvous, watchClose } from './rendezvous.js'
import type { Acceptance, ConnectionListener, Route } from './route.js'

export interface SocketRouteOptions extends BrokerOptions {
  /**
   * The link to the other side's broker, which the route closes. Asked for in a microtask after creation: the
   * link may be a call on a connection that this route dials.
   */
  readonly link: () => ControlLink
  /**
   * Makes the listener of one broker ID: as the plugin's main one, with the same directory, group and ports.
   */
  readonly listen: (onConnection: ConnectionListener) => Promise<SocketListener>
  /** Connects to a listener, as `connectSocket` does and with its errors. */
  readonly connect: (address: SocketAddress, signal: AbortSignal) => Promise<Duplex>
  /** Where the plugin's main listener is: the host has it, and so dials ID 0. */
  readonly main?: SocketAddress | undefined
  /** TLS for every connection, dialled and accepted, main ones included. Default: none. */
  readonly tls?: TlsSettings | undefined
  /**
   * Addresses of the other side that are kept, one for each of its IDs. Default 65536: as many as it
   * can have sockets for, by the usual limits. Beyond it those dialled already go first.
   */
  readonly maxAddresses?: number
  readonly logger?: Logger
}

/**
 * Broker IDs on sockets, as go-plugin has them without multiplexing (`grpc_broker.go`): the side that accepts
 * listens on a new socket and sends its address; the side that dials connects to it. Only plugins accept ID 0.
 */
export interface SocketRoute extends Route {
  /**
   * Listens for `id` and tells the other side where. `ready` is settled once that is on its way: in a plugin,
   * not before the host has opened the control link. It rejects with what `listen` or the link throws, and
   * with `ERR_BROKER_CLOSED` when either the ID or the route is closed first; then nothing is left behind.
   * @throws `ERR_BROKER_REFUSED` for ID 0 in a host, besides what a {@link Route} throws
   */
  accept(id: number, onConnection: ConnectionListener): Acceptance
  /**
   * Connects to where the other side's `id` is to be reached; waits for the address at most
   * `acceptTimeoutMs`. The last address heard counts, for any number of dials and at any time later. When
   * nobody listens there, the dial waits for another one, within the same time.
   * @throws `ERR_BROKER_TIMEOUT`, with the reason as `cause` when there was an address; `ERR_SOCKET_CONNECT`;
   * `ERR_BROKER_REFUSED` when too many dials wait, and for ID 0 in a plugin; `ERR_BROKER_CLOSED`; the
   * signal's reason
   */
  dial(id: number, signal?: AbortSignal): Promise<Duplex>
  /**
   * Takes a connection that the plugin's main listener accepted: it goes to whoever accepts ID 0. One that
   * comes before waits for that at most `acceptTimeoutMs` and is destroyed then, and so are those above
   * `maxWaitingDials`.
   */
  receive(connection: Duplex): void
  /** Ends the link too. The end of the link ends all of this but ID 0. */
  close(): void
  /** Settles after `close()` or the link's end, once every listener is closed and every file removed. Never rejects. */
  readonly closed: Promise<void>
}

/** A connection that is being made. */
interface Dial {
  readonly id: number
  readonly cancel: AbortController
}

/**
 * Differs from go-plugin where that loses information: addresses do not expire, nor go with their first dial.
 * @throws `ERR_CONFIG_INVALID` for an option out of range
 */
export function createSocketRoute(options: SocketRouteOptions): SocketRoute {
  const { acceptTimeoutMs, maxWaitingDials } = resolveBrokerOptions(options)
  const { listen, connect, main, tls, maxAddresses = 65_536 } = options
  const logger = options.logger ?? silentLogger
  const addresses = createAddressBook({ maxAddresses, maxWaiting: maxWaitingDials })
  const dials = new Set<Dial>()
  /** Accepted IDs, each with what ends it. */
  const accepted = new Map<number, (reason: Error) => void>()
  /** Those that are there and those still being opened. */
  const listeners = new Set<Promise<SocketListener>>()
  const arrivals = createRendezvous({
    timeoutMs: acceptTimeoutMs,
    maxWaiting: maxWaitingDials,
    admit: (connection: Duplex, listener: ConnectionListener) => listener(connection.off('error', ignore)),
    watch: watchClose,
    refuse(connection, refusal) {
      logger.debug({ brokerId: 0, refusal }, 'connection refused')
      connection.destroy()
    }
  })
  /** No address can be sent or heard any more; ID 0 needs none. */
  let ended: { readonly cause: Error | undefined } | undefined
  let isClosed = false
  let settleClosed = (): void => {}
  const closed = new Promise<void>((resolve) => {
    settleClosed = resolve
  })

  const linked = Promise.resolve().then(options.link)
  linked.then(join, end)

  function join(link: ControlLink): void {
    void link.closed.then(end)
    void readInfos(link)
  }

  async function readInfos(link: ControlLink): Promise<void> {
    try {
      for await (const info of link.infos) learn(info)
    } catch (error) {
      // The link's end has the reason.
      logger.debug({ err: error }, 'the broker hears no more')
    }
  }

  function learn({ serviceId: id, network, address, knock }: ConnInfo): void {
    if ((network !== 'unix' && network !== 'tcp') || address === '' || knock) {
      logger.warn({ brokerId: id, network }, 'the other side sent no address for a broker ID')
      return
    }
    logger.trace({ brokerId: id, network }, 'broker ID announced')
    addresses.add(id, { network, address })
  }

  function end(cause: Error | undefined): void {
    if (ended !== undefined) return
    ended = { cause }
    for (const { id, cancel } of dials) if (id !== 0) cancel.abort(over(id))
    for (const [id, withdraw] of accepted) withdraw(over(id))
    linked.then((link) => link.close(), ignore)
    void Promise.all([...listeners].map(closeListener)).then(settleClosed)
  }

  function close(): void {
    if (isClosed) return
    isClosed = true
    end(undefined)
    for (const { cancel } of dials) cancel.abort(brokerClosed(0))
    arrivals.close()
  }

  /** A fresh error for each call: who catches it may add to it. */
  function over(id: number): PluginError {
    return ended?.cause === undefined ? brokerClosed(id) : linkEnded(id, ended.cause)
  }

  async function closeListener(opening: Promise<SocketListener>): Promise<void> {
    try {
      const listener = await opening
      await listener.close()
    } catch {
      // It could not be opened.
    } finally {
      listeners.delete(opening)
    }
  }

  /** What takes the connections of an acceptance until it is closed. */
  function taker(onConnection: ConnectionListener, closing: AbortSignal): ConnectionListener {
    const take = (connection: Duplex): void => {
      // Its TLS handshake may have lasted longer than the acceptance.
      if (closing.aborted) connection.destroy()
      else onConnection(connection)
    }
    return tls === undefined ? take : createTlsAcceptor(tls, take, logger)
  }

  function acceptMain(onConnection: ConnectionListener): Acceptance {
    if (main !== undefined) throw noMainServer()
    const closing = new AbortController()
    const acceptance = arrivals.accept(0, taker(onConnection, closing.signal))
    return {
      ...acceptance,
      close() {
        closing.abort()
        acceptance.close()
      }
    }
  }

  async function announce(id: number, opening: Promise<SocketListener>, closing: AbortSignal): Promise<void> {
    const listener = await opening
    const link = await linked
    closing.throwIfAborted()
    const { network, address } = listener
    await link.send({ serviceId: id, network, address }, { signal: closing })
    logger.trace({ brokerId: id, network }, 'broker ID accepted')
  }

  /** Connects to the address of `id`, and to the next one where nobody listens any more. */
  async function reach(id: number, signal: AbortSignal): Promise<Duplex> {
    const deadline = performance.now() + acceptTimeoutMs
    let nobody: Error | undefined
    for (;;) {
      const place = await addresses.find(id, {
        signal,
        timeoutMs: deadline - performance.now(),
        onTimeout: () =>
          nobody === undefined ? refused(id, 'timeout', acceptTimeoutMs) : noOther(id, nobody)
      })
      try {
        return await connect(place, signal)
      } catch (error) {
        if (!isNobodyThere(error)) throw error
        addresses.remove(id, place)
        if (performance.now() >= deadline) throw noOther(id, error)
        logger.debug({ brokerId: id, err: error }, 'waiting for another address of a broker ID')
        nobody = error
      }
    }
  }

  return {
    accept(id, onConnection) {
      checkId(id)
      if (id === 0) return acceptMain(onConnection)
      if (ended !== undefined) throw over(id)
      if (accepted.has(id)) throw idTaken(id)
      const closing = new AbortController()
      const opening = listen(taker(onConnection, closing.signal))
      const withdraw = (reason: Error): void => {
        // Safe to repeat, also after somebody else has accepted the ID again.
        if (closing.signal.aborted) return
        closing.abort(reason)
        accepted.delete(id)
        void closeListener(opening)
      }
      listeners.add(opening)
      accepted.set(id, withdraw)
      const announced = announce(id, opening, closing.signal)
      const ready = waitFor(announced, { signal: closing.signal }).catch((error: Error) => {
        if (!closing.signal.aborted) {
          logger.warn({ brokerId: id, err: error }, 'a broker ID cannot be offered')
        }
        withdraw(error)
        throw error
      })
      ready.catch(ignore)
      return { id, ready, close: () => withdraw(notOffered(id)) }
    },

    async dial(id, signal) {
      checkId(id)
      signal?.throwIfAborted()
      // The link may have gone with the main connection that is to be replaced, or never have been there.
      if (id === 0 && isClosed) throw brokerClosed(0)
      if (id !== 0 && ended !== undefined) throw over(id)
      const cancel = new AbortController()
      const dial = { id, cancel }
      const onAbort = (): void => cancel.abort(signal?.reason)
      dials.add(dial)
      signal?.addEventListener('abort', onAbort, { once: true })
      try {
        const connection = await (id === 0 ? connect(mainAddress(), cancel.signal) : reach(id, cancel.signal))
        if (cancel.signal.aborted) connection.destroy()
        cancel.signal.throwIfAborted()
        return tls === undefined ? connection : dialTls(connection, tls)
      } finally {
        dials.delete(dial)
        signal?.removeEventListener('abort', onAbort)
      }
    },

    receive(connection) {
      // Until somebody accepts it, its failure concerns nobody.
      connection.on('error', ignore)
      arrivals.arrive(0, connection)
    },

    get waiting() {
      return addresses.waiting + arrivals.waiting
    },

    close,
    closed
  }

  function mainAddress(): SocketAddress {
    if (main === undefined) throw noMainServer()
    return main
  }
}

/** Whether a connect failed because nobody listens at the address any more. */
function isNobodyThere(error: unknown): error is PluginError {
  if (!isPluginError(error, 'ERR_SOCKET_CONNECT')) return false
  const { code } = (error.cause ?? {}) as NodeJS.ErrnoException
  return code === 'ECONNREFUSED' || code === 'ENOENT'
}

function noOther(id: number, cause: Error): PluginError {
  return new PluginError(
    'ERR_BROKER_TIMEOUT',
    `broker ID ${id}: ${cause.message}, and the other side sent no other address in time`,
    {
      id,
      cause,
      hint: 'The other side has closed this service, or has ended: ask it for a service under a fresh ID.'
    }
  )
}

/** What `ready` rejects with when its own acceptance was closed before it was of use. */
function notOffered(id: number): PluginError {
  return new PluginError('ERR_BROKER_CLOSED', `broker ID ${id} was closed before the other side knew of it`, {
    id,
    hint: 'Await `ready` before closing what was accepted, or do not await it.'
  })
}

function ignore(): void {}
