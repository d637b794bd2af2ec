// go-plugin's example `grpc`, the plugin's side: a file for each key.
import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { callbackify } from 'node:util'
import { loadSync } from '@grpc/proto-loader'
import { serve } from 'muxplug/plugin'

const definition = loadSync(fileURLToPath(new URL('proto/kv.proto', import.meta.url)))['proto.KV']

await serve({
  handshake: { cookieKey: 'BASIC_PLUGIN', cookieValue: 'hello', protocolVersion: 1 },
  services: () => [
    {
      definition,
      handlers: {
        Get: callbackify(async ({ request }) => ({ value: await readFile(`kv_${request.key}`) })),
        Put: callbackify(async ({ request: { key, value } }) => {
          await writeFile(`kv_${key}`, `${value}\n\nWritten from TypeScript`)
          return {}
        })
      }
    }
  ]
})
