import type { ChannelInterface } from '@grpc/grpc-js'
import type { ControlLink } from '../broker/control.js'
import type { Transport, TransportKind } from '../broker/transport.js'
import { PluginError } from '../errors.js'
import type { Client } from '../grpc/client.js'
import type { ServiceDescriptor } from '../grpc/service.js'
import type { Wire } from '../grpc/wire.js'
import { childLogger } from '../log.js'
import type { MuxerStats } from '../mux/muxer.js'
import type { Exit, ProcessHandle } from '../process/spawn.js'
import { terminate } from '../process/terminate.js'
import { openBrokerStream } from '../services/broker-stream.js'
import { type Broker, type Connection, createBroker } from '../services/broker.js'
import { type PingOptions, healthService, ping } from '../services/health.js'
import { readStdio } from '../services/stdio.js'
import { settlesWithin } from '../signal.js'
import { closePlugin } from './close.js'
import { type PluginFacts, pluginClosed, pluginExited, transportLost } from './errors.js'
import type { ResolvedConnectionOptions } from './options.js'
import type { ReattachConfig } from '../handshake/reattach.js'

/** A running plugin. */
export interface Plugin extends AsyncDisposable {
  readonly name: string
  readonly pid: number
  /** The version of the application's protocol that both ends speak. */
  readonly version: number
  /** How the two processes reach each other. */
  readonly transport: TransportKind
  /** How this side's calls go. On sockets it is `h2`, go-plugin's only one. */
  readonly wire: Wire
  /** Serves services to the plugin, and dials those it serves besides its main ones. */
  readonly broker: Broker
  /** For grpc-js clients of the plugin's main services: pass it as `channelOverride`. */
  readonly channel: ChannelInterface
  /**
   * What another host needs to `attach` to this plugin. Only on transport `socket` without TLS: the others have one
   * connection, and certificates do not leave their processes.
   */
  readonly reattachConfig: ReattachConfig | undefined
  /**
   * A typed client of one of the plugin's main services.
   * @throws `ERR_CONFIG_INVALID` when `versions` was given and the version in use does not have the service
   */
  dispense<S extends ServiceDescriptor>(service: S): Client<S>
  /** Asks the plugin's health service. @throws `ERR_CALL_FAILED` when it is not serving or gone */
  ping(options?: PingOptions): Promise<void>
  /** What its connections are and have been: for dashboards, and for finding leaks. */
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

/** Substreams of the session; on transport `socket`, where there is none, connections. */
export interface SessionStats extends MuxerStats {
  /** Dials that wait for their ID to be accepted. */
  readonly waitingDials: number
}

/** What a plugin that has answered is made of. */
export interface PluginSetup {
  readonly facts: PluginFacts
  readonly process: ProcessHandle
  readonly version: number
  readonly wire: Wire
  /** Makes the transport, which asks for the link a moment later. */
  readonly connect: (link: () => ControlLink) => Transport
  readonly options: ResolvedConnectionOptions
  readonly reattachConfig: ReattachConfig | undefined
  /** Lets go of a plugin that is not this host's to end. Left out: it is ended. */
  readonly detach?: () => void
  /** Releases what belonged to the process, once it has ended. */
  readonly release?: () => void | Promise<void>
}

/** The plugin, and the connection of the host's own calls. */
export interface ConnectedPlugin {
  readonly plugin: Plugin
  readonly control: Connection
}

/** Builds the plugin on its transport: the broker, the main connection, and the way to its end. */
export function createPlugin(setup: PluginSetup): ConnectedPlugin {
  const { facts, process: child, version, options, detach } = setup
  const logger = childLogger(options.logger, { plugin: facts.name, pid: facts.pid })
  const stopping = new AbortController()
  /** Why the host itself ended the connection, once it has. */
  let ended: PluginError | undefined
  let closing: Promise<void> | undefined
  let link: ControlLink

  const transport = setup.connect(() => link)
  const hold = createHold([child, transport])
  const broker = createBroker({
    transport,
    wire: setup.wire,
    peerName: facts.name,
    maxMessageBytes: options.maxMessageBytes,
    onBusy: (busy) => (busy ? hold.take() : hold.release()),
    endReason: () => ended,
    explainLoss,
    logger
  })
  const main = broker.dial(0)
  // Calls of our own, which go on while those of users are drained.
  const control = broker.dial(0)
  if (transport.kind === 'stream') {
    // The host's main server: what the plugin can ping.
    broker.accept(0, [healthService(stopping.signal)])
  } else {
    link = openBrokerStream(control)
    void readOutput()
  }
  logger.debug({ version, transport: transport.kind, wire: setup.wire }, 'using plugin')

  async function readOutput(): Promise<void> {
    try {
      await readStdio(control, (channel, bytes) => facts.log.take(channel, bytes), { logger })
    } catch (error) {
      logger.warn({ err: error }, "the plugin's output is no longer read")
    }
  }

  /** The death of the process explains the loss of the transport, and is seen a little later than it. */
  async function explainLoss(cause: Error | undefined): Promise<Error> {
    if (ended !== undefined) return ended
    if (await settlesWithin(child.exited, 1000)) return ended ?? pluginExited(facts, await child.exited)
    return transportLost(facts, transport.kind, cause)
  }

  const closed = child.exited.then(async (exit) => {
    const crashed = ended === undefined
    // Its last answers may still be on their way.
    await settlesWithin(transport.closed, 1000)
    logger[crashed ? 'warn' : 'debug']({ exitCode: exit.code, signal: exit.signal }, 'plugin exited')
    ended ??= pluginExited(facts, exit)
    cut(ended)
    await transport.closed
    stopping.abort()
    await setup.release?.()
  })

  // A plugin that ends its transport must leave; one that does not is made to. Closing has a ladder of its own.
  void transport.closed.then(async (reason) => {
    if (ended === undefined && reason !== undefined) logger.warn({ err: reason }, 'the connection was lost')
    if (closing !== undefined || detach !== undefined) return
    await terminate(child, {
      exitMs: options.exitTimeoutMs,
      termMs: options.termTimeoutMs,
      onStep: (signal) =>
        logger.warn({ signal }, 'plugin ended its connection but does not leave: sending a signal')
    })
  })

  /** Ends the transport. A process that may not be signalled (sudo) ends with it. */
  function cut(reason: PluginError): void {
    // Calls that are still open end with the reason before the connections below them go.
    broker.abort(reason)
    transport.abort(reason)
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
    const reason = pluginClosed(facts, 'closed')
    const setEnded = (why: PluginError): void => {
      ended ??= why
    }
    await closePlugin({ child, broker, control, options, logger, reason, cut, setEnded, detach })
    await closed
  }

  const versionServices = options.versions.get(version)

  const self: Plugin = {
    name: facts.name,
    pid: facts.pid,
    version,
    transport: transport.kind,
    wire: setup.wire,
    broker,
    channel: main.channel,
    reattachConfig: setup.reattachConfig,
    dispense(service) {
      if (
        versionServices !== undefined &&
        !versionServices.some((known) => known.typeName === service.typeName)
      ) {
        throw new PluginError(
          'ERR_CONFIG_INVALID',
          `version ${version} of plugin ${facts.name} does not have ${service.typeName}`,
          {
            plugin: facts.name,
            hint: `It has: ${versionServices.map((known) => known.typeName).join(', ')}. Look at plugin.version first.`
          }
        )
      }
      return main.dispense(service)
    },
    ping: (pingOptions) => ping(control, pingOptions),
    stats: () => ({ ...transport.stats(), waitingDials: transport.route.waiting }),
    close() {
      closing ??= holding(close())
      return closing
    },
    async kill() {
      ended ??= pluginClosed(facts, 'killed')
      child.kill('SIGKILL', { group: true })
      cut(ended)
      detach?.()
      await holding(closed)
    },
    exited: child.exited,
    closed,
    [Symbol.asyncDispose]: () => self.close()
  }
  return { plugin: self, control }
}

interface Referable {
  ref(): void
  unref(): void
}

/** An idle plugin must not keep the host running; calls in flight, and whoever awaits its end, must. */
function createHold(parts: readonly Referable[]): { take(): void; release(): void } {
  let holders = 0
  for (const part of parts) part.unref()
  return {
    take() {
      holders += 1
      if (holders > 1) return
      for (const part of parts) part.ref()
    },
    release() {
      holders -= 1
      if (holders > 0) return
      for (const part of parts) part.unref()
    }
  }
}
