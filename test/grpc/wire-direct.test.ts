import t from 'tap'
import { Echo } from '#proto/echo/v1/echo.js'
import { Status } from '../../lib/grpc/grpc-js.js'
import { implement } from '../../lib/grpc/handler.js'
import { directPair } from '../helpers/direct-ends.js'
import { launchFixture } from '../helpers/launch.js'

t.test('a call that is refused takes none with it that was accepted and not answered', async (t) => {
  let release = (): void => {}
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  let aborted = 0
  const { server, client, accept } = directPair(
    t,
    [
      implement(Echo, {
        async echo({ text, payload }, { signal }) {
          signal.addEventListener('abort', () => aborted++)
          if (text === 'ends') await released
          else await new Promise(() => {})
          return { text, payload }
        }
      })
    ],
    // So late that nothing shows meanwhile that calls get through.
    { broker: { acknowledgeDelayMs: 1000 } }
  )
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => clearInterval(alive))
  const acceptance = accept()
  const ends = client.echo({ text: 'ends' })
  const stays = client.echo({ text: 'stays' })
  const refused = t.rejects(stays, { status: Status.UNAVAILABLE, code: 'ERR_STREAM_CLOSED' })
  while (server.activeCalls < 2) await new Promise(setImmediate)
  acceptance.close()
  const closing = server.close({ graceMs: 100 })
  await t.rejects(client.echo({ text: 'late' }), { status: Status.UNAVAILABLE, code: 'ERR_STREAM_CLOSED' })
  release()
  t.equal((await ends).text, 'ends')
  await closing
  await refused
  t.match([aborted, server.activeCalls], [1, 0])
})

t.test('a plugin with the typed API alone loads neither grpc-js nor HTTP/2', async (t) => {
  const asked = '@grpc/grpc-js/build/src/index.js,@grpc/grpc-js/build/src/metadata.js,node:http2,protobufjs'
  for (const [wires, found] of [
    [['direct'], '@grpc/grpc-js/build/src/metadata.js,protobufjs'],
    [['h2'], asked]
  ] as const) {
    const { plugin } = await launchFixture(t, 'plugin-loads.mjs', { wires })
    const client = plugin.dispense(Echo)
    for await (const { text } of client.chat([{ text: 'a' }])) t.equal(text, 'a')
    t.equal((await client.echo({ text: asked })).text, found, wires.join())
    await plugin.close()
  }
})
