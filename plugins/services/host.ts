// Serves files, a store and a cache to plugins, one of which dies. Run `node dist/plugins/services/host.js` after a build.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Root, createHostService, isPluginError, launch, openRoot, readManifest } from 'muxplug/host'
import { Cache } from '#proto/cache/v1/cache.js'
import { HostService } from '#proto/hostserve/v1/hostserve.js'
import { Indexer } from '#proto/indexer/v1/indexer.js'
import { KeyValue } from '#proto/kv/v1/kv.js'
import { createCache } from './cache.js'
import { createKeyValue } from './key-value.js'
import { type Store, openStore } from './store.js'

const folder = fileURLToPath(new URL('../../../plugins/services', import.meta.url))
const { name, command, handshake } = await readManifest(folder)

async function start(root: Root, store: Store) {
  const plugin = await launch({ name, command, handshake })
  const ids = {
    files: plugin.broker.serve(HostService, createHostService({ root })).id,
    store: plugin.broker.serve(KeyValue, createKeyValue(store)).id,
    cache: plugin.broker.serve(Cache, createCache()).id
  }
  const indexer = plugin.dispense(Indexer)
  return { ids, indexer, [Symbol.asyncDispose]: () => plugin.close() }
}

const directory = await mkdtemp(join(tmpdir(), 'services-'))
try {
  using store = openStore(join(directory, 'index.db'))
  await using root = await openRoot(fileURLToPath(new URL('../../../proto', import.meta.url)))
  await using one = await start(root, store)
  await using other = await start(root, store)

  for (const _ of ['first', 'again']) {
    const { files, cached } = await one.indexer.index({ ...one.ids, dir: 'kv/v1' })
    console.log(`indexed: ${files} files, ${cached} of them from the cache`)
  }
  try {
    await one.indexer.index({ ...one.ids, dir: 'cache/v1', die: true })
  } catch (error) {
    if (!isPluginError(error)) throw error
    console.log(`killed in the middle: ${error.code}`)
  }
  console.log('in the store:', (await other.indexer.find({ ...other.ids })).paths.join(' '))
  const { files } = await other.indexer.index({ ...other.ids, dir: 'cache/v1' })
  console.log(`indexed by another plugin: ${files} files`)
} finally {
  await rm(directory, { recursive: true })
}
