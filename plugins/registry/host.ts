// Tells plugins by name what they may call. Run `node dist/plugins/registry/host.js` after a build.
import { fileURLToPath } from 'node:url'
import {
  type ServiceBinding,
  createHostService,
  implement,
  isPluginError,
  launch,
  openRoot,
  readManifest
} from 'muxplug/host'
import { Cache } from '#proto/cache/v1/cache.js'
import { HostService } from '#proto/hostserve/v1/hostserve.js'
import { Session } from '#proto/session/v1/session.js'
import { createCache } from '../services/cache.js'

const folder = fileURLToPath(new URL('../../../plugins/registry', import.meta.url))
const { name, command, handshake } = await readManifest(folder)

/** Starts the plugin, and serves it each of the services under an ID of its own. */
async function start(offers: Readonly<Record<string, ServiceBinding>>) {
  const plugin = await launch({ name, command, handshake })
  const { broker } = plugin
  const services = Object.fromEntries(
    Object.entries(offers).map(([typeName, binding]) => [
      typeName,
      broker.accept(broker.nextId(), [binding]).id
    ])
  )
  const session = plugin.dispense(Session)
  await session.start({ services })
  return { session, [Symbol.asyncDispose]: () => plugin.close() }
}

await using root = await openRoot(folder)
const files = { [HostService.typeName]: implement(HostService, createHostService({ root })) }
const cache = { [Cache.typeName]: implement(Cache, createCache()) }

await using one = await start({ ...files, ...cache })
for (const visitor of ['ann', 'bob', 'ann']) {
  const { count } = await one.session.visit({ name: visitor })
  console.log(`${visitor}: ${count}`)
}

await using other = await start(files)
try {
  await other.session.visit({ name: 'ann' })
} catch (error) {
  if (!isPluginError(error)) throw error
  console.log(error.message)
}
