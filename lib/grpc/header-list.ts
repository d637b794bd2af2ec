import type { Metadata, StatusObject } from '@grpc/grpc-js'
import { Status } from './grpc-js.js'
import { statusOf } from './status-map.js'
import type { WireRequest } from './wire-connection.js'

/**
 * What HTTP/2 as node:http2 does it lets be sent as a header. A violation that reached it would end the whole connection,
 * throw where nobody can catch it, or leave a call hanging.
 */

/**
 * The longest list of headers that node:http2 takes by default, counted as SETTINGS_MAX_HEADER_LIST_SIZE does (RFC 9113,
 * 6.5.2: 32 bytes are added for each). The peer's connection does not survive one that is much longer.
 */
export const maxHeaderListBytes = 65_535

/** Room in it for the headers that are not the user's. */
export const reservedHeaderBytes = 1024

const connectionHeaders = new Set([
  'connection',
  'content-length',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade'
])

/** Names that node:http2 takes once (`kSingleValueHeaders` of its `lib/internal/http2/util.js`). */
const singleValue = new Set(
  (
    'access-control-allow-credentials access-control-max-age access-control-request-method age authorization ' +
    'content-encoding content-language content-location content-md5 content-range content-type date dnt etag expires ' +
    'from host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location ' +
    'max-forwards proxy-authorization range referer retry-after tk upgrade-insecure-requests user-agent ' +
    'x-content-type-options'
  ).split(' ')
)

/** Why the values of `key` cannot be sent; undefined when they can. */
export function headerProblem(key: string, values: number): string | undefined {
  if (key.includes(':') || connectionHeaders.has(key)) return 'is not allowed in HTTP/2'
  if (values > 1 && singleValue.has(key)) return 'takes only one value in HTTP/2'
  return undefined
}

/** What `metadata` take of {@link maxHeaderListBytes}. */
export function headerListBytes(metadata: Metadata): number {
  let bytes = 0
  for (const [name, values] of Object.entries(metadata.toHttp2Headers())) {
    for (const value of [values].flat()) bytes += name.length + String(value).length + 32
  }
  return bytes
}

/** What the headers of the call itself take of {@link maxHeaderListBytes} besides path and authority. */
const ownHeaderListBytes = 560

/**
 * Why a request cannot be sent, as the status its call ends with: its metadata are more than a server takes, or HTTP/2
 * does not carry them. Given to node:http2, a name with a colon inside would end the whole connection and not only this
 * call. The same on every wire, so that what works on one does on the other.
 */
export function requestProblem(
  request: WireRequest,
  headers = request.metadata.toHttp2Headers()
): StatusObject | undefined {
  const { path, authority, userAgent } = request
  let listBytes = ownHeaderListBytes + path.length + authority.length + userAgent.length
  for (const name in headers) {
    const values = [headers[name]].flat()
    for (const value of values) listBytes += name.length + String(value).length + 32
    if (!/^[0-9a-z_.-]+$/.test(name) || headerProblem(name, values.length) !== undefined) {
      return statusOf(Status.INTERNAL, `Metadata key ${JSON.stringify(name)} cannot be sent over HTTP/2`)
    }
  }
  if (listBytes <= maxHeaderListBytes) return undefined
  return statusOf(
    Status.RESOURCE_EXHAUSTED,
    `Metadata of ${listBytes} bytes are more than the ${maxHeaderListBytes} that a server takes`
  )
}
