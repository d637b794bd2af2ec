import t from 'tap'
import { Echo } from '#proto/echo/v1/echo.js'
import {
  credentials,
  makeClientConstructor,
  type sendUnaryData,
  type ServerUnaryCall,
  type UntypedServiceImplementation
} from '@grpc/grpc-js'
import { launch } from '../../lib/host/index.js'
import { serviceDefinition } from '../../lib/grpc/service.js'
import { fixtureOptions, launchFixture, streamForms } from '../helpers/launch.js'

for (const stream of streamForms) {
  t.test(`stream ${stream}`, async (t) => {
    t.test('all kinds of calls reach the plugin and come back', async (t) => {
      const { plugin } = await launchFixture(t, 'plugin-echo.mjs', { stream })
      t.match(plugin, { name: 'echo', version: 1, pid: Number })
      const echo = plugin.dispense(Echo)
      t.equal((await echo.echo({ text: 'hello' })).text, 'hello')

      const repeated: number[] = []
      for await (const { index } of echo.repeat({ text: 'again', count: 3 })) repeated.push(index)
      t.same(repeated, [0, 1, 2])

      const collected = await echo.collect([{ text: 'a' }, { text: 'b', payload: Buffer.from('12345') }])
      t.match(collected, { text: 'ab', count: 5 })

      const answers: string[] = []
      for await (const { text } of echo.chat([{ text: 'x' }, { text: 'y' }])) answers.push(text)
      t.same(answers, ['x', 'y'])
    })

    t.test('a message larger than 4 MiB passes both ways', async (t) => {
      const { plugin } = await launchFixture(t, 'plugin-echo.mjs', { stream })
      const payload = Buffer.alloc(10 * 1024 * 1024, 7)
      const answer = await plugin.dispense(Echo).echo({ payload })
      t.ok(payload.equals(answer.payload))
    })

    t.test('each side can ask for the health of the other', async (t) => {
      const { plugin } = await launchFixture(t, 'plugin-echo.mjs', { stream })
      await plugin.ping()
      t.equal((await plugin.dispense(Echo).echo({ text: 'ping-host' })).text, 'ping-host')
    })

    t.test('the plugin calls back to services that the host serves by ID', async (t) => {
      const { plugin } = await launchFixture(t, 'plugin-echo.mjs', { stream })
      const calls: string[] = []
      const served = plugin.broker.serve(Echo, {
        ...notCalled,
        echo({ text }) {
          calls.push(text)
          return { text: `host heard: ${text}` }
        }
      })
      const payload = Buffer.alloc(4)
      payload.writeUInt32BE(served.id)
      const answer = await plugin.dispense(Echo).echo({ text: 'call-back', payload })
      t.equal(answer.text, 'host heard: called back')
      t.same(calls, ['called back'])
      await served.close()
    })

    t.test('a grpc-js definition with its handlers is served as it is', async (t) => {
      const { plugin } = await launchFixture(t, 'plugin-echo.mjs', { stream })
      const handlers: UntypedServiceImplementation = {
        echo(call: ServerUnaryCall<{ text: string }, object>, callback: sendUnaryData<object>) {
          callback(null, { text: `stock handler heard: ${call.request.text}` })
        }
      }
      const served = plugin.broker.accept(plugin.broker.nextId(), [
        { definition: serviceDefinition(Echo), handlers }
      ])
      const payload = Buffer.alloc(4)
      payload.writeUInt32BE(served.id)
      const { text } = await plugin.dispense(Echo).echo({ text: 'call-back', payload })
      t.equal(text, 'stock handler heard: called back')
      await served.close()
    })

    t.test('the host dials services that the plugin serves by ID', async (t) => {
      const { plugin } = await launchFixture(t, 'plugin-echo.mjs', { stream })
      const id = Number((await plugin.dispense(Echo).echo({ text: 'serve' })).text)
      const connection = plugin.broker.dial(id)
      t.equal((await connection.dispense(Echo).echo({ text: 'x' })).text, 'brokered x')
      await connection.close()
      // Closing a connection does not touch the service behind it.
      const again = plugin.broker.dial(id)
      t.equal((await again.dispense(Echo).echo({ text: 'y' })).text, 'brokered y')
    })

    t.test("a grpc-js client works on the plugin's channel", async (t) => {
      const { plugin } = await launchFixture(t, 'plugin-echo.mjs', { stream })
      const EchoClient = makeClientConstructor(serviceDefinition(Echo), 'Echo')
      const client = new EchoClient('', credentials.createInsecure(), { channelOverride: plugin.channel })
      const text = await new Promise((resolve, reject) => {
        client['echo']!({ text: 'stock' }, (error: Error | null, answer: { text: string }) => {
          if (error) reject(error)
          else resolve(answer.text)
        })
      })
      t.equal(text, 'stock')
    })

    t.test('a broker ID that the plugin does not serve fails the call, naming the ID', async (t) => {
      const { plugin } = await launchFixture(t, 'plugin-echo.mjs', {
        stream,
        behave: { serve: { acceptTimeoutMs: 30 } }
      })
      await t.rejects(plugin.broker.dial(4711).dispense(Echo).echo({ text: 'x' }), {
        code: 'ERR_BROKER_TIMEOUT',
        status: 14,
        message: /4711/
      })
    })

    t.test('what the plugin prints, on stdout or in floods, reaches the log and harms nothing', async (t) => {
      const { plugin, logger } = await launchFixture(t, 'plugin-echo.mjs', { stream })
      t.equal((await plugin.dispense(Echo).echo({ text: 'spam' })).text, 'spam')
      const last = await logger.seen(({ message }) => message === 'out 999')
      t.equal(last.fields['plugin'], 'echo')
      t.equal(last.fields['stream'], stream === 'fd' ? 'stdout' : 'stderr')
      const long = logger.records.filter(({ message }) => /^e+$/.test(message))
      await logger.seen(({ message }) => /^e+$/.test(message) && message.length < 65536)
      t.ok(
        long.every(({ message }) => message.length <= 65536),
        'lines are bounded'
      )
      await plugin.ping()
    })

    t.test('structured log lines become structured records', async (t) => {
      const { logger } = await launchFixture(t, 'plugin-echo.mjs', { stream, behave: { grandchild: true } })
      const record = await logger.seen(({ message }) => message === 'grandchild')
      t.match(record, { level: 'info', fields: { plugin: 'echo', '@module': 'echo', grandchild: Number } })
    })

    t.test('the environment is an allow-list', async (t) => {
      process.env['MUXPLUG_TEST_SECRET'] = 'hidden'
      process.env['MUXPLUG_TEST_SHARED'] = 'shared'
      process.env['PLUGIN_CLIENT_CERT'] = 'inherited from an outer host'
      t.teardown(() => {
        for (const name of ['MUXPLUG_TEST_SECRET', 'MUXPLUG_TEST_SHARED', 'PLUGIN_CLIENT_CERT'])
          delete process.env[name]
      })
      const { plugin } = await launchFixture(t, 'plugin-echo.mjs', {
        stream,
        inheritEnv: ['MUXPLUG_TEST_SHARED'],
        env: { GIVEN: 'given' }
      })
      const env = JSON.parse((await plugin.dispense(Echo).echo({ text: 'env' })).text) as Record<
        string,
        string
      >
      t.match(env, { PATH: String, GIVEN: 'given', MUXPLUG_TEST_SHARED: 'shared' })
      t.notOk('MUXPLUG_TEST_SECRET' in env)
      t.same(
        Object.keys(env).filter((name) => name.startsWith('PLUGIN_') || name === 'ECHO_PLUGIN'),
        [],
        "the protocol's own variables are not left for the plugin's children"
      )
    })

    t.test('an aborted signal stops the launch with its reason and leaves nothing', async (t) => {
      const controller = new AbortController()
      const reason = new Error('changed my mind')
      const launching = launch({
        ...fixtureOptions('plugin-silent.mjs', { stream }),
        signal: controller.signal
      })
      setImmediate(() => controller.abort(reason))
      await t.rejects(launching, reason)
    })
  })
}

