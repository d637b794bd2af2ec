// Lets one plugin call another one. Run `node dist/plugins/relay/host.js` after a build.
import { fileURLToPath } from 'node:url'
import { isPluginError, launch, readManifest } from 'muxplug/host'
import { Chorus } from '#proto/chorus/v1/chorus.js'
import { Echo } from '#proto/echo/v1/echo.js'
import { Neighbours } from '#proto/neighbours/v1/neighbours.js'
import { createNeighbours } from './neighbours.js'

async function start(example: string) {
  const folder = fileURLToPath(new URL(`../../../plugins/${example}`, import.meta.url))
  const { name, command, handshake } = await readManifest(folder)
  return launch({ name, command, handshake })
}

await using echo = await start('echo')
await using relay = await start('relay')
const allowed = [{ plugin: echo, services: [Echo] }]
await using neighbours = relay.broker.serve(Neighbours, createNeighbours(relay, allowed))
const chorus = relay.dispense(Chorus)
const song = { neighbours: neighbours.id, text: 'la', times: 3 }

console.log((await chorus.sing(song)).lines.join(' '))

await echo.kill()
try {
  await chorus.sing(song)
} catch (error) {
  if (!isPluginError(error)) throw error
  console.log(error.message)
}
await relay.ping()
console.log('relay goes on')
