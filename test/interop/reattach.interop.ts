// Hosts that take a plugin which runs already.
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { Echo } from '#proto/echo/v1/echo.js'
import { type Plugin, type ReattachConfig, attach } from '../../lib/host/index.js'
import { gone, isRunning } from '../helpers/launch.js'
import { brokeredId, callBack, launchSession } from './cases.js'
import {
  type Command,
  goPlugin,
  goProgram,
  nodePlugin,
  nodeProgram,
  ownTemporaryDirectory,
  runProgram,
  startProgram
} from './programs.js'

const plugins: readonly { readonly language: string; readonly command: Command }[] = [
  { language: 'Go', command: goPlugin },
  { language: 'TypeScript', command: nodePlugin }
]

/** Attaches, and lets go of the plugin when the test is over; one that is not in test mode ends then. */
async function attachTo(t: Test, config: ReattachConfig): Promise<Plugin> {
  const plugin = await attach(config, { name: 'echo' })
  t.teardown(() => plugin.kill())
  return plugin
}

/** The plugin stays when a host that says so lets go of it. */
function visiting(config: ReattachConfig): ReattachConfig {
  return { ...config, Test: true }
}

async function expectAnswers(t: Test, plugin: Plugin, text: string): Promise<void> {
  await plugin.ping()
  t.match(await plugin.dispense(Echo).echo({ text }), { text })
}

for (const { language, command } of plugins) {
  t.test(`a ${language} plugin outlives the host that launched it, and ends with the next`, async (t) => {
    await ownTemporaryDirectory(t)
    const options = JSON.stringify({ transport: 'socket', outlive: true })
    const { child, config } = await startProgram(t, [...nodeProgram('host.mjs'), options, ...command])
    child.stdin?.end()
    await once(child, 'exit')
    t.ok(isRunning(config.Pid))
    const plugin = await attachTo(t, config)
    t.equal(plugin.transport, 'socket')
    await expectAnswers(t, plugin, 'next')
    await plugin.close()
    await gone(config.Pid)
  })

  t.test(`two TypeScript hosts have one ${language} plugin`, async (t) => {
    await ownTemporaryDirectory(t)
    const { plugin: first, echo } = await launchSession(t, { command, transport: 'socket' })
    const second = await attachTo(t, visiting(first.reattachConfig!))
    await Promise.all([expectAnswers(t, first, 'first'), expectAnswers(t, second, 'second')])
    await second.close()
    // In Go the broker's link of the second host takes over.
    if (language === 'TypeScript') t.equal(await callBack(first, echo, 'first: '), 'first: called back')
    await first.close()
    t.same(await first.exited, { code: 0, signal: null })
  })

  t.test(`a Go host and a TypeScript host have one ${language} plugin`, async (t) => {
    await ownTemporaryDirectory(t)
    const { config } = await startProgram(t, [goProgram('host'), '-stay', ...command])
    await expectAnswers(t, await attachTo(t, visiting(config)), 'one of two')
    const last = await attachTo(t, config)
    await last.close()
    await gone(config.Pid)
  })
}

t.test('a Go host attaches to a TypeScript plugin that has a host', async (t) => {
  await ownTemporaryDirectory(t)
  const { plugin } = await launchSession(t, { command: nodePlugin, transport: 'socket' })
  const config = plugin.reattachConfig!
  for (const name of ['unary', 'status', 'bidirectional stream', 'deadline']) {
    const flags = [`-reattach=${JSON.stringify(visiting(config))}`, `-case=${name}`]
    const { code, stdout } = await runProgram([goProgram('host'), ...flags])
    t.match(JSON.parse(stdout), { case: name, ok: true, error: '' })
    t.equal(code, 0)
    await expectAnswers(t, plugin, name)
  }
  const leaving = await runProgram([goProgram('host'), `-reattach=${JSON.stringify(config)}`, '-case=ping'])
  t.equal(leaving.code, 0, leaving.stdout)
  t.same(await plugin.exited, { code: 0, signal: null })
})

t.test('a Go plugin in test mode stays when its host lets go of it', async (t) => {
  await ownTemporaryDirectory(t)
  const { child, config } = await startProgram(t, [...goPlugin, '-serve'])
  t.match(config, { Test: true, ProtocolVersion: 1 })
  const plugin = await attachTo(t, config)
  const echo = plugin.dispense(Echo)
  t.equal(await callBack(plugin, echo, 'host: '), 'host: called back')
  await using connection = plugin.broker.dial(await brokeredId(echo))
  t.match(await connection.dispense(Echo).echo({ text: 'x' }), { text: 'brokered x' })
  await plugin.close()
  await plugin.closed
  t.ok(isRunning(child.pid!))
  await expectAnswers(t, await attachTo(t, config), 'again')
})
