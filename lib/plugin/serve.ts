import { basename } from 'node:path'
import { type ErrorFacts, PluginError, isPluginError } from '../errors.js'
import type { ServiceBinding } from '../grpc/handler.js'
import { chooseWire } from '../grpc/wire.js'
import { cookieProblem } from '../handshake/cookie.js'
import { type PluginEnvironment, clearEnvironment, readEnvironment } from '../handshake/env.js'
import { formatLine } from '../handshake/line.js'
import { answerVersion } from '../handshake/version.js'
import type { Logger } from '../log.js'
import { loadEngine } from '../mux/engines.js'
import { type Broker, createBroker } from '../services/broker.js'
import { controllerService } from '../services/controller.js'
import { type PingOptions, healthService, ping } from '../services/health.js'
import { settlesWithin } from '../signal.js'
import { tolerateLostHost, writeLog } from './capture-output.js'
import { type Endpoint, openEndpoint } from './endpoint.js'
import { formatRecord } from './logger.js'
import { type ResolvedServeOptions, type ServeOptions, resolveServeOptions } from './options.js'
import { watchForOrphan } from './orphan.js'

/** How long servers may take to close once their calls are over or have had their time, in ms. */
const drainedMs = 100

/** How long connections may take to end in order once everything on them has been closed, in ms. */
const transportCloseMs = 200

/** A plugin that has been announced to its host. */
export interface ServedPlugin {
  /** The version of the application's protocol that both ends speak. */
  readonly version: number
  /** Serves further services to the host, and dials those the host serves. */
  readonly broker: Broker
  /** Aborted when the plugin begins to end: on Shutdown, SIGTERM, `stop()` and when the host is gone. */
  readonly stopping: AbortSignal
  /**
   * Asks the host's health service.
   * @throws `ERR_CALL_FAILED` when it is gone; `ERR_BROKER_REFUSED` on go-plugin's sockets, where hosts have none
   */
  ping(options?: PingOptions): Promise<void>
  /** Ends the plugin from inside: calls in flight get `graceMs`, then the process exits. Never settles. */
  stop(): Promise<never>
}

/**
 * Makes this process a plugin: checks that a host started it, opens the stream, or a socket for hosts that set none,
 * offers the services and answers the handshake. Resolves once the host can call. From then on the process lives as long
 * as its host: it exits with code 0 after Shutdown, SIGTERM, or within a second of the stream's end, and ignores SIGINT,
 * which is for the host to decide.
 *
 * Started by hand it explains itself on stderr and exits with code 1; so it does when it cannot work with its host.
 * @throws `ERR_CONFIG_*`, and what the services function throws
 */
export async function serve(serveOptions: ServeOptions): Promise<ServedPlugin> {
  const options = resolveServeOptions(serveOptions)
  const { handshake, logger } = options
  const environment = readEnvironment(process.env, handshake.cookieKey)
  checkCookie(options, environment)
  clearEnvironment(process.env, handshake.cookieKey)
  tolerateLostHost()
  warnOfOddities(environment, logger)

  const loading = loadEngine(options.muxer)
  loading.catch(() => {})
  const own = [...options.versions.keys()]
  const version = answerVersion(own, environment.versions)
  if (environment.versions.length > 0 && !environment.versions.includes(version)) {
    // The line holds one version only; the host shows its user this list.
    complain('ERR_HANDSHAKE_VERSION', 'no protocol version in common with the host', { versions: own })
  }
  const endpoint = await openEndpoint({ environment, options, createMuxer: await loading }).catch(refuse)
  const served = startServing(endpoint, version, options)
  process.on('SIGTERM', () => void leave('SIGTERM'))
  void served.ended.then(() => process.exit(0))

  // Before the services are made: a host that ends meanwhile is noticed. One that has ended already cannot be told the line.
  if (endpoint.transport.kind !== 'stream') {
    watchForOrphan(
      () => endpoint.connected,
      options.orphanTimeoutMs,
      () => void leave('the host is gone')
    )
  }

  await served.offer()
  const line = formatLine({ ...endpoint.line, appVersion: version, protocol: 'grpc', wires: options.wires })
  // Before the host can know of this process: its first SIGINT may come right after the line.
  process.on('SIGINT', () => logger.debug({}, 'SIGINT is left to the host'))
  await endpoint.announce(`${line}\n`).catch(() => leave('the host is gone'))
  served.announced()
  logger.debug({ version, transport: endpoint.transport.kind }, 'plugin serves')

  /** Whatever of the plugin's own is still open, the process must not outlive its host. */
  function leave(why: string): Promise<never> {
    served.stop(why)
    return new Promise<never>(() => {})
  }

  const { broker, stopping } = served
  return {
    version,
    broker,
    stopping,
    ping: (pingOptions) => served.ping(pingOptions),
    stop: () => leave('stop() was called')
  }
}

