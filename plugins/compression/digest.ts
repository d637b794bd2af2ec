import { createHash } from 'node:crypto'
import type { ServiceImplementation } from 'muxplug/plugin'
import type { Digest } from '#proto/digest/v1/digest.js'

/** Data come as they were, compressed on their way or not: nothing here has to know. */
export const digest: ServiceImplementation<typeof Digest> = {
  sum: ({ data }) => ({ sha256: createHash('sha256').update(data).digest('hex') })
}
