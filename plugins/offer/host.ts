// Uses services that a plugin offers while it runs. Run `node dist/plugins/offer/host.js` after a build.
import { fileURLToPath } from 'node:url'
import { isPluginError, launch, readManifest } from 'muxplug/host'
import { Counter } from '#proto/counter/v1/counter.js'
import { Counters } from '#proto/counters/v1/counters.js'

const folder = fileURLToPath(new URL('../../../plugins/offer', import.meta.url))
const { name, command, handshake } = await readManifest(folder)
await using plugin = await launch({ name, command, handshake })
const counters = plugin.dispense(Counters)

const { counter: first } = await counters.open({ start: 0 })
const { counter: second } = await counters.open({ start: 100 })
await using connection = plugin.broker.dial(first)
await using other = plugin.broker.dial(second)
const add = async (to: typeof connection, amount: number) =>
  (await to.dispense(Counter).add({ amount })).value

console.log('first:', await add(connection, 1), await add(connection, 2))
console.log('second:', await add(other, 1))

await counters.close({ counter: first })
try {
  await add(connection, 3)
} catch (error) {
  if (!isPluginError(error)) throw error
  console.log(`first: ${error.code}`)
}
console.log('second:', await add(other, 2))
