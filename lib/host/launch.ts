import type { ChannelInterface } from '@grpc/grpc-js'
import { createStreamRoute } from '../broker/on-stream.js'
import { PluginError } from '../errors.js'
import type { Client } from '../grpc/client.js'
import type { ServiceDescriptor } from '../grpc/service.js'
import { hostVariables } from '../handshake/env.js'
import { type HandshakeLine, type ParsedLine, parseLine } from '../handshake/line.js'
import { childLogger } from '../log.js'
import { loadEngine } from '../mux/engines.js'
import type { CreateMuxer, MuxerStats } from '../mux/muxer.js'
import { pluginEnvironment } from '../process/environment.js'
import { type ChildProcessHandle, type Exit, spawnProcess } from '../process/spawn.js'
import { type Broker, createBroker } from '../services/broker.js'
import { type PingOptions, healthService, ping } from '../services/health.js'
import { terminate } from '../process/terminate.js'
import { settlesWithin, waitFor } from '../signal.js'
import { type FirstLine, readFirstLine } from '../stream/first-line.js'
import { closePlugin } from './close.js'
import {
  type PluginFacts,
  endedBeforeHandshake,
  exitedBeforeHandshake,
  handshakeTimeout,
  junkInsteadOfHandshake,
  malformedHandshake,
  pluginClosed,
  pluginExited,
  streamLost,
  versionMismatch,
  wrongTransport
} from './errors.js'
import { type LaunchOptions, type ResolvedLaunchOptions, resolveLaunchOptions } from './options.js'
import { capturePluginOutput } from './plugin-log.js'

/** A running plugin. */
export interface Plugin extends AsyncDisposable {
  readonly name: string
  readonly pid: number
  /** The version of the application's protocol that both ends speak. */
  readonly version: number
  /** Serves services to the plugin, and dials those it serves besides its main ones. */
  readonly broker: Broker
  /** For grpc-js clients of the plugin's main services: pass it as `channelOverride`. */
  readonly channel: ChannelInterface
  /**
   * A typed client of one of the plugin's main services.
   * @throws `ERR_CONFIG_INVALID` when `versions` was given and the version in use does not have the service
   */
  dispense<S extends ServiceDescriptor>(service: S): Client<S>
  /** Asks the plugin's health service. @throws `ERR_CALL_FAILED` when it is not serving or gone */
  ping(options?: PingOptions): Promise<void>
  /** What the session carries now and has carried: for dashboards, and for finding leaks. */
  stats(): SessionStats
  /**
   * Ends the plugin in order: refuses new calls, lets calls in flight end (`graceMs`), asks it to shut down, waits for
   * it to leave, then SIGTERM, then SIGKILL to its process group. Safe to repeat: the same promise.
   */
  close(): Promise<void>
  /** Ends the plugin and its process group now, with SIGKILL. Resolves once it is gone. Safe to repeat. */
  kill(): Promise<void>
  /**
   * Settles when the process has ended, however it came to that. Never rejects. Awaiting it does not keep this process
   * running: an idle plugin never does.
   */
  readonly exited: Promise<Exit>
  /** Settles when the process has ended and all that belonged to it is released; otherwise like {@link exited}. */
  readonly closed: Promise<void>
}

export interface SessionStats extends MuxerStats {
  /** Dials of the plugin that wait for the host to accept their ID. */
  readonly waitingDials: number
}

/**
 * Starts a plugin as a child process and connects to it over one stream.
 *
 *     starting --> ready --> closing --> closed
 *        |           |                      ^
 *        v           `----------------------' the process ended, or kill()
 *     failed
 *
 * The plugin does not keep the host's event loop alive while no call is in flight; when the host ends, however it ends,
 * the plugin ends too.
 * @throws `ERR_CONFIG_*` before anything is started; `ERR_PROCESS_SPAWN`, `ERR_PROCESS_EXITED`, `ERR_HANDSHAKE_*` with
 * nothing left behind; the signal's reason
 */