/** A plugin's services on an endpoint. */
export interface Serving {
  readonly broker: Broker
  readonly stopping: AbortSignal
  ping(options?: PingOptions): Promise<void>
  /** Makes the services and offers them. @throws what the services function throws, and then it is all over */
  offer(): Promise<void>
  /** To be told that the host knows where to find the plugin: from then on it can be dialled. */
  announced(): void
  /** Begins the end, once. */
  stop(why: string): void
  /** Settles when everything has been closed. Never rejects. */
  readonly ended: Promise<void>
}

/** Serves one version on an endpoint. Notices from now on when the host goes. */
export function startServing(endpoint: Endpoint, version: number, options: ResolvedServeOptions): Serving {
  const { logger } = options
  const { transport } = endpoint
  const stopping = new AbortController()
  let isAnnounced = false
  let failed = false
  let settle: () => void
  const ended = new Promise<void>((resolve) => {
    settle = resolve
  })
  const broker = createBroker({
    transport,
    wire: chooseWire(options.wires, endpoint.peerWires) ?? 'h2',
    peerName: 'host',
    maxMessageBytes: options.maxMessageBytes,
    mayDial: () => {
      if (!isAnnounced) throw notYet()
    },
    explainLoss: () => Promise.resolve(hostGone()),
    logger
  })
  const control = broker.dial(0)
  void transport.closed.then((reason) => {
    logger.debug({ err: reason }, 'the connection to the host has ended')
    stop('the connection to the host has ended')
  })

  async function offer(): Promise<void> {
    try {
      const services: ServiceBinding[] = [
        ...(await options.versions.get(version)!(broker)),
        healthService(stopping.signal),
        controllerService(() => stop('the host asked for it'))
      ]
      services.push(...endpoint.services(services))
      broker.accept(0, services)
    } catch (error) {
      // A caller that catches this keeps its process, and the host must not wait for it.
      failed = true
      broker.abort(hostGone())
      transport.abort(hostGone())
      throw error
    }
  }

  function stop(why: string): void {
    if (stopping.signal.aborted || failed) return
    logger.debug({ why }, 'plugin ends')
    stopping.abort(hostGone())
    void end().then(settle)
  }

  async function end(): Promise<void> {
    if (!transport.over) {
      await settlesWithin(broker.drain(hostGone(), control), options.graceMs)
      endpoint.end()
      await broker.closeServers(drainedMs)
    }
    broker.abort(hostGone())
    // Handlers learn that nobody waits for them before what they use is taken away.
    await broker.closeServers(drainedMs)
    const stopped = (async () => options.onStop())().catch((error: unknown) => {
      logger.error({ err: error }, 'onStop failed')
    })
    if (!(await settlesWithin(stopped, options.stopTimeoutMs))) {
      logger.warn({ ms: options.stopTimeoutMs }, 'onStop takes too long: leaving without it')
    }
    await transport.close({ timeoutMs: transportCloseMs })
  }

  return {
    broker,
    stopping: stopping.signal,
    ping: (pingOptions) => ping(control, pingOptions),
    offer,
    announced() {
      isAnnounced = true
    },
    stop,
    ended
  }
}

function checkCookie(options: ResolvedServeOptions, environment: PluginEnvironment): void {
  const program = basename(process.argv[1] ?? process.argv0)
  const problem = cookieProblem(options.handshake, environment.cookie, program)
  if (problem === undefined) return
  if (problem.missing) process.stderr.write(problem.text.endsWith('\n') ? problem.text : `${problem.text}\n`)
  else complain(problem.code, problem.text)
  process.exit(1)
}

/** A host's variables that cannot be meant as they are, and without which the plugin can do. */
function warnOfOddities({ badVersions, badMultiplex }: PluginEnvironment, logger: Logger): void {
  if (badVersions.length > 0) {
    const versions = badVersions.slice(0, 10).map((text) => text.slice(0, 50))
    logger.warn({ versions }, 'the host lists protocol versions that are no numbers')
  }
  if (badMultiplex !== undefined) {
    logger.warn({ value: badMultiplex.slice(0, 50) }, 'PLUGIN_MULTIPLEX_GRPC is not a bool: taken for false')
  }
}

/** The plugin cannot work with this host: says so, and ends. */
function refuse(error: unknown): never {
  if (!isPluginError(error)) throw error
  complain(error.code, error.message, error.hint === undefined ? {} : { hint: error.hint })
  process.exit(1)
}

/** Says on stderr, in a form the host understands, why the plugin cannot work with it. */
function complain(
  code: string,
  message: string,
  fields: ErrorFacts & { versions?: readonly number[] } = {}
): void {
  writeLog(formatRecord('error', message, { code, ...fields }))
}

function hostGone(): PluginError {
  return new PluginError('ERR_STREAM_CLOSED', 'the host is gone or has closed the plugin', {
    hint: 'Nothing to do: the plugin ends with its host.'
  })
}

function notYet(): PluginError {
  return new PluginError('ERR_BROKER_CLOSED', 'the host cannot be called before serve() has resolved', {
    hint: 'Call the host from a handler, or after `await serve(...)`, not while the services are being made.'
  })
}
