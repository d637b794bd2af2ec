import '../helpers/plain-children.js'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { Echo } from '#proto/echo/v1/echo.js'
import { PluginError } from '../../lib/host/index.js'
import { fixture, gone, isRunning, launchFixture, streamForms } from '../helpers/launch.js'

/** Starts test/fixtures/host-idle.mjs, a host of its own; its first line is the plugin's pid. */
async function startHost(
  t: Test,
  env: Record<string, string>
): Promise<{ host: ChildProcess; pluginPid: number; lines: AsyncIterator<string> }> {
  const host = spawn(process.execPath, [fixture('host-idle.mjs')], {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const lines = createInterface(host.stdout)[Symbol.asyncIterator]()
  const pluginPid = Number((await lines.next()).value)
  t.teardown(() => {
    host.kill('SIGKILL')
    if (isRunning(pluginPid)) process.kill(pluginPid, 'SIGKILL')
  })
  return { host, pluginPid, lines }
}

for (const stream of streamForms) {
  t.test(`stream ${stream}`, async (t) => {
    t.test('calls pending when the plugin exits fail with UNAVAILABLE and say how it ended', async (t) => {
      const { plugin, logger } = await launchFixture(t, 'plugin-echo.mjs', { stream })
      const echo = plugin.dispense(Echo)
      const pending = [echo.echo({ text: 'hang' }), echo.sleep({ ms: 60_000 })]
      const failures = Promise.allSettled(pending)
      await t.rejects(echo.echo({ text: 'exit' }), {
        code: 'ERR_PROCESS_EXITED',
        status: 14,
        message: /echo \(pid \d+\) exited with code 3; last on stderr: "about to exit"/
      })
      for (const outcome of await failures) {
        t.match(outcome, { status: 'rejected', reason: { code: 'ERR_PROCESS_EXITED', status: 14 } })
        t.match((outcome as PromiseRejectedResult).reason.cause, {
          exitCode: 3,
          stderrTail: ['about to exit']
        })
      }
      t.same(await plugin.exited, { code: 3, signal: null })
      await plugin.closed
      // Later calls say the same, at once.
      await t.rejects(echo.echo({ text: 'late' }), { status: 14, message: /exited with code 3/ })
      await t.rejects(plugin.ping(), { code: 'ERR_PROCESS_EXITED' })
      t.throws(() => plugin.broker.dial(1), { code: 'ERR_BROKER_CLOSED' })
      t.ok(logger.records.some(({ level, message }) => level === 'warn' && message === 'plugin exited'))
    })

    t.test('an exception that nobody catches is told with its text', async (t) => {
      const { plugin } = await launchFixture(t, 'plugin-echo.mjs', { stream })
      const error = (await plugin
        .dispense(Echo)
        .echo({ text: 'crash' })
        .catch((failure: unknown) => failure)) as PluginError
      t.match(error, { code: 'ERR_PROCESS_EXITED', status: 14, message: /exited with code 1/ })
      t.match((error.cause as PluginError).stderrTail!.join('\n'), /boom in the plugin/)
    })

    t.test('a signal that ends the plugin is told by name, also in a stream of answers', async (t) => {
      const { plugin } = await launchFixture(t, 'plugin-echo.mjs', { stream })
      const echo = plugin.dispense(Echo)
      let received = 0
      await t.rejects(
        (async () => {
          for await (const { index } of echo.repeat({ text: 'x', count: 10_000_000 })) {
            received = index
            if (index === 10) process.kill(plugin.pid, 'SIGSEGV')
          }
        })(),
        { code: 'ERR_PROCESS_EXITED', status: 14, message: /SIGSEGV/ }
      )
      t.ok(received >= 10)
      t.match(await plugin.exited, { signal: 'SIGSEGV' })
    })

    t.test(
      'close lets a call in flight end, refuses new ones, and the plugin leaves with code 0',
      async (t) => {
        const { plugin, logger } = await launchFixture(t, 'plugin-echo.mjs', { stream })
        const echo = plugin.dispense(Echo)
        const inFlight = echo.sleep({ ms: 200 })
        const closing = plugin.close()
        t.equal(plugin.close(), closing, 'safe to repeat')
        await t.rejects(echo.echo({ text: 'too late' }), PluginError)
        await inFlight
        await closing
        t.same(await plugin.exited, { code: 0, signal: null })
        await logger.seen(({ message }) => message === 'onStop')
        t.notOk(isRunning(plugin.pid))
        t.notOk(logger.records.some(({ level }) => level === 'warn'))
      }
    )

    t.test('a call that outlasts the grace time is cancelled in the plugin and ends', async (t) => {
      const { plugin, logger } = await launchFixture(t, 'plugin-echo.mjs', {
        stream,
        graceMs: 20,
        behave: { serve: { graceMs: 20 } }
      })
      const hanging = t.rejects(plugin.dispense(Echo).echo({ text: 'hang' }), PluginError)
      await plugin.dispense(Echo).echo({ text: 'the other one has arrived' })
      await plugin.close()
      await hanging
      await logger.seen(({ message }) => message === 'cancelled')
      t.same(await plugin.exited, { code: 0, signal: null })
    })

    t.test('a plugin with timers and servers of its own leaves all the same', async (t) => {
      const { plugin } = await launchFixture(t, 'plugin-echo.mjs', {
        stream,
        behave: { timers: true, server: true, hangOnStop: true, serve: { stopTimeoutMs: 20 } }
      })
      await plugin.close()
      t.same(await plugin.exited, { code: 0, signal: null })
    })

    t.test('a plugin that cannot answer gets SIGTERM, then SIGKILL', async (t) => {
      const { plugin, logger } = await launchFixture(t, 'plugin-echo.mjs', {
        stream,
        graceMs: 20,
        shutdownTimeoutMs: 20,
        exitTimeoutMs: 20,
        termTimeoutMs: 20
      })
      const blocked = t.rejects(plugin.dispense(Echo).echo({ text: 'block' }), {
        status: 14,
        message: /UNAVAILABLE/
      })
      await plugin.ping({ timeoutMs: 50 }).catch(() => {})
      await plugin.close()
      await blocked
      t.match(await plugin.exited, { code: null, signal: 'SIGKILL' })
      const steps = logger.records.filter(({ message }) => /sending a signal/.test(message))
      t.same(
        steps.map(({ fields }) => fields['signal']),
        ['SIGTERM', 'SIGKILL']
      )
    })

    t.test('kill ends the plugin and what it has started at once, and is safe to repeat', async (t) => {
      const { plugin, logger } = await launchFixture(t, 'plugin-echo.mjs', {
        stream,
        behave: { grandchild: true }
      })
      const { fields } = await logger.seen(({ message }) => message === 'grandchild')
      const pending = t.rejects(plugin.dispense(Echo).echo({ text: 'hang' }), {
        code: 'ERR_STREAM_CLOSED',
        status: 14,
        message: /was killed by the host/
      })
      await plugin.dispense(Echo).echo({ text: 'the other one has arrived' })
      await plugin.kill()
      await plugin.kill()
      await pending
      t.match(await plugin.exited, { signal: 'SIGKILL' })
      await gone(fields['grandchild'] as number)
      // And closing what is gone is nothing.
      await plugin.close()
    })

    t.test('what a plugin leaves behind in its process group ends with it', async (t) => {
      const { plugin, logger } = await launchFixture(t, 'plugin-echo.mjs', {
        stream,
        behave: { grandchild: true }
      })
      const { fields } = await logger.seen(({ message }) => message === 'grandchild')
      await plugin.close()
      await gone(fields['grandchild'] as number)
    })

    t.test('`await using` closes the plugin', async (t) => {
      let pid: number
      {
        const { plugin } = await launchFixture(t, 'plugin-echo.mjs', { stream })
        await using disposed = plugin
        pid = disposed.pid
        await disposed.ping()
      }
      t.notOk(isRunning(pid))
    })

    t.test('the plugin ends when its host is killed, with timers and sockets of its own open', async (t) => {
      const { host, pluginPid } = await startHost(t, {
        MODE: 'stay',
        STREAM: stream,
        ECHO_OPTIONS: JSON.stringify({ timers: true, server: true })
      })
      t.ok(isRunning(pluginPid))
      host.kill('SIGKILL')
      await once(host, 'exit')
      await gone(pluginPid)
    })

    t.test('an idle plugin does not keep its host running, and ends with it', async (t) => {
      const { host, pluginPid } = await startHost(t, { MODE: 'idle', STREAM: stream })
      const [code] = (await once(host, 'exit')) as [number]
      t.equal(code, 0)
      await gone(pluginPid)
    })

    t.test('a call in flight, or a close, keeps the host running until it is done', async (t) => {
      const call = await startHost(t, { MODE: 'call', STREAM: stream })
      t.equal((await call.lines.next()).value, 'answered')
      const close = await startHost(t, { MODE: 'closing', STREAM: stream })
      t.equal((await close.lines.next()).value, 'closed')
      t.notOk(isRunning(close.pluginPid))
    })
  })
}

t.test('a plugin started by hand explains itself and exits with code 1', async (t) => {
  const child = spawn(process.execPath, [fixture('plugin-echo.mjs')], { stdio: ['ignore', 'pipe', 'pipe'] })
  const [said, printed, [code]] = await Promise.all([
    text(child.stderr),
    text(child.stdout),
    once(child, 'exit') as Promise<[number]>
  ])
  t.equal(code, 1)
  t.match(said, /plugin-echo.mjs is a plugin/)
  t.match(said, /Start the program that uses it/)
  t.equal(printed, '')
})
