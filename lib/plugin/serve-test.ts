import { readEnvironment } from '../handshake/env.js'
import { type ReattachConfig, reattachConfig } from '../handshake/reattach.js'
import { loadEngine } from '../mux/engines.js'
import type { Broker } from '../services/broker.js'
import { type ServeOptions, resolveServeOptions } from './options.js'
import { startServing } from './serve.js'

/** A plugin served inside of another program: of its own test, or under a debugger. */
export interface TestedPlugin extends AsyncDisposable {
  /** For `attach` here or elsewhere, and for Go hosts as their `ReattachConfig`. Plain JSON. */
  readonly reattachConfig: ReattachConfig
  readonly broker: Broker
  /** Aborted when the plugin begins to end: on Shutdown and `stop()`. */
  readonly stopping: AbortSignal
  /** Ends the plugin: calls in flight get `graceMs`. The process goes on. Safe to repeat: the same promise. */
  stop(): Promise<void>
  /** Settles when the plugin has ended. Never rejects. */
  readonly ended: Promise<void>
}

/**
 * Serves a plugin without a host that starts it, on transport `socket`: go-plugin's test mode. No cookie is asked for, no
 * handshake is printed, signals and prints are left alone, and the end of the plugin is not that of the process. With
 * several `versions` the newest is served.
 *
 *     await using plugin = await serveTest({ handshake, services })
 *     const host = await attach(plugin.reattachConfig)
 *
 * @throws `ERR_CONFIG_*`, `ERR_SOCKET_LISTEN`, and what the services function throws
 */
export async function serveTest(serveOptions: ServeOptions): Promise<TestedPlugin> {
  const options = resolveServeOptions(serveOptions)
  const version = Math.max(...options.versions.keys())
  const setup = {
    environment: readEnvironment({}, options.handshake.cookieKey),
    options,
    createMuxer: await loadEngine(options.muxer)
  }
  const { openSocketEndpoint } = await import('./socket-endpoint.js')
  const endpoint = await openSocketEndpoint(setup, () => {})
  const served = startServing(endpoint, version, options)
  await served.offer()
  served.announced()
  const { network, address } = endpoint.line
  const main = { network: network === 'tcp' ? 'tcp' : 'unix', address } as const

  function stop(): Promise<void> {
    served.stop('stop() was called')
    return served.ended
  }

  return {
    reattachConfig: { ...reattachConfig(process.pid, version, main), Test: true },
    broker: served.broker,
    stopping: served.stopping,
    stop,
    ended: served.ended,
    [Symbol.asyncDispose]: stop
  }
}
