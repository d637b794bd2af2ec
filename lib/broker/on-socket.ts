import { PluginError } from '../errors.js'
import { type Logger, silentLogger } from '../log.js'
import { waitFor } from '../signal.js'
import type { SocketAddress, SocketListener } from '../stream/socket.js'
import type { ConnInfo, ControlLink } from './control.js'
import { brokerClosed, checkId, idTaken, refused } from './errors.js'
import { type BrokerOptions, resolveBrokerOptions } from './options.js'
import type { ConnectionListener } from './route.js'

export interface SocketRouteOptions extends BrokerOptions {
  /**
   * Makes the listener of one broker ID: as the plugin's main one, with the same directory, group and ports.
   */
  readonly listen: (onConnection: ConnectionListener) => Promise<SocketListener>
  /** Puts TLS on accepted connections and hands on those that pass. Default: none. */
  readonly secure?: (onConnection: ConnectionListener) => ConnectionListener
  /** How the other side reaches an address of this one, and the other way round. Default: as it is. */
  readonly toPeer?: (address: SocketAddress) => SocketAddress
  readonly fromPeer?: (address: SocketAddress) => SocketAddress
  /**
   * Addresses of the other side that are kept, one for each of its IDs. Default 1024, far above the services
   * a plugin offers at once. Beyond it those dialled already go first.
   */
  readonly maxAddresses?: number
  readonly logger?: Logger
}

/** A broker ID that has a socket of its own. */
export interface SocketAcceptance extends SocketAddress {
  readonly id: number
  /** Takes no more connections and removes the socket's file; connections stay. Safe to repeat. */
  close(): Promise<void>
}

interface WaitOptions {
  readonly signal?: AbortSignal | undefined
}

/**
 * Broker IDs on sockets, as go-plugin has them without multiplexing (`grpc_broker.go`): the side that accepts
 * listens on a new socket and sends its address; the side that dials connects to it.
 */
export interface SocketRoute {
  /**
   * Listens for `id` and tells the other side where. Resolves once that is on its way: in a plugin, not
   * before the host has opened the control link. Connections may come before.
   * @throws `ERR_BROKER_ID_TAKEN`; `ERR_BROKER_CLOSED`; what `listen` throws; the signal's reason. Nothing is
   * left behind
   */
  accept(id: number, onConnection: ConnectionListener, options?: WaitOptions): Promise<SocketAcceptance>
  /**
   * Where the other side's `id` is to be reached; waits for it at most `acceptTimeoutMs`. The last address
   * heard counts, for any number of dials and at any time later.
   * @throws `ERR_BROKER_TIMEOUT`; `ERR_BROKER_REFUSED` when too many dials wait; `ERR_BROKER_CLOSED`; the
   * signal's reason
   */
  dial(id: number, options?: WaitOptions): Promise<SocketAddress>
  /** Nobody listens at `address` any more: the next dial of `id` waits for another one. */
  forget(id: number, address: SocketAddress): void
  /** Dials that wait now. */
  readonly waiting: number
  /** Closes every listener, ends what waits, and the link. Connections stay. Safe to repeat. */
  close(): Promise<void>
}

/**
 * Differs from go-plugin where that loses information: addresses do not expire, nor go with their first dial.
 */
