import '../helpers/plain-children.js'
import { type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import t from 'tap'
import { Echo } from '#proto/echo/v1/echo.js'
import { Health } from '#proto/grpc/health/v1/health.js'
import { Metadata, PluginError, launch } from '../../lib/host/index.js'
import {
  fixture,
  fixtureOptions,
  gone,
  launchFixture,
  recordingLogger,
  streamForms
} from '../helpers/launch.js'

t.test('a launch that is aborted before anything has happened rejects, and nothing else does', async (t) => {
  const controller = new AbortController()
  const launching = launch({ ...fixtureOptions('plugin-echo.mjs'), signal: controller.signal })
  const reason = new Error('at once')
  controller.abort(reason)
  await t.rejects(launching, reason)
  await new Promise(setImmediate)
})

t.test('however many calls are cancelled, the next one works', async (t) => {
  const { plugin } = await launchFixture(t, 'plugin-echo.mjs')
  const echo = plugin.dispense(Echo)
  // node:http2 ends a connection after about a thousand resets in a short time.
  for (let round = 0; round < 60; round++) {
    const controller = new AbortController()
    const calls = Array.from({ length: 50 }, () => echo.echo({ text: 'hang' }, { signal: controller.signal }))
    const settled = Promise.allSettled(calls)
    await echo.echo({ text: 'sent' }).catch(() => {})
    controller.abort()
    await settled
  }
  t.equal((await echo.echo({ text: 'still here' })).text, 'still here')
  await plugin.ping()
})

t.test('metadata larger than a server takes fail their call alone', async (t) => {
  const { plugin } = await launchFixture(t, 'plugin-echo.mjs')
  const echo = plugin.dispense(Echo)
  for (const bytes of [70_000, 250_000, 2_000_000]) {
    const metadata = new Metadata()
    metadata.set('big', 'v'.repeat(bytes))
    await t.rejects(echo.echo({ text: 'x' }, { metadata }), { message: /RESOURCE_EXHAUSTED/ })
    t.equal((await echo.echo({ text: 'y' })).text, 'y')
  }
  t.equal((await echo.echo({ text: 'z' }, { metadata: { big: 'v'.repeat(60_000) } })).text, 'z')
})

for (const stream of streamForms) {
  t.test(`stream ${stream}: bytes that are not the protocol are told as such`, async (t) => {
    const { plugin, logger } = await launchFixture(t, 'plugin-stubborn.mjs', {
      stream,
      env: { MODE: 'garbage', STREAM: stream }
    })
    await t.rejects(plugin.dispense(Echo).echo({ text: 'x' }), PluginError)
    await plugin.exited
    await logger.seen(({ level, message }) => level === 'warn' && message === 'the connection was lost')
    const { fields } = logger.records.find(({ message }) => message === 'the connection was lost')!
    t.match(fields['err'], { code: 'ERR_SESSION_PROTOCOL' })
  })

  t.test(`stream ${stream}: a plugin that is still making its services ends with its host`, async (t) => {
    const script = `
      import { launch } from 'muxplug/host'
      const logger = { trace() {}, debug() {}, warn() {}, error() {}, info: ({ pid_ }) => pid_ && console.log(pid_) }
      await launch({ command: [process.execPath, process.argv[1]], stream: '${stream}', logger,
        handshake: { cookieKey: 'ECHO_PLUGIN', cookieValue: 'echo' }, env: { MODE: 'slow-services' } })`
    const args = ['--input-type=module', '-e', script, fixture('plugin-stubborn.mjs')]
    const options: SpawnOptions = { stdio: ['ignore', 'pipe', 'inherit'], env: { PATH: process.env['PATH'] } }
    const host = spawn(process.execPath, args, options)
    t.teardown(() => host.kill('SIGKILL'))
    const [line] = (await once(createInterface(host.stdout!), 'line')) as [string]
    host.kill('SIGKILL')
    await once(host, 'exit')
    await gone(Number(line))
  })

  t.test(`stream ${stream}: a plugin that has just answered is ready for SIGTERM`, async (t) => {
    const { plugin, logger } = await launchFixture(t, 'plugin-echo.mjs', { stream })
    process.kill(plugin.pid, 'SIGTERM')
    t.same(await plugin.exited, { code: 0, signal: null })
    await logger.seen(({ message }) => message === 'onStop')
  })
}

t.test('a plugin that needs SIGTERM and time gets both', async (t) => {
  const { plugin, logger } = await launchFixture(t, 'plugin-stubborn.mjs', {
    env: { MODE: 'flushes' },
    exitTimeoutMs: 50,
    termTimeoutMs: 60_000
  })
  await plugin.close()
  t.same(await plugin.exited, { code: 9, signal: null })
  t.ok(logger.records.some(({ message }) => message === 'flushed'))
})

t.test(
  'a failing onStop is logged, and a slow one is waited for without limit where that is asked',
  async (t) => {
    const failing = await launchFixture(t, 'plugin-stubborn.mjs', { env: { MODE: 'fails-on-stop' } })
    await failing.plugin.close()
    t.ok(failing.logger.records.some(({ fields }) => /disk is full/.test(String(fields['err']))))
    t.same(await failing.plugin.exited, { code: 0, signal: null })

    // In a process of its own, which has nothing else to keep it running.
    const script = `
    import { launch } from 'muxplug/host'
    const plugin = await launch({ command: [process.execPath, process.argv[1]], exitTimeoutMs: Infinity,
      handshake: { cookieKey: 'ECHO_PLUGIN', cookieValue: 'echo' }, env: { MODE: 'slow-stop' } })
    await plugin.close()
    console.log((await plugin.exited).code)`
    const args = ['--input-type=module', '-e', script, fixture('plugin-stubborn.mjs')]
    const options: SpawnOptions = { stdio: ['ignore', 'pipe', 'inherit'], env: { PATH: process.env['PATH'] } }
    const host = spawn(process.execPath, args, options)
    const [line] = (await once(createInterface(host.stdout!), 'line')) as [string]
    t.equal(line, '0')
  }
)

t.test('numbers that are no broker ID, and too many connections, are told as such', async (t) => {
  // The engine with the lower limit, and the wire on which a connection is a substream.
  const { plugin } = await launchFixture(t, 'plugin-echo.mjs', { muxer: 'libp2p', wires: ['h2'] })
  for (const id of [-1, 1.5, 'x', undefined]) {
    t.throws(() => plugin.broker.dial(id as number), { code: 'ERR_CONFIG_INVALID' })
  }
  const connections = []
  // Fewer at once than may wait for their accept.
  let refused: unknown
  while (refused === undefined && connections.length < 1100) {
    const some = Array.from({ length: 100 }, () => plugin.broker.dial(0))
    connections.push(...some)
    const checks = some.map((connection) => connection.dispense(Health).check({ service: '' }))
    const outcomes = await Promise.allSettled(checks)
    refused = outcomes.find((outcome) => outcome.status === 'rejected')?.reason
  }
  t.match(refused, { code: 'ERR_SESSION_LIMIT', status: 14 })
  t.equal(connections.length, 1100, 'the first thousand were served')
  await Promise.all(connections.map((connection) => connection.close()))
  t.equal((await plugin.dispense(Echo).echo({ text: 'again' })).text, 'again')
})

t.test('what comes after close() has begun is refused, with the reason', async (t) => {
  const { plugin } = await launchFixture(t, 'plugin-echo.mjs')
  const echo = plugin.dispense(Echo)
  const other = plugin.broker.dial(0)
  await other.dispense(Echo).echo({ text: 'connected' })
  const inFlight = echo.sleep({ ms: 200 })
  const closing = plugin.close()
  for (const client of [echo, other.dispense(Echo)]) {
    await t.rejects(client.echo({ text: 'late' }), {
      code: 'ERR_STREAM_CLOSED',
      status: 14,
      message: /was closed by the host/
    })
  }
  t.throws(() => plugin.broker.dial(0), { code: 'ERR_BROKER_CLOSED' })
  t.throws(() => plugin.broker.accept(99, []), { code: 'ERR_BROKER_CLOSED' })
  await inFlight
  await closing
})

t.test("the plugin's own calls to the host are let finish, too", async (t) => {
  const { plugin } = await launchFixture(t, 'plugin-echo.mjs')
  const { promise: reached, resolve: onReached } = withResolvers()
  const { promise: released, resolve: release } = withResolvers()
  const served = plugin.broker.serve(Echo, {
    echo: async ({ text }: { text: string }) => {
      onReached()
      await released
      return { text }
    }
  } as never)
  const payload = Buffer.alloc(4)
  payload.writeUInt32BE(served.id)
  // Nobody waits for this one here: only the plugin's call to the host is left in flight.
  const controller = new AbortController()
  const call = plugin.dispense(Echo).echo({ text: 'call-back', payload }, { signal: controller.signal })
  await reached
  controller.abort()
  await t.rejects(call)
  const closing = plugin.close()
  release()
  await closing
  t.same(await plugin.exited, { code: 0, signal: null })
})

t.test('somebody who watches the health for ever does not hold up the end', async (t) => {
  const { plugin, logger } = await launchFixture(t, 'plugin-echo.mjs', { graceMs: 60_000 })
  await plugin.dispense(Echo).echo({ text: 'watch-host' })
  await plugin.close()
  t.same(await plugin.exited, { code: 0, signal: null })
  t.notOk(logger.records.some(({ level }) => level === 'warn'))
})

t.test('a record of the application cannot take the place of how the plugin died', async (t) => {
  const script = `
    console.error(JSON.stringify({ '@level': 'error', '@message': 'db call failed', code: 'ERR_CALL_FAILED' }))
    console.error(JSON.stringify({ '@level': 'error', '@message': 'x', code: 'ERR_HANDSHAKE_COOKIE' }))
    console.error('the real reason')
    process.exit(7)`
  await t.rejects(
    launch({ ...fixtureOptions('plugin-echo.mjs'), command: [process.execPath, '-e', script] }),
    {
      code: 'ERR_PROCESS_EXITED',
      exitCode: 7,
      message: /exited with code 7 .*the real reason/
    }
  )
})

t.test('a flood of newlines leaves the host its event loop', async (t) => {
  const script = `
    process.stderr.write('\\n'.repeat(3_000_000), () => {
      console.error('the flood is over')
      process.exit(3)
    })`
  const logger = recordingLogger()
  let turns = 0
  const counting = setInterval(() => (turns += 1), 1)
  t.teardown(() => clearInterval(counting))
  const command = [process.execPath, '-e', script] as const
  await t.rejects(launch({ ...fixtureOptions('plugin-echo.mjs'), command, logger }), {
    code: 'ERR_PROCESS_EXITED',
    message: /code 3/
  })
  t.ok(logger.records.length < 100, 'empty lines are no records')
  t.ok(turns > 20, `the event loop turned ${turns} times`)
})

/** As Promise.withResolvers, which Node 20 lacks. */
function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => {}
  const promise = new Promise<void>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}
