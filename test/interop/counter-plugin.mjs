// go-plugin's example `bidirectional`, the plugin's side: the host does the sums.
import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { callbackify, promisify } from 'node:util'
import { credentials, makeClientConstructor } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { serve } from 'muxplug/plugin'

const proto = fileURLToPath(new URL('proto/counter.proto', import.meta.url))
const { 'proto.Counter': definition, 'proto.AddHelper': addHelper } = loadSync(proto, {
  keepCase: true,
  longs: Number,
  defaults: true
})
const AddHelper = makeClientConstructor(addHelper, 'AddHelper')

async function get(key) {
  return JSON.parse(await readFile(`kv_${key}`)).Value
}

/** Adds `a` and `b` with the help of the host's service under a broker ID. */
async function sum(broker, id, a, b) {
  const connection = broker.dial(id)
  const host = new AddHelper('', credentials.createInsecure(), { channelOverride: connection.channel })
  const { r } = await promisify(host.Sum.bind(host))({ a, b })
  await connection.close()
  return r
}

await serve({
  handshake: { cookieKey: 'BASIC_PLUGIN', cookieValue: 'hello', protocolVersion: 1 },
  services: (broker) => [
    {
      definition,
      handlers: {
        Get: callbackify(async ({ request }) => ({ value: await get(request.key) })),
        Put: callbackify(async ({ request: { add_server: addServer, key, value } }) => {
          const before = await get(key).catch(() => 0)
          await writeFile(`kv_${key}`, JSON.stringify({ Value: await sum(broker, addServer, before, value) }))
          return {}
        })
      }
    }
  ]
})
