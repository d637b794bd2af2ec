import { LRUCache } from 'lru-cache'
import { type ServiceImplementation, callError, status } from 'muxplug/host'
import type { Cache } from '#proto/cache/v1/cache.js'

export interface CacheOptions {
  /** Keys, values and what it takes to hold them. Default 16 MiB. */
  readonly maxBytes?: number
  /** Of one key and its value. Default 1 MiB. */
  readonly maxEntryBytes?: number
  /** Longest time to live. Default 10 minutes. */
  readonly maxTtlMs?: number
  /** The clock, in milliseconds. Default `performance.now`. */
  readonly now?: () => number
}

/** About what an entry takes beside its bytes: without it, tiny ones would cost nothing. */
const entryBytes = 128

/** A cache for one plugin: make one for each, or they read and write each other's entries. */
export function createCache(options: CacheOptions = {}): ServiceImplementation<typeof Cache> {
  const { maxBytes = 16 * 1024 * 1024, maxEntryBytes = 1024 * 1024, maxTtlMs = 600_000 } = options
  const { now = () => performance.now() } = options
  const entries = new LRUCache<string, Uint8Array>({
    maxSize: maxBytes,
    sizeCalculation: (value, key) => value.length + Buffer.byteLength(key) + entryBytes,
    // Asks the clock every time: it is cheap beside a call.
    ttlResolution: 0,
    perf: { now }
  })
  return {
    get({ key }) {
      const value = entries.get(checkKey(key))
      return { found: value !== undefined, value }
    },

    put({ key, value, ttlMs }) {
      const bytes = value.length + Buffer.byteLength(checkKey(key))
      if (bytes > maxEntryBytes) {
        throw callError(status.INVALID_ARGUMENT, `the entry has ${bytes} bytes, more than ${maxEntryBytes}`)
      }
      const ttl = ttlMs === 0 ? maxTtlMs : Math.min(ttlMs, maxTtlMs)
      // A copy: the value is a part of the message it came in, which may be larger.
      entries.set(key, new Uint8Array(value), { ttl })
      return {}
    }
  }
}

function checkKey(key: string): string {
  if (key !== '') return key
  throw callError(status.INVALID_ARGUMENT, 'the key is empty')
}
