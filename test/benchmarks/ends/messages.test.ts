import { once } from 'node:events'
import { type AddressInfo, type Socket, connect, createServer } from 'node:net'
import t, { type Test } from 'tap'
import { createSender, receiveMessages } from '../../../benchmarks/ends/frames.js'
import { createPeer } from '../../../benchmarks/ends/messages.js'
import { checkChunk } from '../../../benchmarks/link.js'

/** Two peers with a socket between them. */
async function connected(t: Test): Promise<ReturnType<typeof createPeer>['link']> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const near = connect((server.address() as AddressInfo).port)
  const [far] = (await once(server, 'connection')) as [Socket]
  t.teardown(() => {
    near.destroy()
    far.destroy()
    server.close()
  })
  const [host, plugin] = [createPeer(createSender(near)), createPeer(createSender(far))]
  receiveMessages(near, host.receive)
  receiveMessages(far, plugin.receive)
  return host.link
}

t.test('calls at the same time get each its own answer, of any size', async (t) => {
  const link = await connected(t)
  const payloads = [0, 1, 64, 65_536, 1 << 20].map((size, index) => Buffer.alloc(size, index))
  const answers = await Promise.all(payloads.map((payload) => link.call(payload)))
  for (const [index, payload] of payloads.entries())
    t.ok(payload.equals(answers[index]!), `${payload.length} bytes`)
})

t.test('the other side calls back before it answers', async (t) => {
  const link = await connected(t)
  t.same(await link.callback(Buffer.from('there and back')), Buffer.from('there and back'))
})

t.test('chunks come in order, all of them, in every direction', async (t) => {
  const link = await connected(t)
  for (const direction of ['down', 'both'] as const) {
    let count = 0
    await link[direction](100, (bytes) => {
      checkChunk(bytes, count)
      count += 1
    })
    t.equal(count, 100, direction)
  }
  t.same(await link.up(100), { count: 100, bytes: 6_553_600 })
})
