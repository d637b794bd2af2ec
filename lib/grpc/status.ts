import type { StatusObject } from '@grpc/grpc-js'
import { errorCodes, PluginError, type ErrorCode, type ErrorFacts } from '../errors.js'
import { Metadata, Status } from './grpc-js.js'
import { headerProblem } from './header-list.js'
import { errorCodeKey } from './status-map.js'

/** Longest status text sent, in UTF-16 units: percent-encoded it still fits in one header block of 64 KiB. */
const maxDetailsLength = 4096

/**
 * The error to throw from a handler so that the caller gets this gRPC status: `callError(status.NOT_FOUND, 'no such
 * directory')`. Code `ERR_CALL_FAILED`, with `status`, `details` and, from `facts`, `metadata` to send as trailers.
 * @param status gRPC status code, 1 to 16
 */
export function callError(
  status: number,
  details: string,
  facts: Omit<ErrorFacts, 'status' | 'details'> = {}
): PluginError {
  return new PluginError('ERR_CALL_FAILED', `${statusName(status)}: ${details}`, {
    ...facts,
    status,
    details
  })
}

/**
 * What a failed call rejects with. The status, its text and the trailing metadata are fields of the error. Its code is
 * - that of the {@link PluginError} which the transport names as the cause, with that error's facts: a call that
 *   failed because the process died says how;
 * - else the one a muxplug peer sent along, so that an `ERR_BROKER_TIMEOUT` in the plugin is one in the host;
 * - else `ERR_CALL_FAILED`.
 */
export function fromServiceError(error: unknown): PluginError {
  if (error instanceof PluginError) return error
  const { code, details: text, metadata, cause } = asRecord(error)
  const status = isStatus(code) ? code : Status.UNKNOWN
  const details = typeof text === 'string' ? text : messageOf(error)
  const message = `${statusName(status)}: ${details}`
  if (cause instanceof PluginError) {
    return new PluginError(cause.code, message, { ...factsOf(cause), status, details, metadata, cause })
  }
  return new PluginError(sentCode(metadata) ?? 'ERR_CALL_FAILED', message, {
    status,
    details,
    metadata,
    cause: error
  })
}

/**
 * What the caller is told of an error that a handler threw:
 * - a {@link PluginError} with a `status` (see {@link callError}), and an error in the way of grpc-js with a numeric
 *   `code`: that status;
 * - any other `PluginError`: UNAVAILABLE, or INTERNAL when a configuration is wrong;
 * - `AbortError`: CANCELLED; `TimeoutError`: DEADLINE_EXCEEDED; anything else: UNKNOWN with its message.
 *
 * Never a stack. The text is cut at 4096 characters, and half a surrogate pair in it becomes U+FFFD, because grpc-js
 * fails on one and leaves the caller waiting.
 */
export function toServiceError(error: unknown): StatusObject {
  try {
    return describe(error)
  } catch {
    // A getter or proxy that throws.
    return {
      code: Status.UNKNOWN,
      details: 'the value that was thrown cannot be read',
      metadata: new Metadata()
    }
  }
}

function describe(error: unknown): StatusObject {
  const [code, details] = statusOf(error)
  const metadata = forwardable(asRecord(error)['metadata'])
  if (error instanceof PluginError && error.code !== 'ERR_CALL_FAILED') metadata.set(errorCodeKey, error.code)
  return { code, details: sendable(details), metadata }
}

function statusOf(error: unknown): [code: Status, details: string] {
  const { name, code, status, details } = asRecord(error)
  const text = typeof details === 'string' ? details : messageOf(error)
  if (error instanceof PluginError) return [isFailure(status) ? status : familyStatus(error.code), text]
  if (name === 'AbortError') return [Status.CANCELLED, text]
  if (name === 'TimeoutError') return [Status.DEADLINE_EXCEEDED, text]
  // A DOMException's numeric code is from another list.
  if (isFailure(code) && !(error instanceof DOMException)) return [code, text]
  return [Status.UNKNOWN, text]
}

function familyStatus(code: ErrorCode): Status {
  if (code === 'ERR_CALL_FAILED') return Status.UNKNOWN
  return code.startsWith('ERR_CONFIG_') ? Status.INTERNAL : Status.UNAVAILABLE
}

/** Headers that a response has anyway, or that are between the two ends of one connection. */
const ownHeaders = new Set(['content-type', 'date', 'te'])

/**
 * What may be sent of `metadata` as trailers: not the headers of the response that it came with, and no key that would
 * end the connection.
 */
export function forwardable(metadata: unknown): Metadata {
  if (!(metadata instanceof Metadata)) return new Metadata()
  const own = metadata.clone()
  for (const key of Object.keys(metadata.getMap())) {
    const reserved = key.startsWith('grpc-') && key !== 'grpc-status-details-bin'
    if (reserved || ownHeaders.has(key) || headerProblem(key, own.get(key).length) !== undefined)
      own.remove(key)
  }
  return own
}

function sendable(text: string): string {
  const short = text.length > maxDetailsLength ? `${text.slice(0, maxDetailsLength - 1)}…` : text
  return short.replaceAll(/\p{Surrogate}/gu, '\uFFFD')
}

/**
 * Codes that a peer may report: what is wrong with its own options and connections. Whether a process has died, or trust was
 * established, is for this side alone to say.
 */
const relayed = /^ERR_(?:CONFIG|BROKER|STREAM|SESSION)_/

function sentCode(metadata: unknown): ErrorCode | undefined {
  if (!(metadata instanceof Metadata)) return undefined
  const [sent] = metadata.get(errorCodeKey)
  return errorCodes.find((code) => code === sent && relayed.test(code))
}

function factsOf(error: PluginError): ErrorFacts {
  const { name: _name, code: _code, ...facts } = error
  return facts
}

function statusName(status: number): string {
  return Status[status] ?? `status ${status}`
}

function isStatus(code: unknown): code is Status {
  return typeof code === 'number' && Status[code] !== undefined
}

function isFailure(code: unknown): code is Status {
  return isStatus(code) && code !== Status.OK
}

function asRecord(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

function messageOf(error: unknown): string {
  if (typeof error === 'string') return error
  const { message } = asRecord(error)
  return typeof message === 'string' ? message : `a value of type ${typeof error} was thrown`
}
