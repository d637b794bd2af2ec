import '../helpers/plain-children.js'
import t from 'tap'
import { status } from 'muxplug/host'
import { Counter } from '#proto/counter/v1/counter.js'
import { Counters } from '#proto/counters/v1/counters.js'
import { checkPage, failureOf, launchExample } from '../helpers/example.js'

t.test('the page', (t) => checkPage(t, 'offer'))

for (const transport of ['stream', 'socket', 'socket-mux'] as const) {
  t.test(
    `${transport}: a withdrawn counter is gone for connections old and new, the rest stay`,
    async (t) => {
      const plugin = await launchExample(t, 'offer', { transport })
      const counters = plugin.dispense(Counters)
      const [first, second] = [await counters.open({ start: 1 }), await counters.open({ start: 10 })]
      const connection = plugin.broker.dial(first.counter)
      const used = connection.dispense(Counter)
      const other = plugin.broker.dial(second.counter).dispense(Counter)
      t.same(await used.add({ amount: 1 }), { value: 2 })
      t.same(await other.add({ amount: 1 }), { value: 11 }, 'each counts for itself')

      await counters.close(first)
      const error = await failureOf(used.add({ amount: 1 }))
      t.equal(error.status, status.UNAVAILABLE)
      // An HTTP/2 connection is told first that it takes no more calls, and then closed.
      const codes =
        transport === 'stream' ? ['ERR_STREAM_CLOSED'] : ['ERR_STREAM_CLOSED', 'ERR_SESSION_GOAWAY']
      t.ok(codes.includes(error.code), error.code)
      // On sockets the ID itself is gone, and a dial waits for somebody to serve it.
      if (transport === 'stream') {
        const again = plugin.broker.dial(first.counter).dispense(Counter)
        t.match(await failureOf(again.add({ amount: 1 })), {
          status: status.UNAVAILABLE,
          details: /the other side has closed the service/
        })
      }
      t.match(await failureOf(counters.close(first)), { status: status.NOT_FOUND })
      t.same(await other.add({ amount: 1 }), { value: 12 })
    }
  )
}

t.test('a host that hangs up leaves the counter; one that dials again finds it as it was', async (t) => {
  const plugin = await launchExample(t, 'offer')
  const { counter } = await plugin.dispense(Counters).open({ start: 0 })
  for (const value of [1, 2]) {
    await using connection = plugin.broker.dial(counter)
    t.same(await connection.dispense(Counter).add({ amount: 1 }), { value })
  }
})

t.test('a host that opens and never closes is stopped at 16', async (t) => {
  const plugin = await launchExample(t, 'offer')
  const counters = plugin.dispense(Counters)
  const opened = []
  while (opened.length < 16) opened.push(await counters.open({}))
  t.match(await failureOf(counters.open({})), {
    status: status.RESOURCE_EXHAUSTED,
    details: '16 counters are open'
  })
  await counters.close(opened[0]!)
  await t.resolves(counters.open({}))
})
