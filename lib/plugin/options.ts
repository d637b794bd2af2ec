import { type BrokerOptions, resolveBrokerOptions } from '../broker/options.js'
import { checkBytes, checkChoice } from '../check.js'
import { PluginError } from '../errors.js'
import type { ServiceBinding } from '../grpc/handler.js'
import { type Wire, checkWires, wires } from '../grpc/wire.js'
import { type Handshake, checkHandshake, resolveVersions } from '../handshake/versions.js'
import { type Logger, checkLogger, silentLogger } from '../log.js'
import { type Engine, engines } from '../mux/engines.js'
import type { Broker } from '../services/broker.js'
import type { Curve } from '../security/certificate.js'
import { checkDuration } from '../signal.js'

/** Makes the plugin's main services, once the host is known. The broker reaches what the host serves. */
export type ServicesFactory = (
  broker: Broker
) => readonly ServiceBinding[] | Promise<readonly ServiceBinding[]>

interface CommonServeOptions extends BrokerOptions {
  /** Cookie and version, the same as the host's. */
  readonly handshake: Handshake
  /** Largest message either way, in bytes. Default 64 MiB. */
  readonly maxMessageBytes?: number
  /** How gRPC sits on the substreams, best first. Default: all that this version knows. */
  readonly wires?: readonly Wire[]
  /** The yamux implementation of this end. Default `native`. */
  readonly muxer?: Engine
  /**
   * What the plugin listens on where its host wants a socket: a unix socket, or a port of 127.0.0.1 from the host's range.
   * Default `unix`; `tcp` on Windows, as go-plugin.
   */
  readonly network?: 'unix' | 'tcp'
  /** Curve of the certificate, where the host asks for mutual TLS. Default `P-521`, as go-plugin. */
  readonly curve?: Curve
  /**
   * On transport `socket`: how long after the end of its host the plugin waits for another one to reattach, in ms, before
   * it ends too. Default 10000. `Infinity`: for ever, as go-plugin.
   */
  readonly orphanTimeoutMs?: number
  /**
   * How long calls in flight may go on once the plugin is asked to end, in ms. Default 1000: the host waits 2000 for
   * the process to leave.
   */
  readonly graceMs?: number
  /**
   * Called when the plugin is about to end, whatever the reason: flush and release here. It has `stopTimeoutMs`; then
   * the process exits, with timers and sockets of its own still open or not.
   */
  readonly onStop?: () => void | Promise<void>
  /** Limit of `onStop`, in ms. Default 500. */
  readonly stopTimeoutMs?: number
  /** Gets what this package does inside the plugin. Default: nothing; see `createPluginLogger`. */
  readonly logger?: Logger
}

/** Either `services`, for the one version in the handshake, or `versions`, a set of services for each. */
export type ServeOptions = CommonServeOptions &
  (
    | { readonly services: ServicesFactory; readonly versions?: never }
    | { readonly versions: Readonly<Record<number, ServicesFactory>>; readonly services?: never }
  )

export interface ResolvedServeOptions extends Required<Omit<CommonServeOptions, 'onStop' | 'curve'>> {
  readonly curve: Curve | undefined
  readonly versions: ReadonlyMap<number, ServicesFactory>
  readonly onStop: () => void | Promise<void>
}

/** Fills in the defaults and checks what the caller gave. @throws `ERR_CONFIG_INVALID`, `ERR_CONFIG_CONFLICT` */
export function resolveServeOptions(options: ServeOptions): ResolvedServeOptions {
  checkHandshake(options.handshake)
  checkLogger(options.logger ?? silentLogger)
  if ((options.services === undefined) === (options.versions === undefined)) {
    throw new PluginError('ERR_CONFIG_CONFLICT', 'serve() takes either services or versions', {
      hint: 'Give services for one protocol version, or versions with a services function for each.'
    })
  }
  return {
    ...resolveBrokerOptions(options),
    handshake: options.handshake,
    versions: resolveVersions(options.handshake, options.services ?? none, options.versions),
    maxMessageBytes: checkBytes('maxMessageBytes', options.maxMessageBytes ?? 64 * 1024 * 1024),
    wires: checkWires(options.wires ?? wires),
    muxer: checkChoice('muxer', options.muxer ?? 'native', engines),
    network: checkChoice('network', options.network ?? defaultNetwork, ['unix', 'tcp'] as const),
    curve: options.curve,
    orphanTimeoutMs: checkDuration('orphanTimeoutMs', options.orphanTimeoutMs ?? 10_000),
    graceMs: checkDuration('graceMs', options.graceMs ?? 1000),
    onStop: options.onStop ?? (() => {}),
    stopTimeoutMs: checkDuration('stopTimeoutMs', options.stopTimeoutMs ?? 500),
    logger: options.logger ?? silentLogger
  }
}

const defaultNetwork = process.platform === 'win32' ? 'tcp' : 'unix'

const none: ServicesFactory = () => []
