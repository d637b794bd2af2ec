import type { PluginError } from '../errors.js'
import type { Logger } from '../log.js'
import type { ProcessHandle } from '../process/spawn.js'
import { terminate } from '../process/terminate.js'
import type { Connection, OwnedBroker } from '../services/broker.js'
import { requestShutdown } from '../services/controller.js'
import { settlesWithin } from '../signal.js'
import type { ResolvedConnectionOptions } from './options.js'

/** What closing a plugin takes. */
export interface Closing {
  readonly child: ProcessHandle
  readonly broker: OwnedBroker
  /** The connection of the host's own calls. */
  readonly control: Connection
  readonly options: Pick<
    ResolvedConnectionOptions,
    'graceMs' | 'shutdownTimeoutMs' | 'exitTimeoutMs' | 'termTimeoutMs'
  >
  readonly logger: Logger
  /** What calls are told that come too late. */
  readonly reason: PluginError
  /** Ends the session at once. */
  readonly cut: (reason: PluginError) => void
  /** From now on the end of the plugin is the host's doing. */
  readonly setEnded: (reason: PluginError) => void
  /** Lets go of a process that is not this host's to end. */
  readonly detach?: (() => void) | undefined
}

/**
 * The way out, each step with its own limit; a step that fails does not stop the later ones.
 *
 *     refuse calls, drain -> Shutdown          -> wait          -> SIGTERM, wait -> SIGKILL to the group
 *     graceMs                shutdownTimeoutMs    exitTimeoutMs    termTimeoutMs      and end of the stream
 */
export async function closePlugin(closing: Closing): Promise<void> {
  const { child, broker, control, options, logger, reason, cut, setEnded, detach } = closing
  logger.debug({}, 'shutting down plugin')
  const drained = await settlesWithin(broker.drain(reason, control), options.graceMs)
  if (!drained) logger.warn({ ms: options.graceMs }, 'calls are still in flight after the grace time')
  setEnded(reason)
  if (detach !== undefined) {
    cut(reason)
    detach()
    return
  }
  try {
    await requestShutdown(control, options.shutdownTimeoutMs)
  } catch (error) {
    // A plugin that is gone already, or hangs, or cuts the connection instead of answering: the ladder settles it.
    logger.debug({ err: error }, 'plugin did not answer the request to shut down')
  }
  const { exitTimeoutMs: exitMs, termTimeoutMs: termMs } = options
  const leaving = terminate(child, {
    exitMs,
    termMs,
    onStep: (step) => logger.warn({ signal: step }, 'plugin does not leave: sending a signal')
  })
  // Where signals do not reach, the end of the stream does.
  if (!(await settlesWithin(leaving, exitMs + termMs))) cut(reason)
  await leaving
}
