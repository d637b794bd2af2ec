// The kinds of socket that a plugin can be asked for, with all that goes over them.
import { statSync } from 'node:fs'
import { dirname } from 'node:path'
import t from 'tap'
import { Echo } from '#proto/echo/v1/echo.js'
import { type Plugin, implement, launch } from '../../lib/host/index.js'
import { fixtureOptions, launchFixture } from '../helpers/launch.js'

/** Calls the plugin, lets it call back, and dials a service of its own. */
async function callBothWays(plugin: Plugin): Promise<string[]> {
  const echo = plugin.dispense(Echo)
  const say = implement(Echo, { echo: ({ text }) => ({ text: `host: ${text}` }) })
  await using served = plugin.broker.accept(plugin.broker.nextId(), [say])
  const payload = Buffer.alloc(4)
  payload.writeUInt32BE(served.id)
  const { text: id } = await echo.echo({ text: 'serve' })
  await using connection = plugin.broker.dial(Number(id))
  const answers = [
    await echo.echo({ text: 'direct' }),
    await echo.echo({ text: 'call-back', payload }),
    await connection.dispense(Echo).echo({ text: 'dialled' })
  ]
  return answers.map(({ text }) => text)
}

for (const transport of ['socket', 'socket-mux'] as const) {
  for (const autoMtls of [false, true]) {
    t.test(`TCP, transport ${transport}, ${autoMtls ? 'AutoMTLS' : 'plain'}`, async (t) => {
      const { plugin, logger } = await launchFixture(t, 'plugin-echo.mjs', {
        transport,
        autoMtls,
        ports: { min: 41_000, max: 42_000 },
        behave: { serve: { network: 'tcp' } }
      })
      const { fields } = logger.records.find(({ message }) => message === 'handshake')!
      t.equal(fields['network'], 'tcp')
      const port = Number(/^127\.0\.0\.1:(\d+)$/.exec(String(fields['address']))?.[1])
      t.ok(port >= 41_000 && port <= 42_000, `port ${port} is of the host's range`)
      t.same(await callBothWays(plugin), ['direct', 'host: called back', 'brokered dialled'])
    })
  }
}

t.test('a range of ports that is none is refused before anything is started', async (t) => {
  for (const ports of [
    { min: 9, max: 1 },
    { min: -1, max: 1 },
    { min: 1, max: 65_536 },
    { min: 1.5, max: 2 }
  ]) {
    await t.rejects(launch(fixtureOptions('plugin-echo.mjs', { ports })), {
      code: 'ERR_CONFIG_INVALID',
      hint: /65535/
    })
  }
})

t.test('a group may use the sockets, and their directory', async (t) => {
  const gid = process.getgid!()
  const { plugin } = await launchFixture(t, 'plugin-echo.mjs', {
    transport: 'socket',
    socketGroup: String(gid)
  })
  const path = plugin.reattachConfig!.Addr.String
  t.match(statSync(path), { gid })
  t.equal(statSync(path).mode & 0o777, 0o660)
  t.equal(statSync(dirname(path)).mode & 0o777, 0o770)
  t.same(await callBothWays(plugin), ['direct', 'host: called back', 'brokered dialled'])
})

t.test("without one they are this user's alone", async (t) => {
  const { plugin } = await launchFixture(t, 'plugin-echo.mjs', { transport: 'socket' })
  const path = plugin.reattachConfig!.Addr.String
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.equal(statSync(dirname(path)).mode & 0o777, 0o700)
})
