import { deepEqual, equal } from 'node:assert/strict'
import { Metadata } from '@grpc/grpc-js'
import { headerListBytes } from '../../lib/grpc/header-list.js'
import { toMetadata } from '../../lib/grpc/service.js'
import type { Micro } from './list.js'

const init = { 'x-request-id': 'd2f1c0', 'x-tags': ['one', 'two'], 'trace-bin': Buffer.from([1, 2, 3]) }
const headers = { 'x-request-id': 'd2f1c0', 'x-tags': ['one', 'two'], 'trace-bin': 'AQID' }
const sample = toMetadata(init)

/** What the metadata of a call goes through: three keys, four values. */
export const metadata: readonly Micro[] = [
  {
    name: 'metadata-build',
    text: 'a plain object to Metadata, checked',
    run: () => toMetadata(init),
    check: (value) => deepEqual((value as Metadata).toHttp2Headers(), headers)
  },
  {
    name: 'metadata-measure',
    text: 'the bytes that Metadata take as HTTP/2 headers',
    run: () => headerListBytes(sample),
    check: (bytes) => equal(bytes, 12 + 6 + 2 * 6 + 2 * 3 + 9 + 4 + 4 * 32)
  },
  {
    name: 'metadata-encode',
    text: 'Metadata to HTTP/2 headers',
    run: () => sample.toHttp2Headers(),
    check: (value) => deepEqual(value, headers)
  },
  {
    name: 'metadata-decode',
    text: 'HTTP/2 headers to Metadata',
    run: () => Metadata.fromHttp2Headers(headers),
    check: (value) => deepEqual((value as Metadata).toHttp2Headers(), headers)
  }
]
