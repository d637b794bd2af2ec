import '../helpers/plain-children.js'
// The sample plugin in Go, on both forms of the stream: docs/protocol.md is enough to write one.
import { EventEmitter, once } from 'node:events'
import t, { type Test } from 'tap'
import { Echo } from '#proto/echo/v1/echo.js'
import {
  type LaunchOptions,
  type Plugin,
  type PluginError,
  type Served,
  implement
} from '../../lib/host/index.js'
import {
  type LaunchedFixture,
  echoHandshake,
  gone,
  isRunning,
  launchFixture,
  streamForms
} from '../helpers/launch.js'
import { goProgram, nodeProgram, runProgram, startProgram } from './programs.js'

const program = goProgram('stream-plugin')
const mebibyte = Buffer.alloc(1024 * 1024, '0123456789abcdef')

/** A broker ID as the plugin's `call-back` wants it. */
function idBytes(id: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(id)
  return bytes
}

/** Serves Echo's unary method to the plugin. */
function serveEcho(plugin: Plugin, say: (text: string) => string, id = plugin.broker.nextId()): Served {
  return plugin.broker.accept(id, [implement(Echo, { echo: ({ text }) => ({ text: say(text) }) })])
}

for (const stream of streamForms) {
  const launchGo = (t: Test, options: Partial<LaunchOptions> = {}): Promise<LaunchedFixture> =>
    launchFixture(t, 'stream-plugin', { command: [program], stream, ...options })

  t.test(`Go plugin, stream ${stream}`, async (t) => {
    t.test('the handshake names one version and the wire h2', async (t) => {
      const { plugin, logger } = await launchGo(t)
      t.equal(plugin.version, 1)
      t.match(await logger.seen(({ message }) => message === 'handshake'), {
        fields: { stream, wires: ['h2'], version: 1 }
      })
    })

    t.test('a unary call carries 0 bytes, a few, and 1 MiB', async (t) => {
      const echo = (await launchGo(t)).plugin.dispense(Echo)
      for (const payload of [Buffer.alloc(0), Buffer.from('few'), mebibyte]) {
        const answer = await echo.echo({ text: 'päck', payload })
        t.equal(answer.text, 'päck')
        t.ok(payload.equals(answer.payload), `${payload.length} bytes`)
      }
    })

    t.test('a server stream of 1 MiB messages arrives whole and in order', async (t) => {
      const echo = (await launchGo(t)).plugin.dispense(Echo)
      let count = 0
      for await (const { index, payload } of echo.repeat({ text: 'x', count: 8, payload: mebibyte })) {
        t.equal(index, count++)
        t.ok(mebibyte.equals(payload))
      }
      t.equal(count, 8)
    })

    t.test('a client stream of 1 MiB messages is collected whole and in order', async (t) => {
      const echo = (await launchGo(t)).plugin.dispense(Echo)
      const { text, count, payload } = await echo.collect(
        ['a', 'b', 'c'].map((letter) => ({ text: letter, payload: mebibyte }))
      )
      t.match({ text, count }, { text: 'abc', count: 3 })
      t.ok(Buffer.concat([mebibyte, mebibyte, mebibyte]).equals(payload))
    })

    t.test('a bidirectional stream answers each 1 MiB message before the next is sent', async (t) => {
      const echo = (await launchGo(t)).plugin.dispense(Echo)
      const answers = new EventEmitter()
      const requests = async function* () {
        for (let sent = 0; sent < 8; sent++) {
          const answer = once(answers, 'next')
          yield { text: String(sent), payload: mebibyte }
          await answer
        }
      }
      let answered = 0
      for await (const { text, index, payload } of echo.chat(requests())) {
        t.match({ text, index }, { text: String(answered), index: answered })
        t.ok(mebibyte.equals(payload))
        answered++
        answers.emit('next')
      }
      t.equal(answered, 8)
    })

    t.test('a failed call has the status and the details of the handler', async (t) => {
      const echo = (await launchGo(t)).plugin.dispense(Echo)
      await t.rejects(echo.fail({ code: 5, details: 'nichts da: ä' }), {
        code: 'ERR_CALL_FAILED',
        status: 5,
        details: 'nichts da: ä'
      })
    })

    t.test('100 calls at once each get their own answer', async (t) => {
      const echo = (await launchGo(t)).plugin.dispense(Echo)
      const texts = Array.from({ length: 100 }, (_, index) => `call ${index}`)
      const answers = await Promise.all(
        texts.map((text) => echo.echo({ text, payload: mebibyte.subarray(0, 10_000) }))
      )
      t.same(
        answers.map(({ text }) => text),
        texts
      )
    })

    t.test('the plugin calls 100 services of the host at once', async (t) => {
      const { plugin } = await launchGo(t)
      const echo = plugin.dispense(Echo)
      const answers = await Promise.all(
        Array.from({ length: 100 }, async (_, index) => {
          await using served = serveEcho(plugin, (text) => `${text} ${index}`)
          return (await echo.echo({ text: 'call-back', payload: idBytes(served.id) })).text
        })
      )
      t.same(
        answers,
        Array.from({ length: 100 }, (_, index) => `called back ${index}`)
      )
    })

    t.test('one service of the host takes 100 connections at once', async (t) => {
      const { plugin } = await launchGo(t)
      const echo = plugin.dispense(Echo)
      await using served = serveEcho(plugin, (text) => `host: ${text}`)
      const payload = idBytes(served.id)
      const answers = await Promise.all(
        Array.from({ length: 100 }, () => echo.echo({ text: 'call-back', payload }))
      )
      t.ok(answers.every(({ text }) => text === 'host: called back'))
    })

    t.test('the host dials 100 brokered services of the plugin at once', async (t) => {
      const { plugin } = await launchGo(t)
      const echo = plugin.dispense(Echo)
      const answers = await Promise.all(
        Array.from({ length: 100 }, async (_, index) => {
          const { text: id } = await echo.echo({ text: 'serve' })
          await using connection = plugin.broker.dial(Number(id))
          return (await connection.dispense(Echo).echo({ text: String(index) })).text
        })
      )
      t.same(
        answers,
        Array.from({ length: 100 }, (_, index) => `brokered ${index}`)
      )
    })

    t.test('a dial that comes before its accept waits for it, in the host', async (t) => {
      const { plugin } = await launchGo(t)
      const id = plugin.broker.nextId()
      const calling = plugin.dispense(Echo).echo({ text: 'call-back', payload: idBytes(id) })
      while (plugin.stats().waitingDials === 0) await new Promise(setImmediate)
      await using _accepted = serveEcho(plugin, (text) => `at last ${text}`, id)
      t.match(await calling, { text: 'at last called back' })
    })

    t.test('an ID that the plugin does not serve is refused, and the session goes on', async (t) => {
      const { plugin } = await launchGo(t)
      await using connection = plugin.broker.dial(4_000_000_000)
      const error = await connection
        .dispense(Echo)
        .echo({ text: 'x' })
        .catch((failure: unknown) => failure as PluginError)
      t.match(error, { code: 'ERR_BROKER_TIMEOUT', status: 14, message: /4000000000/ })
      await plugin.ping()
    })

    t.test('an ID that the host does not serve is refused, and the session goes on', async (t) => {
      const { plugin } = await launchGo(t, { acceptTimeoutMs: 50 })
      await t.rejects(plugin.dispense(Echo).echo({ text: 'call-back', payload: idBytes(4_000_000_000) }), {
        code: 'ERR_CALL_FAILED',
        status: 14,
        details: /broker ID 4000000000: refused with 1/
      })
      await plugin.ping()
    })

    t.test('cancelling a call cancels its handler in the plugin', async (t) => {
      const { plugin, logger } = await launchGo(t)
      const echo = plugin.dispense(Echo)
      const cancel = new AbortController()
      const reason = new Error('no longer wanted')
      const hanging = t.rejects(echo.echo({ text: 'hang' }, { signal: cancel.signal }), reason)
      // The answer to a later call says that this one is there.
      await echo.echo({ text: 'other' })
      cancel.abort(reason)
      await hanging
      await logger.seen(({ message }) => message === 'cancelled')
    })

    t.test('a deadline ends the call on both sides', async (t) => {
      const { plugin, logger } = await launchGo(t)
      await t.rejects(plugin.dispense(Echo).echo({ text: 'hang' }, { timeoutMs: 50 }), {
        status: 4,
        message: /DEADLINE/
      })
      await logger.seen(({ message }) => message === 'cancelled')
    })

    t.test('health answers the host, and yamux pings are answered both ways', async (t) => {
      const { plugin } = await launchGo(t)
      await plugin.ping()
      t.match(await plugin.dispense(Echo).echo({ text: 'ping-host' }), { text: 'ping-host' })
    })

    t.test('what the plugin prints reaches the log, not the stream', async (t) => {
      const { plugin, logger } = await launchGo(t)
      await plugin.dispense(Echo).echo({ text: 'print', payload: Buffer.from('ä') })
      const out = await logger.seen(({ message }) => message === 'out ä')
      t.equal(out.fields['stream'], stream === 'fd' ? 'stdout' : 'stderr')
      t.match(await logger.seen(({ message }) => message === 'err ä'), { fields: { stream: 'stderr' } })
      await plugin.ping()
    })

    t.test('close lets a call in flight end, and the plugin leaves with code 0', async (t) => {
      const { plugin, logger } = await launchGo(t)
      const inFlight = plugin.dispense(Echo).sleep({ ms: 200 })
      await plugin.close()
      await inFlight
      t.same(await plugin.exited, { code: 0, signal: null })
      t.notOk(logger.records.some(({ level }) => level === 'warn' || level === 'error'))
    })

    t.test('SIGTERM lets a call in flight end too, and SIGINT is left to the host', async (t) => {
      const { plugin } = await launchGo(t)
      const echo = plugin.dispense(Echo)
      process.kill(plugin.pid, 'SIGINT')
      await echo.echo({ text: 'still here' })
      const inFlight = echo.sleep({ ms: 200 })
      await echo.echo({ text: 'the other one has arrived' })
      process.kill(plugin.pid, 'SIGTERM')
      await inFlight
      t.same(await plugin.exited, { code: 0, signal: null })
    })

    t.test('kill ends the plugin at once', async (t) => {
      const { plugin } = await launchGo(t)
      const hanging = t.rejects(plugin.dispense(Echo).echo({ text: 'hang' }), {
        status: 14,
        message: /killed/
      })
      await plugin.dispense(Echo).echo({ text: 'the other one has arrived' })
      await plugin.kill()
      await hanging
      t.match(await plugin.exited, { signal: 'SIGKILL' })
    })

    t.test('an exit is told with its code and the last lines of stderr', async (t) => {
      const { plugin } = await launchGo(t)
      await t.rejects(plugin.dispense(Echo).echo({ text: 'exit' }), {
        code: 'ERR_PROCESS_EXITED',
        status: 14,
        message: /exited with code 3; last on stderr: "about to exit"/,
        cause: { exitCode: 3, stderrTail: ['about to exit'] }
      })
    })

    t.test('a panic is told with its text, and logged as an error', async (t) => {
      const { plugin, logger } = await launchGo(t)
      const error = await plugin
        .dispense(Echo)
        .echo({ text: 'crash' })
        .catch((failure: unknown) => failure as PluginError)
      t.match(error, { code: 'ERR_PROCESS_EXITED', status: 14, cause: { exitCode: 2 } })
      t.match(await logger.seen(({ message }) => message === 'panic: boom in the plugin'), { level: 'error' })
    })

    t.test('the plugin ends when its host is killed', async (t) => {
      const options = JSON.stringify({ transport: 'stream', stream })
      const { child: host, config } = await startProgram(t, [...nodeProgram('host.mjs'), options, program])
      t.ok(isRunning(config.Pid))
      host.kill('SIGKILL')
      await gone(config.Pid)
    })

    t.test('a wrong cookie is refused in words that the host understands', async (t) => {
      await t.rejects(launchGo(t, { handshake: { ...echoHandshake, cookieValue: 'other' } }), {
        code: 'ERR_HANDSHAKE_COOKIE'
      })
    })

    t.test('a version that the plugin does not have is refused by the host', async (t) => {
      await t.rejects(launchGo(t, { handshake: { ...echoHandshake, protocolVersion: 2 } }), {
        code: 'ERR_HANDSHAKE_VERSION'
      })
    })
  })
}

t.test('Go plugin, started by hand, says that it is a plugin', async (t) => {
  t.match(await runProgram([program], { env: {} }), { code: 1, stdout: '', stderr: /ERR_HANDSHAKE_COOKIE/ })
})