export async function launch(launchOptions: LaunchOptions): Promise<Plugin> {
  const options = resolveLaunchOptions(launchOptions)
  options.signal?.throwIfAborted()
  const [program, ...args] = options.command
  options.logger.debug({ plugin: options.name, path: program, args }, 'starting plugin')
  // The engine loads while the child starts.
  const loading = loadEngine(options.muxer)
  loading.catch(() => {})
  const child = await spawnProcess({
    command: options.command,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: pluginEnvironment({
      from: process.env,
      inherit: options.inheritEnv,
      own: options.env,
      protocol: hostVariables({
        ...options.handshake,
        versions: [...options.versions.keys()],
        stream: options.stream
      })
    }),
    stream: options.stream,
    stdin: options.stdin
  })
  const identity = { plugin: options.name, pid: child.pid }
  const logger = childLogger(options.logger, identity)
  logger.debug({}, 'plugin started')
  const plugin: PluginFacts = { name: options.name, pid: child.pid, log: capturePluginOutput(child, logger) }
  try {
    const line = await handshake(child, plugin, options)
    logger.debug({ stream: line.network, wires: line.wires, version: line.appVersion }, 'handshake')
    const createMuxer = await loading
    options.signal?.throwIfAborted()
    return connect(child, plugin, line, createMuxer, options)
  } catch (error) {
    child.kill('SIGKILL', { group: true })
    child.stream.destroy()
    // A process that may not be signalled (sudo) ends with its stream, if it is a plugin at all.
    await settlesWithin(child.exited, 5000)
    throw error
  }
}

/** Waits for the line and checks all that it says. The process may be left running when this rejects. */
async function handshake(
  child: ChildProcessHandle,
  plugin: PluginFacts,
  options: ResolvedLaunchOptions
): Promise<HandshakeLine> {
  const { startTimeoutMs, signal } = options
  const junk: string[] = []
  const parse = (text: string): ParsedLine | undefined => {
    const parsed = parseLine(text)
    if (parsed === undefined) junk.push(text)
    return parsed
  }
  const settled = new AbortController()
  const reading = readFirstLine(child.stream, { parse, signal: settled.signal })
  // The process may be gone while something it started still holds the stream open.
  const exited = child.exited.then(async (exit) => {
    if (await settlesWithin(reading, 500)) return reading
    throw exitedBeforeHandshake(plugin, exit, junk)
  })
  const elsewhere = plugin.log.otherHandshake.then((line) => {
    throw wrongTransport(
      plugin,
      `answered on stdout with network "${line.network}": it does not know the stream`,
      'It speaks the sockets of go-plugin, which this release does not; use a plugin built with this package.'
    )
  })
  const first: FirstLine<ParsedLine> = await waitFor(Promise.race([reading, exited, elsewhere]), {
    signal,
    timeoutMs: startTimeoutMs,
    onTimeout: () => handshakeTimeout(plugin, startTimeoutMs, junk)
  }).finally(() => settled.abort())
  if (first.junk.length > 0) {
    const lines = first.junk.slice(0, 20)
    const { name, pid } = plugin
    options.logger.debug(
      { plugin: name, pid, lines, count: first.junk.length },
      'skipped before the handshake'
    )
  }
  switch (first.t) {
    case 'line':
      return checkLine(first.value, child, plugin, options)
    case 'overflow':
      throw junkInsteadOfHandshake(plugin, first.junk)
    case 'end': {
      // The end of the stream is seen before the end of the process; a plugin that goes tells why on stderr.
      if (await settlesWithin(child.exited, 2000)) {
        throw exitedBeforeHandshake(plugin, await child.exited, first.junk)
      }
      throw endedBeforeHandshake(plugin, first.junk)
    }
  }
}

async function checkLine(
  parsed: ParsedLine,
  child: ChildProcessHandle,
  plugin: PluginFacts,
  options: ResolvedLaunchOptions
): Promise<HandshakeLine> {
  if ('malformed' in parsed) throw malformedHandshake(plugin, parsed.malformed)
  const line = parsed.ok
  if (line.network !== options.stream) {
    throw wrongTransport(
      plugin,
      `answered with network "${line.network}" where the stream is ${options.stream}`,
      'The plugin speaks another transport, such as the sockets of go-plugin, which this release does not.'
    )
  }
  if (line.protocol !== 'grpc') {
    throw wrongTransport(plugin, `speaks ${line.protocol}, not gRPC`, 'Only gRPC plugins can be launched.')
  }
  if (!options.versions.has(line.appVersion)) {
    // The plugin has said on stderr which versions it knows: let that arrive before the process is stopped.
    child.stream.destroy()
    if (!(await settlesWithin(child.exited, 1000))) child.kill('SIGKILL', { group: true })
    await child.exited
    throw versionMismatch(plugin, [...options.versions.keys()], line)
  }
  if (!options.wires.some((wire) => line.wires.includes(wire))) {
    throw wrongTransport(
      plugin,
      `offers the wires ${line.wires.join(', ') || '(none)'}, the host ${options.wires.join(', ')}`,
      'Update the older of the two ends, or allow more wires in the host.'
    )
  }
  return line
}

