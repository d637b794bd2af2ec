import { basename } from 'node:path'
import type { Duplex } from 'node:stream'
import { createStreamRoute } from '../broker/on-stream.js'
import { type ErrorFacts, PluginError, isPluginError } from '../errors.js'
import { cookieProblem } from '../handshake/cookie.js'
import {
  type PluginEnvironment,
  type StreamKind,
  clearEnvironment,
  readEnvironment
} from '../handshake/env.js'
import { formatLine } from '../handshake/line.js'
import { answerVersion } from '../handshake/version.js'
import { loadEngine } from '../mux/engines.js'
import { type Broker, createBroker } from '../services/broker.js'
import { controllerService } from '../services/controller.js'
import { type PingOptions, healthService, ping } from '../services/health.js'
import { settlesWithin } from '../signal.js'
import { openFd } from '../stream/fd.js'
import { openStdio } from '../stream/stdio.js'
import { tolerateLostHost } from './capture-output.js'
import { formatRecord } from './logger.js'
import { type ResolvedServeOptions, type ServeOptions, resolveServeOptions } from './options.js'

/** How long servers may take to close once their calls are over or have had their time, in ms. */
const drainedMs = 100

/** How long the session may take to end in order once everything in it has been closed, in ms. */
const sessionCloseMs = 200

/** A plugin that has been announced to its host. */
export interface ServedPlugin {
  /** The version of the application's protocol that both ends speak. */
  readonly version: number
  /** Serves further services to the host, and dials those the host serves. */
  readonly broker: Broker
  /** Aborted when the plugin begins to end: on Shutdown, SIGTERM, `stop()` and when the host is gone. */
  readonly stopping: AbortSignal
  /** Asks the host's health service. @throws `ERR_CALL_FAILED` when it is gone */
  ping(options?: PingOptions): Promise<void>
  /** Ends the plugin from inside: calls in flight get `graceMs`, then the process exits. Never settles. */
  stop(): Promise<never>
}

/**
 * Makes this process a plugin: checks that a host started it, opens the stream, offers the services and answers the
 * handshake. Resolves once the host can call; from then on the process lives as long as the stream: it exits with code 0
 * after Shutdown, SIGTERM, or within a second of the stream's end, and ignores SIGINT, which is for the host to decide.
 *
 * Started by hand it explains itself on stderr and exits with code 1.
 * @throws `ERR_CONFIG_*`, and what the services function throws
 */
export async function serve(serveOptions: ServeOptions): Promise<ServedPlugin> {
  const options = resolveServeOptions(serveOptions)
  const { handshake, logger } = options
  const environment = readEnvironment(process.env, handshake.cookieKey)
  checkCookie(options, environment)
  clearEnvironment(process.env, handshake.cookieKey)
  tolerateLostHost()

  const loading = loadEngine(options.muxer)
  loading.catch(() => {})
  const { stream, network, address } = openStream(environment)
  const own = [...options.versions.keys()]
  const version = answerVersion(own, environment.versions)
  if (!environment.versions.includes(version)) {
    // The line holds one version only; the host shows its user this list.
    complain('ERR_HANDSHAKE_VERSION', 'no protocol version in common with the host', { versions: own })
  }

  let announced = false
  let ending: Promise<never> | undefined
  const route = createStreamRoute(() => (announced ? session : notYet()), { ...options, logger })
  // Reads from now on, so that a host which is gone is noticed whatever happens below. Nothing is sent before the line,
  // because nothing can be dialled and the host does not know of us.
  const createMuxer = await loading
  const session = createMuxer(stream, {
    role: 'server',
    onSubstream: (substream) => route.receive(substream),
    logger
  })
  const broker = createBroker({
    route,
    peerName: 'host',
    maxMessageBytes: options.maxMessageBytes,
    isOver: () => session.over,
    explainLoss: () => Promise.resolve(hostGone()),
    logger
  })
  const stopping = new AbortController()
  const control = broker.dial(0)
  void session.closed.then((reason) => {
    logger.debug({ err: reason }, 'the stream has ended')
    return stop('the stream has ended')
  })
  process.on('SIGTERM', () => void stop('SIGTERM'))
  process.on('SIGINT', () => logger.debug({}, 'SIGINT is left to the host'))

  try {
    broker.accept(0, [
      ...(await options.versions.get(version)!(broker)),
      healthService(stopping.signal),
      controllerService(() => void stop('the host asked for it'))
    ])
  } catch (error) {
    // A caller that catches this keeps its process, and the host must not wait for it.
    session.abort(hostGone())
    throw error
  }
  stream.write(
    `${formatLine({ appVersion: version, network, address, protocol: 'grpc', wires: options.wires })}\n`
  )
  announced = true
  logger.debug({ version, stream: network }, 'plugin serves')

  function stop(why: string): Promise<never> {
    ending ??= end(why)
    return ending
  }

  async function end(why: string): Promise<never> {
    logger.debug({ why }, 'plugin ends')
    stopping.abort(hostGone())
    if (!session.over) {
      await settlesWithin(broker.drain(hostGone(), control), options.graceMs)
      await broker.closeServers(drainedMs)
    }
    broker.abort(hostGone())
    const stopped = (async () => options.onStop())().catch((error: unknown) => {
      logger.error({ err: error }, 'onStop failed')
    })
    if (!(await settlesWithin(stopped, options.stopTimeoutMs))) {
      logger.warn({ ms: options.stopTimeoutMs }, 'onStop takes too long: leaving without it')
    }
    await session.close({ timeoutMs: sessionCloseMs })
    // Whatever of the plugin's own is still open, the process must not outlive its host.
    process.exit(0)
  }

  return {
    version,
    broker,
    stopping: stopping.signal,
    ping: (pingOptions) => ping(control, pingOptions),
    stop: () => stop('stop() was called')
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

/** The stream in the form the host named, and how the line names it. A plugin that has none cannot go on. */
function openStream({ stream, badStream }: PluginEnvironment): {
  readonly stream: Duplex
  readonly network: StreamKind
  readonly address: string
} {
  try {
    if (stream?.kind === 'fd') return { stream: openFd(stream.fd), network: 'fd', address: String(stream.fd) }
    if (stream?.kind === 'stdio') return { stream: openStdio(), network: 'stdio', address: '-' }
    throw new PluginError(
      'ERR_HANDSHAKE_TRANSPORT',
      badStream === undefined
        ? 'the host offers no stream (PLUGIN_STREAM is not set)'
        : `the host offers a stream that this plugin does not know: ${JSON.stringify(badStream.slice(0, 100))}`,
      {
        hint: 'Launch the plugin with a host built with this package; the sockets of go-plugin are not spoken yet.'
      }
    )
  } catch (error) {
    if (!isPluginError(error)) throw error
    complain(error.code, error.message, error.hint === undefined ? {} : { hint: error.hint })
    process.exit(1)
  }
}

/** Says on stderr, in a form the host understands, why the plugin cannot work with it. */
function complain(
  code: string,
  message: string,
  fields: ErrorFacts & { versions?: readonly number[] } = {}
): void {
  process.stderr.write(formatRecord('error', message, { code, ...fields }))
}

function hostGone(): PluginError {
  return new PluginError('ERR_STREAM_CLOSED', 'the host is gone or has closed the plugin', {
    hint: 'Nothing to do: the plugin ends with its host.'
  })
}

function notYet(): never {
  throw new PluginError('ERR_BROKER_CLOSED', 'the host cannot be called before serve() has resolved', {
    hint: 'Call the host from a handler, or after `await serve(...)`, not while the services are being made.'
  })
}
