import { PluginError } from '../errors.js'
import { checkDuration } from '../signal.js'

export interface BrokerOptions {
  /**
   * How long a dial waits here for this side's accept of its ID, in ms. Default 5000, as go-plugin's
   * (`grpc_broker.go`): long enough for an accept that follows the message carrying the ID.
   */
  readonly acceptTimeoutMs?: number
  /** Dials that may wait here at once. Default 256, yamux's accept backlog. */
  readonly maxWaitingDials?: number
}

/** Fills in the defaults. @throws `ERR_CONFIG_INVALID` */
export function resolveBrokerOptions(options: BrokerOptions = {}): Required<BrokerOptions> {
  const { acceptTimeoutMs = 5000, maxWaitingDials = 256 } = options
  if (!Number.isSafeInteger(maxWaitingDials) || maxWaitingDials < 0) {
    throw new PluginError('ERR_CONFIG_INVALID', `maxWaitingDials is ${String(maxWaitingDials)}`, {
      hint: 'Give maxWaitingDials as a whole number, 0 or more.'
    })
  }
  return { acceptTimeoutMs: checkDuration('acceptTimeoutMs', acceptTimeoutMs), maxWaitingDials }
}
