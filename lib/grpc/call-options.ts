import type { Metadata, MethodDefinition } from '@grpc/grpc-js'
import { PluginError } from '../errors.js'
import { checkDuration } from '../signal.js'
import { toMetadata, type MetadataInit } from './service.js'

export type Method = MethodDefinition<unknown, unknown>
export type Items = Iterable<unknown> | AsyncIterable<unknown>

/** What one call may be given besides its request. */
export interface CallOptions {
  /** Cancels the call. It then rejects with the signal's `reason`, untouched. */
  readonly signal?: AbortSignal | undefined
  /**
   * Longest time the call may take, in milliseconds; it then fails with DEADLINE_EXCEEDED, and the handler is told.
   * Default: the client's, and without one no limit. `Infinity`: none.
   */
  readonly timeoutMs?: number
  /** The same as a moment: a Date, or milliseconds since the epoch. With both, the earlier one counts. */
  readonly deadline?: Date | number
  /** Sent before the request. */
  readonly metadata?: MetadataInit
  /** Told of the response's metadata, before its first message. What it throws ends the call and rejects it. */
  readonly onHeader?: (header: Metadata) => void
  /** Told of the metadata that came with the status, whether the call failed or not. */
  readonly onTrailer?: (trailer: Metadata) => void
}

/** A grpc-js server keeps a time-out as a 32-bit number of milliseconds and fails a longer one at once. */
const longestTimeoutMs = 2_147_483_000

/** When a call is to end, in milliseconds since the epoch; `Infinity`: never. @throws `ERR_CONFIG_INVALID`; the signal's reason */
export function deadlineOf(options: CallOptions): number {
  options.signal?.throwIfAborted()
  const { timeoutMs = Infinity, deadline: moment = Infinity } = options
  if (timeoutMs === Infinity && moment === Infinity) return Infinity
  const now = Date.now()
  const end = Math.min(now + checkDuration('timeoutMs', timeoutMs), Number(moment))
  if (Number.isNaN(end)) {
    throw new PluginError('ERR_CONFIG_INVALID', `deadline is ${String(moment)}, not a moment`, {
      hint: 'Give deadline as a valid Date or as milliseconds since the epoch.'
    })
  }
  return end - now > longestTimeoutMs ? Infinity : end
}

/** What a call is begun with. @throws as {@link deadlineOf} */
export function prepareCall(method: Method, options: CallOptions) {
  const deadline = deadlineOf(options)
  return {
    path: method.path,
    encode: method.requestSerialize,
    decode: method.responseDeserialize,
    metadata: toMetadata(options.metadata),
    deadline,
    limits: { deadline }
  }
}
