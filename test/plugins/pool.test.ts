import '../helpers/plain-children.js'
import t, { type Test } from 'tap'
import { Echo } from '#proto/echo/v1/echo.js'
import { createPool } from '../../plugins/pool/pool.js'
import { checkPage, launchExample } from '../helpers/example.js'

t.test('the page', (t) => checkPage(t, 'pool'))

async function start(t: Test, size: number) {
  const plugin = await launchExample(t, 'echo', { transport: 'socket' })
  const pool = createPool(plugin.broker, 0, Echo, size)
  const before = plugin.stats().opened
  return { plugin, pool, opened: () => plugin.stats().opened - before }
}

t.test('calls at once are spread, and connections are opened as they are needed', async (t) => {
  const { pool, opened } = await start(t, 3)
  const echo = (text: string) => pool.run((client) => client.echo({ text }))
  t.equal(opened(), 0)
  for (const text of ['a', 'b']) t.match(await echo(text), { text })
  t.equal(opened(), 1, 'one after another')
  await Promise.all([echo('a'), echo('b')])
  t.equal(opened(), 2, 'two at once')
  await Promise.all(['a', 'b', 'c', 'd', 'e', 'f'].map(echo))
  t.equal(opened(), 3, 'never more than there are')
})

t.test('a call that fails gives its connection back', async (t) => {
  const { pool, opened } = await start(t, 2)
  for (let count = 0; count < 3; count += 1) {
    await t.rejects(pool.run((client) => client.fail({ code: 5, details: 'gone' })))
  }
  t.equal(opened(), 1)
})

t.test('a pool that is disposed of has no connection left', async (t) => {
  const { plugin, pool } = await start(t, 2)
  const before = plugin.stats().substreams
  await Promise.all([1, 2].map(() => pool.run((client) => client.echo({}))))
  t.equal(plugin.stats().substreams, before + 2)
  await pool[Symbol.asyncDispose]()
  while (plugin.stats().substreams !== before) await new Promise((resolve) => setTimeout(resolve, 1))
  await t.rejects(pool.run((client) => client.echo({})))
})
