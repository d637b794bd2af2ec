// Spreads calls over four sockets. Run `node dist/plugins/pool/host.js` after a build.
import { fileURLToPath } from 'node:url'
import { launch, readManifest } from 'muxplug/host'
import { Digest } from '#proto/digest/v1/digest.js'
import { createPool } from './pool.js'

const folder = fileURLToPath(new URL('../../../plugins/pool', import.meta.url))
const { name, command, handshake } = await readManifest(folder)
await using plugin = await launch({ name, command, handshake, transport: 'socket' })
await using pool = createPool(plugin.broker, 0, Digest, 4)

const before = plugin.stats().opened
const sum = (byte: number) => pool.run((client) => client.sum({ data: Buffer.alloc(1024 * 1024, byte) }))

await sum(0)
console.log('one call:', plugin.stats().opened - before, 'connection')

await Promise.all(Array.from({ length: 16 }, (_, byte) => sum(byte)))
console.log('16 calls at once:', plugin.stats().opened - before, 'connections')
