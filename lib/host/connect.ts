import {
  type GoOptions,
  type SocketTransportOptions,
  createMuxTransport,
  createSocketTransport
} from '../broker/socket-transports.js'
import type { Transport } from '../broker/transport.js'
import { type PluginError, isPluginError } from '../errors.js'
import type { CreateMuxer } from '../mux/muxer.js'
import { ping } from '../services/health.js'
import { type SocketAddress, connectSocket } from '../stream/socket.js'
import { type PluginFacts, notConnected } from './errors.js'
import type { ResolvedConnectionOptions } from './options.js'
import type { ConnectedPlugin } from './plugin.js'
import { Status } from '../grpc/grpc-js.js'

/** What it takes to reach a plugin on go-plugin's sockets. */
export interface SocketPlace extends Pick<GoOptions, 'tls'>, Pick<SocketTransportOptions, 'peerGone'> {
  readonly main: SocketAddress
  /** Directory of this side's sockets. */
  readonly dir: string | undefined
  readonly options: Pick<
    ResolvedConnectionOptions,
    'logger' | 'acceptTimeoutMs' | 'maxWaitingDials' | 'socketGroup'
  >
}

/** A transport that begins once somebody gives it the link. */
export type MakeTransport = (link: GoOptions['link']) => Transport

/** A connection for each dial. Nothing is connected yet. */
export function onSockets({ main, tls, peerGone, dir, options }: SocketPlace): MakeTransport {
  const kind = main.network === 'tcp' ? 'tcp' : 'unix'
  return (link) =>
    createSocketTransport({
      ...options,
      link,
      main,
      tls,
      listen: { kind, dir, group: options.socketGroup },
      ...(peerGone === undefined ? {} : { peerGone })
    })
}

/**
 * One connection for all. It is made at once: a plugin of go-plugin waits 5 s for it, and takes no other.
 * @throws `ERR_SOCKET_CONNECT`; the signal's reason
 */
export async function onOneSocket(
  { main, tls, options }: SocketPlace,
  facts: PluginFacts,
  createMuxer: CreateMuxer,
  signal: AbortSignal | undefined
): Promise<MakeTransport> {
  const socket = await connectSocket({ ...main, signal }).catch((error: unknown) => {
    throw isPluginError(error) ? notConnected(facts, describe(main), error) : error
  })
  return (link) => {
    const transport = createMuxTransport('client', { ...options, link, tls })
    transport.start(socket, createMuxer)
    return transport
  }
}

/**
 * Finds out whether the plugin can be called: that its socket takes connections, that TLS works, and that it speaks gRPC.
 * Go's hosts learn that from their first call.
 * @throws `ERR_SOCKET_CONNECT`; `ERR_PROCESS_EXITED` when the plugin has died; the signal's reason
 */
export async function checkConnection(
  { control }: ConnectedPlugin,
  facts: PluginFacts,
  main: SocketAddress,
  limits: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined }
): Promise<void> {
  try {
    const { timeoutMs, signal } = limits
    await ping(control, { timeoutMs, ...(signal === undefined ? {} : { signal }) })
  } catch (error) {
    limits.signal?.throwIfAborted()
    if (!isPluginError(error)) throw error
    if (error.code === 'ERR_PROCESS_EXITED') throw error
    // A plugin without a health service has answered all the same.
    if (isUnreachable(error)) throw notConnected(facts, describe(main), error)
  }
}

function describe({ network, address }: SocketAddress): string {
  return `${network} ${address}`
}

/** Of the plugin's own answers, none has another code than this, and only silence has this status. */
function isUnreachable({ code, status: answered }: PluginError): boolean {
  return code !== 'ERR_CALL_FAILED' || answered === Status.DEADLINE_EXCEEDED
}
