import { type Broker, type Client, type ServiceImplementation, callError, status } from 'muxplug/plugin'
import { type Census, Way } from '#proto/census/v1/census.js'
import { HostService, ReadDirResponse } from '#proto/hostserve/v1/hostserve.js'

const pageSize = 500

type Read = (
  files: Client<typeof HostService>,
  path: string,
  signal: AbortSignal
) => AsyncIterable<Pick<ReadDirResponse, 'entries'>>

/** Counts entries as they come and keeps none of them. */
export function createCensus(broker: Broker): ServiceImplementation<typeof Census> {
  return {
    async count({ hostService, dir, way }, { signal }) {
      const read = ways[way]
      if (read === undefined) throw callError(status.INVALID_ARGUMENT, `there is no way ${way}`)
      await using connection = broker.dial(hostService)
      let entries = 0
      let messages = 0
      let largestBytes = 0
      for await (const response of read(connection.dispense(HostService), dir, signal)) {
        entries += response.entries.length
        messages += 1
        largestBytes = Math.max(largestBytes, ReadDirResponse.encode(response).finish().length)
      }
      return { entries, messages, largestBytes }
    }
  }
}

const ways: Readonly<Record<number, Read>> = {
  async *[Way.WAY_WHOLE](files, path, signal) {
    yield await files.readDir({ path }, { signal })
  },

  async *[Way.WAY_PAGES](files, path, signal) {
    let pageToken = ''
    do {
      const page = await files.readDir({ path, pageSize, pageToken }, { signal })
      yield page
      pageToken = page.nextPageToken
    } while (pageToken !== '')
  },

  [Way.WAY_STREAM]: (files, path, signal) => files.streamDir({ path }, { signal })
}
