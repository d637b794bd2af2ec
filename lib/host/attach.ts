import { PluginError } from '../errors.js'
import type { ServiceDescriptor } from '../grpc/service.js'
import { attachProcess } from '../process/attach.js'
import { checkConnection, onSockets } from './connect.js'
import { checkDuration } from '../signal.js'
import type { PluginFacts } from './errors.js'
import { type ConnectionOptions, resolveConnectionOptions } from './options.js'
import { type Plugin, createPlugin } from './plugin.js'
import { detachedLog } from './plugin-log.js'
import { type ReattachConfig, readReattachConfig } from '../handshake/reattach.js'

export interface AttachOptions extends ConnectionOptions {
  /** The services of the version in the config: then `dispense` refuses others. Default: not checked. */
  readonly services?: readonly ServiceDescriptor[]
  /** Cancels the attempt. No effect afterwards. */
  readonly signal?: AbortSignal
  /** How long the plugin may take to answer, in ms. Default 5000: it runs already. */
  readonly connectTimeoutMs?: number
}

/**
 * Connects to a plugin that runs already: one of another host (`plugin.reattachConfig`, or go-plugin's
 * `ReattachConfig`), or one served by a test or under a debugger (`serveTest`, go-plugin's test mode). It has to be on
 * go-plugin's `socket` transport, without TLS.
 *
 * Nothing is checked but that it answers: there is no handshake. `close()` ends it as that of `launch` does, except in
 * test mode, where only the connections end. Its stderr is not read, and how it ended is not known.
 * @throws `ERR_CONFIG_INVALID` for a config that cannot be; `ERR_PROCESS_EXITED` when there is no such process;
 * `ERR_SOCKET_CONNECT`; the signal's reason
 */
export async function attach(config: ReattachConfig, attachOptions: AttachOptions = {}): Promise<Plugin> {
  const { pid, version, test, main } = readReattachConfig(config)
  const { services, signal, connectTimeoutMs = 5000 } = attachOptions
  const timeoutMs = checkDuration('connectTimeoutMs', connectTimeoutMs)
  const options = {
    ...resolveConnectionOptions(attachOptions, `plugin-${pid}`),
    versions: new Map([[version, services]])
  }
  signal?.throwIfAborted()
  const child = attachProcess(pid, !test)
  if (child === undefined) {
    throw new PluginError('ERR_PROCESS_EXITED', `there is no process ${pid} to attach to`, {
      pid,
      hint: 'The plugin has ended: launch it, or ask its host for a new config.'
    })
  }
  const facts: PluginFacts = { name: options.name, pid, log: detachedLog(options.logger, options.onOutput) }
  const connected = createPlugin({
    facts,
    process: child,
    version,
    wire: 'h2',
    connect: onSockets({ main, peerGone: child.exited, dir: options.socketDir, options }),
    options,
    reattachConfig: config,
    ...(test && { detach: () => child.detach() })
  })
  try {
    await checkConnection(connected, facts, main, { timeoutMs, signal })
  } catch (error) {
    // It is not this host's to end.
    child.detach()
    await connected.plugin.closed
    throw error
  }
  return connected.plugin
}