export function createSocketRoute(link: ControlLink, options: SocketRouteOptions): SocketRoute {
  const { acceptTimeoutMs, maxWaitingDials } = resolveBrokerOptions(options)
  const { listen, secure, toPeer = same, fromPeer = same, maxAddresses = 1024 } = options
  const logger = options.logger ?? silentLogger
  const accepted = new Map<number, Promise<SocketListener>>()
  const addresses = createAddressBook(maxAddresses)
  const waiting = new Set<{
    id: number
    resolve: (address: SocketAddress) => void
    reject: (e: Error) => void
  }>()
  let closed: { readonly cause: Error | undefined } | undefined

  void readInfos()
  void link.closed.then(end)

  async function readInfos(): Promise<void> {
    try {
      for await (const info of link.infos) {
        try {
          learn(info)
        } catch (error) {
          logger.warn({ brokerId: info.serviceId, err: error }, 'the address of a broker ID cannot be used')
        }
      }
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
    const place = fromPeer({ network, address })
    addresses.add(id, place)
    for (const dial of waiting) {
      if (dial.id !== id) continue
      waiting.delete(dial)
      dial.resolve(place)
    }
  }

  function end(cause: Error | undefined): void {
    if (closed !== undefined) return
    closed = { cause }
    for (const dial of waiting) dial.reject(over(dial.id))
    waiting.clear()
    for (const opening of accepted.values()) void closeListener(opening)
    link.close()
  }

  async function open(onConnection: ConnectionListener): Promise<SocketListener> {
    return listen(secure === undefined ? onConnection : secure(onConnection))
  }

  /** A fresh error for each call: who catches it may add to it. */
  function over(id: number): PluginError {
    if (closed?.cause === undefined) return brokerClosed(id)
    return new PluginError(
      'ERR_BROKER_CLOSED',
      `broker ID ${id}: the link to the other side's broker has ended`,
      {
        id,
        cause: closed.cause,
        hint: 'The other side has ended, or does not offer plugin.GRPCBroker.'
      }
    )
  }

  return {
    async accept(id, onConnection, { signal } = {}) {
      checkId(id)
      signal?.throwIfAborted()
      if (closed !== undefined) throw over(id)
      if (accepted.has(id)) throw idTaken(id)
      const opening = open(onConnection)
      // Before anything is awaited: two accepts of one ID must not both pass.
      accepted.set(id, opening)
      const leave = (): void => {
        // Safe to repeat, also after somebody else has accepted the ID again.
        if (accepted.get(id) === opening) accepted.delete(id)
      }
      let listener: SocketListener
      try {
        listener = await opening
        if (closed !== undefined) throw over(id)
        const { network, address } = toPeer(listener)
        await link.send({ serviceId: id, network, address }, { signal })
        if (closed !== undefined) throw over(id)
      } catch (error) {
        leave()
        await closeListener(opening)
        throw closed === undefined ? error : over(id)
      }
      const { network, address } = listener
      logger.trace({ brokerId: id, network }, 'broker ID accepted')
      return {
        id,
        network,
        address,
        close() {
          leave()
          return listener.close()
        }
      }
    },

    async dial(id, { signal } = {}) {
      checkId(id)
      signal?.throwIfAborted()
      if (closed !== undefined) throw over(id)
      const known = addresses.use(id)
      if (known !== undefined) return known
      if (waiting.size >= maxWaitingDials) throw tooMany(id)
      let leave = (): void => {}
      const heard = new Promise<SocketAddress>((resolve, reject) => {
        const dial = { id, resolve, reject }
        waiting.add(dial)
        leave = () => waiting.delete(dial)
      })
      try {
        const place = await waitFor(heard, {
          signal,
          timeoutMs: acceptTimeoutMs,
          onTimeout: () => refused(id, 'timeout', acceptTimeoutMs)
        })
        addresses.use(id)
        return place
      } finally {
        leave()
      }
    },

    forget(id, { network, address }) {
      addresses.remove(id, { network, address })
    },

    get waiting() {
      return waiting.size
    },

    async close() {
      end(undefined)
      await Promise.all([...accepted.values()].map(closeListener))
    }
  }
}

/** One that could not be opened needs no closing. */
async function closeListener(opening: Promise<SocketListener>): Promise<void> {
  const listener = await opening.catch(() => undefined)
  await listener?.close()
}

function same(address: SocketAddress): SocketAddress {
  return address
}

/** The last address heard of each ID, oldest first. */
function createAddressBook(max: number) {
  const known = new Map<number, { readonly place: SocketAddress; used: boolean }>()
  return {
    add(id: number, place: SocketAddress): void {
      known.delete(id)
      known.set(id, { place, used: false })
      if (known.size <= max) return
      const [oldest] = known.keys()
      const used = [...known].find(([, entry]) => entry.used)?.[0]
      known.delete(used ?? oldest ?? id)
    },
    use(id: number): SocketAddress | undefined {
      const entry = known.get(id)
      if (entry !== undefined) entry.used = true
      return entry?.place
    },
    remove(id: number, place: SocketAddress): void {
      const entry = known.get(id)
      if (entry?.place.address === place.address && entry.place.network === place.network) known.delete(id)
    }
  }
}

function tooMany(id: number): PluginError {
  return new PluginError('ERR_BROKER_REFUSED', `broker ID ${id}: too many dials wait for their accepts`, {
    id,
    hint: 'Dial an ID once the other side has handed it out, or fewer unaccepted IDs at once.'
  })
}
