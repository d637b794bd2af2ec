// Sends text compressed and random bytes as they are. Run `node dist/plugins/compression/host.js` after a build.
import { createHash, randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { launch, readManifest } from 'muxplug/host'
import { Digest } from '#proto/digest/v1/digest.js'
import { isWorthCompressing } from './choice.js'

const folder = fileURLToPath(new URL('../../../plugins/compression', import.meta.url))
const { name, command, handshake } = await readManifest(folder)
await using plugin = await launch({ name, command, handshake })

// Two connections to the plugin's main services, which are ID 0.
await using asItIs = plugin.broker.dial(0)
await using compressed = plugin.broker.dial(0, { compression: 'gzip' })

const payloads = {
  'a short note': Buffer.from('plain text. '.repeat(100)),
  'a long text': Buffer.from('plain text. '.repeat(100_000)),
  'random bytes': randomBytes(1024 * 1024)
}
for (const [what, data] of Object.entries(payloads)) {
  const worth = await isWorthCompressing(data)
  const { sha256 } = await (worth ? compressed : asItIs).dispense(Digest).sum({ data })
  const same = sha256 === createHash('sha256').update(data).digest('hex')
  const how = worth ? 'compressed' : 'as it is'
  console.log(`${what}: ${how}, ${same ? 'has arrived' : 'is damaged'}`)
}