/** From the handshake on: the session, the broker, and the plugin object. */
function connect(
  child: ChildProcessHandle,
  plugin: PluginFacts,
  line: HandshakeLine,
  createMuxer: CreateMuxer,
  options: ResolvedLaunchOptions
): Plugin {
  const logger = childLogger(options.logger, { plugin: plugin.name, pid: plugin.pid })
  const stopping = new AbortController()
  const hold = createHold(child)
  /** Why the host itself ended the connection, once it has. */
  let ended: PluginError | undefined
  let closing: Promise<void> | undefined

  const route = createStreamRoute(() => muxer, { ...options, logger })
  const muxer = createMuxer(child.stream, {
    role: 'client',
    onSubstream: (substream) => route.receive(substream),
    logger
  })
  const broker = createBroker({
    route,
    peerName: plugin.name,
    maxMessageBytes: options.maxMessageBytes,
    onBusy: (busy) => (busy ? hold.take() : hold.release()),
    isOver: () => muxer.over,
    explainLoss,
    logger
  })
  // The host's main server: what the plugin can ping.
  broker.accept(0, [healthService(stopping.signal)])
  const main = broker.dial(0)
  // Calls of our own, which go on while those of users are drained. Connects when first used.
  const control = broker.dial(0)
  logger.debug({ version: line.appVersion }, 'using plugin')

  /** The death of the process explains the loss of the stream, and is seen a little later than it. */
  async function explainLoss(cause: Error | undefined): Promise<Error> {
    if (ended !== undefined) return ended
    if (await settlesWithin(child.exited, 1000)) return ended ?? pluginExited(plugin, await child.exited)
    return streamLost(plugin, cause)
  }

  const closed = child.exited.then(async (exit) => {
    const crashed = ended === undefined
    // Its last answers may still be on their way through the stream.
    await settlesWithin(muxer.closed, 1000)
    logger[crashed ? 'warn' : 'debug']({ exitCode: exit.code, signal: exit.signal }, 'plugin exited')
    ended ??= pluginExited(plugin, exit)
    cut(ended)
    await muxer.closed
    stopping.abort()
  })

  // A plugin that ends the stream must leave; one that does not is made to. Closing has a ladder of its own.
  void muxer.closed.then(async (reason) => {
    if (ended === undefined && reason !== undefined) logger.warn({ err: reason }, 'the stream was lost')
    if (closing !== undefined) return
    await terminate(child, {
      exitMs: options.exitTimeoutMs,
      termMs: options.termTimeoutMs,
      onStep: (signal) =>
        logger.warn({ signal }, 'plugin ended the stream but does not leave: sending a signal')
    })
  })

  /** Ends the session. A process that may not be signalled (sudo) ends with it. */
  function cut(reason: PluginError): void {
    // Calls that are still open end with the reason before the substreams below them go.
    broker.abort(reason)
    muxer.abort(reason)
  }

  /** Somebody awaits this: the process must not end for want of anything else to do. */
  async function holding(ending: Promise<void>): Promise<void> {
    hold.take()
    try {
      await ending
    } finally {
      hold.release()
    }
  }

  async function close(): Promise<void> {
    stopping.abort()
    await closePlugin({
      child,
      broker,
      control,
      options,
      logger,
      reason: pluginClosed(plugin, 'closed'),
      cut,
      setEnded: (reason) => {
        ended ??= reason
      }
    })
    await closed
  }

  const versionServices = options.versions.get(line.appVersion)

  const self: Plugin = {
    name: plugin.name,
    pid: plugin.pid,
    version: line.appVersion,
    broker,
    channel: main.channel,
    dispense(service) {
      if (
        versionServices !== undefined &&
        !versionServices.some((known) => known.typeName === service.typeName)
      ) {
        throw new PluginError(
          'ERR_CONFIG_INVALID',
          `version ${line.appVersion} of plugin ${plugin.name} does not have ${service.typeName}`,
          {
            plugin: plugin.name,
            hint: `It has: ${versionServices.map((known) => known.typeName).join(', ')}. Look at plugin.version first.`
          }
        )
      }
      return main.dispense(service)
    },
    ping: (pingOptions) => ping(control, pingOptions),
    stats: () => ({ ...muxer.stats(), waitingDials: route.waiting }),
    close() {
      closing ??= holding(close())
      return closing
    },
    async kill() {
      ended ??= pluginClosed(plugin, 'killed')
      child.kill('SIGKILL', { group: true })
      cut(ended)
      await holding(closed)
    },
    exited: child.exited,
    closed,
    [Symbol.asyncDispose]: () => self.close()
  }
  return self
}

/** An idle plugin must not keep the host running; calls in flight, and whoever awaits its end, must. */
function createHold(child: ChildProcessHandle): { take(): void; release(): void } {
  let holders = 0
  child.unref()
  child.stream.unref()
  return {
    take() {
      holders += 1
      if (holders > 1) return
      child.ref()
      child.stream.ref()
    },
    release() {
      holders -= 1
      if (holders > 0) return
      child.unref()
      child.stream.unref()
    }
  }
}