t.test('dispense refuses a service that the version in use does not have', async (t) => {
  const { plugin } = await launchFixture(t, 'plugin-echo.mjs', {
    handshake: { cookieKey: 'ECHO_PLUGIN', cookieValue: 'echo' },
    versions: { 1: [] }
  })
  t.throws(() => plugin.dispense(Echo), {
    code: 'ERR_CONFIG_INVALID',
    message: /version 1 .* does not have echo/
  })
})

t.test('options that cannot be are refused before any process exists', async (t) => {
  const good = fixtureOptions('plugin-echo.mjs')
  const bad = [
    { command: [] },
    { stream: 'pipe' },
    { wires: ['h3'] },
    { muxer: 'mplex' },
    { startTimeoutMs: 0 },
    { graceMs: -1 },
    { maxMessageBytes: 0 },
    { maxWaitingDials: 1.5 },
    { handshake: { cookieKey: '', cookieValue: 'x' } },
    { wires: [] },
    { name: '' },
    { inheritEnv: 'PATH' },
    { command: ['node', 1] },
    { handshake: undefined },
    { logger: {} },
    { stdin: 'pipe' },
    { versions: {} },
    { versions: { 1.5: [] } }
  ]
  for (const options of bad) {
    await t.rejects(launch({ ...good, ...options } as never), { code: 'ERR_CONFIG_INVALID', hint: String })
  }
  await t.rejects(launch({ ...good, versions: { 2: [] } }), { code: 'ERR_CONFIG_CONFLICT' })
  await t.rejects(launch({ ...good, stream: 'stdio', stdin: 'inherit' }), { code: 'ERR_CONFIG_CONFLICT' })
})

/** The methods of Echo that a test does not expect to be called. */
const notCalled = {
  repeat: unexpected,
  collect: unexpected,
  chat: unexpected,
  sleep: unexpected,
  fail: unexpected
}

function unexpected(): never {
  throw new Error('not expected to be called')
}
