import '../helpers/plain-children.js'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type Transport, status } from 'muxplug/host'
import { Glossary, Starter } from '#proto/glossary/v1/glossary.js'
import { lazily } from '../../plugins/lazy/lazily.js'
import { createStarter } from '../../plugins/lazy/starter.js'
import { openStore } from '../../plugins/services/store.js'
import { checkPage, failureOf, launchExample } from '../helpers/example.js'

t.test('the page', (t) => checkPage(t, 'lazy'))

t.test('uses at the same time share one attempt; one that failed is followed by another', async (t) => {
  let attempts = 0
  let settle = (_outcome: string | Error): void => {}
  const connection = lazily(() => {
    attempts += 1
    return new Promise<string>((resolve, reject) => {
      settle = (outcome) => (outcome instanceof Error ? reject(outcome) : resolve(outcome))
    })
  })
  t.equal(attempts, 0, 'nothing before the first use')
  const failing = [connection(), connection()]
  t.equal(attempts, 1)
  settle(new Error('not yet'))
  for (const use of failing) await t.rejects(use, { message: 'not yet' })
  const working = [connection(), connection()]
  settle('connected')
  t.same(await Promise.all([...working, connection()]), ['connected', 'connected', 'connected'])
  t.equal(attempts, 2)
})

t.test('an attempt that throws at once is one that failed', async (t) => {
  let attempts = 0
  const connection = lazily(() => {
    attempts += 1
    if (attempts === 1) throw new Error('at once')
    return Promise.resolve(attempts)
  })
  await t.rejects(connection(), { message: 'at once' })
  t.equal(await connection(), 2)
})

async function start(t: Test, transport: Transport) {
  const plugin = await launchExample(t, 'lazy', { transport })
  const calls = { start: 0, open: 0 }
  const store = openStore(join(t.testdir(), 'words.db'))
  t.teardown(() => store[Symbol.dispose]())
  store.main.set(Buffer.from('mux'), Buffer.from('many in one'))
  const starter = createStarter(plugin, () => ((calls.open += 1), store))
  const { id } = plugin.broker.serve(Starter, {
    start: (request, context) => ((calls.start += 1), starter.start(request, context))
  })
  const explain = (word: string) => plugin.dispense(Glossary).explain({ word, starter: id })
  return { plugin, calls, explain }
}

for (const transport of ['stream', 'socket', 'socket-mux'] as const) {
  t.test(`${transport}: nothing is dialled before the first use, and once for all`, async (t) => {
    const { plugin, calls, explain } = await start(t, transport)
    await explain('host')
    t.same(calls, { start: 0, open: 0 })
    const before = plugin.stats()
    await explain('host')
    if (transport === 'stream') t.same(plugin.stats().opened - before.opened, 1, "the host's own call")
    await Promise.all(['mux', 'mux', 'mux'].map(explain))
    t.same(await explain('mux'), { meaning: 'many in one' })
    t.match(await failureOf(explain('sun')), {
      status: status.NOT_FOUND,
      details: 'nobody knows what "sun" is'
    })
    t.same(calls, { start: 1, open: 1 })
  })
}
