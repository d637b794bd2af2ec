import { createHash } from 'node:crypto'
import type { Broker, Client, ServiceImplementation } from 'muxplug/plugin'
import { Cache } from '#proto/cache/v1/cache.js'
import { HostService } from '#proto/hostserve/v1/hostserve.js'
import type { Indexer } from '#proto/indexer/v1/indexer.js'
import { KeyValue } from '#proto/kv/v1/kv.js'
import { inTransaction } from './transaction.js'

/** Dials each of the host's services by its ID; closing a connection is the plugin's part. */
export function createIndexer(broker: Broker): ServiceImplementation<typeof Indexer> {
  return {
    async index({ files: filesId, store: storeId, cache: cacheId, dir, die }, { signal }) {
      await using filesAt = broker.dial(filesId)
      await using storeAt = broker.dial(storeId)
      await using cacheAt = broker.dial(cacheId)
      const [files, cache] = [filesAt.dispense(HostService), cacheAt.dispense(Cache)]
      const store = storeAt.dispense(KeyValue)

      const { entries } = await files.readDir({ path: dir }, { signal })
      const work = async (transaction: number) => {
        let cached = 0
        for (const { name, size, mtimeMs } of entries) {
          const path = `${dir}/${name}`
          const version = `${path} ${size} ${mtimeMs}`
          let { found, value: digest } = await cache.get({ key: version }, { signal })
          if (found) cached += 1
          else {
            digest = await digestOf(files, path, signal)
            await cache.put({ key: version, value: digest }, { signal })
          }
          await store.set({ key: Buffer.from(path), value: digest, transaction }, { signal })
          if (die) process.kill(process.pid, 'SIGKILL')
        }
        return { files: entries.length, cached }
      }
      // Awaited here: the connections are closed when this function is left.
      return await inTransaction(store, work, { signal })
    },

    async find({ store, prefix }, { signal }) {
      await using connection = broker.dial(store)
      const { scan } = connection.dispense(KeyValue)
      const paths: string[] = []
      let pageToken: Uint8Array = Buffer.alloc(0)
      do {
        const page = await scan({ prefix: Buffer.from(prefix), pageToken }, { signal })
        paths.push(...page.entries.map(({ key }) => Buffer.from(key).toString()))
        pageToken = page.nextPageToken
      } while (pageToken.length > 0)
      return { paths }
    }
  }
}

async function digestOf(
  files: Client<typeof HostService>,
  path: string,
  signal: AbortSignal
): Promise<Uint8Array> {
  const hash = createHash('sha256')
  for await (const { data } of files.readFile({ path }, { signal })) hash.update(data)
  return hash.digest()
}
