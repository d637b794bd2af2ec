import '../helpers/plain-children.js'
import t from 'tap'
import { status } from 'muxplug/host'
import { Cache } from '#proto/cache/v1/cache.js'
import { Session } from '#proto/session/v1/session.js'
import { createCache } from '../../plugins/services/cache.js'
import { checkPage, failureOf, launchExample } from '../helpers/example.js'

t.test('the page', (t) => checkPage(t, 'registry'))

t.test('a name that the host has not sent is told with those it has', async (t) => {
  for (const [services, names] of [
    [{}, 'nothing'],
    [{ 'b.B': 2, 'a.A': 1, constructor: 3 }, 'a.A, b.B, constructor']
  ] as const) {
    const plugin = await launchExample(t, 'registry')
    const session = plugin.dispense(Session)
    t.match(await failureOf(session.visit({ name: 'ann' })), { status: status.FAILED_PRECONDITION })
    await session.start({ services })
    t.match(await failureOf(session.visit({ name: 'ann' })), {
      status: status.NOT_FOUND,
      details: `the host does not serve cache.v1.Cache; it serves ${names}`
    })
  }
})

for (const transport of ['stream', 'socket', 'socket-mux'] as const) {
  t.test(`${transport}: a service is found by name, until it is withdrawn`, async (t) => {
    const plugin = await launchExample(t, 'registry', { transport })
    const session = plugin.dispense(Session)
    const served = plugin.broker.serve(Cache, createCache())
    await session.start({ services: { [Cache.typeName]: served.id } })
    t.same(await session.visit({ name: 'ann' }), { count: 1 })
    t.same(await session.visit({ name: 'ann' }), { count: 2 })
    t.match(await failureOf(session.start({ services: {} })), {
      status: status.FAILED_PRECONDITION,
      details: 'the session has begun'
    })
    await served.close()
    const { code } = await failureOf(session.visit({ name: 'ann' }))
    // A connection of its own may be told a moment earlier that no more calls are taken.
    const ends = transport === 'stream' ? ['ERR_STREAM_CLOSED'] : ['ERR_STREAM_CLOSED', 'ERR_SESSION_GOAWAY']
    t.ok(ends.includes(code), code)
  })
}
