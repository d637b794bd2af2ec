import { createHash } from 'node:crypto'
import type { ServiceImplementation } from 'muxplug/plugin'
import type { Digest } from '#proto/digest/v1/digest.js'

/** One server, however many connections lead to it. */
export const digest: ServiceImplementation<typeof Digest> = {
  sum: ({ data }) => ({ sha256: createHash('sha256').update(data).digest('hex') })
}
