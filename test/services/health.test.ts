import t from 'tap'
import { Health, HealthCheckResponse } from '#proto/grpc/health/v1/health.js'
import { launchFixture } from '../helpers/launch.js'

const { SERVING, SERVICE_UNKNOWN } = HealthCheckResponse.ServingStatus

t.test('the main server is healthy under the name go-plugin asks for, and under none', async (t) => {
  const { plugin } = await launchFixture(t, 'plugin-echo.mjs')
  const health = plugin.dispense(Health)
  for (const service of ['plugin', '']) t.equal((await health.check({ service })).status, SERVING)
  await t.rejects(health.check({ service: 'other' }), { code: 'ERR_CALL_FAILED', status: 5 })
})

t.test('the list has both names with their state', async (t) => {
  const { plugin } = await launchFixture(t, 'plugin-echo.mjs')
  const { statuses } = await plugin.dispense(Health).list({})
  t.same(Object.keys(statuses).toSorted(), ['', 'plugin'])
  for (const { status } of Object.values(statuses)) t.equal(status, SERVING)
})

t.test('watching tells the state now, and its end when the plugin goes', async (t) => {
  const { plugin } = await launchFixture(t, 'plugin-echo.mjs', { graceMs: 20 })
  const health = plugin.dispense(Health)
  for await (const { status } of health.watch({ service: 'other' })) {
    t.equal(status, SERVICE_UNKNOWN)
    break
  }
  const watching = health.watch({ service: 'plugin' })[Symbol.asyncIterator]()
  t.equal((await watching.next()).value.status, SERVING)
  const next = watching.next()
  const closing = plugin.close()
  // Told that it is not serving any more, or cut off by the end of the plugin, whichever comes first.
  await next.then(
    ({ value }) => t.not(value?.status, SERVING),
    (error: unknown) => t.match(error, { status: 14 })
  )
  await closing
})

t.test('a ping ends with its time or its signal', async (t) => {
  const { plugin } = await launchFixture(t, 'plugin-echo.mjs')
  await plugin.ping({ timeoutMs: 10_000 })
  const reason = new Error('enough')
  await t.rejects(plugin.ping({ signal: AbortSignal.abort(reason) }), reason)
})
