import type { StatusObject } from '@grpc/grpc-js'
import { isPluginError } from '../errors.js'
import { Metadata, Status } from './grpc-js.js'

/** A status that stems from an error of ours: grpc-js copies `cause` onto the ServiceError it makes of it. */
export interface CausedStatus extends StatusObject {
  readonly cause: Error
}

/** Error codes of RST_STREAM and GOAWAY that are told apart here (RFC 9113, 7). */
export const resetCodes = {
  noError: 0,
  internalError: 2,
  refusedStream: 7,
  cancel: 8,
  enhanceYourCalm: 11,
  inadequateSecurity: 12
} as const

/** Key of the trailing metadata that carries the `code` of a PluginError. */
export const errorCodeKey = 'muxplug-error'

/** A status of ours. A code outside gRPC's 0 to 16 becomes UNKNOWN. */
export function statusOf(code: number, details: string, metadata = new Metadata()): StatusObject {
  return { code: isStatusCode(code) ? code : Status.UNKNOWN, details, metadata }
}

/** UNAVAILABLE because of `error`: its message as details, itself as `cause`, its code in the metadata. */
export function unavailable(error: Error): CausedStatus {
  const metadata = new Metadata()
  if (isPluginError(error)) metadata.set(errorCodeKey, error.code)
  return { code: Status.UNAVAILABLE, details: error.message, metadata, cause: error }
}

function isStatusCode(code: number): code is Status {
  return Number.isInteger(code) && code >= Status.OK && code <= Status.UNAUTHENTICATED
}

/** Status of an HTTP response without `grpc-status` (gRPC, HTTP to gRPC Status Code Mapping). */
export function statusOfHttp(httpStatus: number | undefined, metadata?: Metadata): StatusObject {
  return statusOf(codeOfHttp(httpStatus), `Received HTTP status code ${httpStatus ?? 'none'}`, metadata)
}

function codeOfHttp(httpStatus: number | undefined): Status {
  switch (httpStatus) {
    case 400:
      return Status.INTERNAL
    case 401:
      return Status.UNAUTHENTICATED
    case 403:
      return Status.PERMISSION_DENIED
    case 404:
      return Status.UNIMPLEMENTED
    case 429:
    case 502:
    case 503:
    case 504:
      return Status.UNAVAILABLE
    default:
      return Status.UNKNOWN
  }
}

/**
 * Status of a stream that ended without trailers, by its HTTP/2 error code (gRPC over HTTP/2, Errors). `httpStatus`
 * and `error` are what else is known: the response's `:status`, and a local error that closed the stream.
 */
export function statusOfReset(code: number, httpStatus?: number, error?: Error): StatusObject {
  switch (code) {
    case resetCodes.noError:
      if (httpStatus !== undefined && httpStatus !== 200) return statusOfHttp(httpStatus)
      return statusOf(Status.INTERNAL, 'Received RST_STREAM with code 0 (Call ended without gRPC status)')
    case resetCodes.refusedStream:
      return statusOf(Status.UNAVAILABLE, 'Stream refused by server')
    case resetCodes.cancel:
      return statusOf(Status.CANCELLED, 'Call cancelled')
    case resetCodes.enhanceYourCalm:
      return statusOf(Status.RESOURCE_EXHAUSTED, 'Bandwidth exhausted or memory limit exceeded')
    case resetCodes.inadequateSecurity:
      return statusOf(Status.PERMISSION_DENIED, 'Protocol not secure enough')
    case resetCodes.internalError:
      if (error === undefined) break
      if (isDeadSocket(error)) return statusOf(Status.UNAVAILABLE, error.message)
      return statusOf(Status.INTERNAL, `HTTP/2 stream failed: ${error.message}`)
    default:
  }
  return statusOf(Status.INTERNAL, `Received RST_STREAM with code ${code}`)
}

function isDeadSocket(error: Error): boolean {
  const { code } = error as NodeJS.ErrnoException
  return code === 'ECONNRESET' || code === 'ETIMEDOUT'
}

/**
 * Status from trailing metadata, whose `grpc-status` and `grpc-message` are taken out; without the former,
 * `httpStatus` decides. Text that is no number, and numbers above 16, become UNKNOWN.
 */
export function takeStatus(metadata: Metadata, httpStatus: number | undefined): StatusObject {
  const [text] = metadata.get('grpc-status')
  const [message] = metadata.get('grpc-message')
  metadata.remove('grpc-status')
  metadata.remove('grpc-message')
  if (text === undefined) return statusOfHttp(httpStatus, metadata)
  const details = message === undefined ? '' : decodeMessage(String(message))
  const code = /^\d+$/.test(String(text)) ? Number(text) : NaN
  if (isStatusCode(code)) return statusOf(code, details, metadata)
  return statusOf(Status.UNKNOWN, `Unknown gRPC status ${String(text)}: ${details}`, metadata)
}

/**
 * Decodes `grpc-message`: percent-encoded UTF-8. Broken escapes stay as they are, broken UTF-8 becomes U+FFFD: a text
 * is never lost because of one bad byte (gRPC over HTTP/2, Status-Message).
 */
export function decodeMessage(text: string): string {
  if (!/[%\u0080-\u00ff]/.test(text)) return text
  const raw = Buffer.from(text, 'latin1')
  const bytes = Buffer.allocUnsafe(raw.length)
  let length = 0
  for (let i = 0; i < raw.length; i++) {
    const escape = raw[i] === 0x25 ? /^[0-9a-f]{2}/i.exec(text.slice(i + 1, i + 3)) : null
    bytes[length++] = escape === null ? raw[i]! : parseInt(escape[0], 16)
    if (escape !== null) i += 2
  }
  return bytes.toString('utf8', 0, length)
}

/** Codes that only a service may give; credentials and the like must not pass for one (gRFC A54). */
const reservedForServices = new Set<Status>([
  Status.OK,
  Status.INVALID_ARGUMENT,
  Status.NOT_FOUND,
  Status.ALREADY_EXISTS,
  Status.FAILED_PRECONDITION,
  Status.ABORTED,
  Status.OUT_OF_RANGE,
  Status.DATA_LOSS
])

/** Status of a call whose credentials failed with `error`, which may carry a numeric gRPC `code` (gRFC A54). */
export function statusOfCredentials(error: unknown): StatusObject {
  const { code, message } = error as { code?: unknown; message?: unknown }
  const details = `Getting metadata from plugin failed with error: ${String(message ?? error)}`
  if (typeof code !== 'number' || !isStatusCode(code)) return statusOf(Status.UNKNOWN, details)
  if (!reservedForServices.has(code)) return statusOf(code, details)
  return statusOf(Status.INTERNAL, `Invalid status from control plane: ${code} ${Status[code]} ${details}`)
}
