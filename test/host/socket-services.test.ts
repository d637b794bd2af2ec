import t, { type Test } from 'tap'
import { Echo } from '#proto/echo/v1/echo.js'
import type { LaunchOptions } from '../../lib/host/index.js'
import { type LaunchedFixture, isRunning, launchFixture } from '../helpers/launch.js'
import { watchTraces } from '../helpers/traces.js'

const traces = watchTraces(t)

type Env = Readonly<Record<'MODE' | 'INFOS' | 'SERVICES' | 'MUX', string>>

function start(t: Test, env: Partial<Env>, options: Partial<LaunchOptions> = {}): Promise<LaunchedFixture> {
  return launchFixture(t, 'plugin-go-services.mjs', { ...options, env })
}

const echo = { text: 'x' }
const transports = [['socket', {}] as const, ['socket-mux', { MUX: 'true' }] as const]

for (const [transport, env] of transports) {
  t.test(`transport ${transport}`, async (t) => {
    t.test('without the services of go-plugin calls work, and the broker fails at once', async (t) => {
      const { plugin, logger } = await start(t, { ...env, SERVICES: 'none' }, { exitTimeoutMs: 100 })
      t.equal(plugin.transport, transport)
      t.match(await plugin.dispense(Echo).echo(echo), { text: 'echo x' })
      // Not after the time of a dial: the refusal comes with the end of the link.
      await t.rejects(plugin.broker.dial(1).dispense(Echo).echo(echo), {
        code: 'ERR_BROKER_CLOSED',
        status: 14,
        message: /link to the other side's broker has ended/
      })
      t.throws(() => plugin.broker.serve(Echo, {} as never), {
        code: 'ERR_BROKER_CLOSED',
        cause: { status: 12 },
        hint: /plugin.GRPCBroker/
      })
      t.match(await plugin.dispense(Echo).echo(echo), { text: 'echo x' }, 'calls go on')
      t.notOk(logger.records.some(({ level }) => level === 'warn' || level === 'error'))
      // It cannot be asked to leave either.
      await plugin.close()
      t.match(await plugin.exited, { signal: 'SIGTERM' })
      t.same(traces.files(), [])
    })

    for (const [mode, cause] of [
      ['broker-ends', /has ended the stream of its broker/],
      ['broker-fails', /the broker has failed/]
    ] as const) {
      t.test(`${mode}: dials say why, and calls go on`, async (t) => {
        const { plugin } = await start(t, { ...env, MODE: mode })
        const failure = await plugin.broker
          .dial(1)
          .dispense(Echo)
          .echo(echo)
          .catch((error: unknown) => error)
        t.match(failure, { code: 'ERR_BROKER_CLOSED', cause: { cause: { message: cause } } })
        t.match(await plugin.dispense(Echo).echo(echo), { text: 'echo x' })
      })
    }

    t.test('output of an unknown channel is dropped, the rest arrives', async (t) => {
      const output: string[] = []
      const { logger } = await start(
        t,
        { ...env, MODE: 'odd-stdio' },
        { onOutput: (channel, bytes) => void output.push(`${channel} ${Buffer.from(bytes).toString()}`) }
      )
      await logger.seen(({ message }) => message === 'after all that')
      t.same(output, ['stdout after all that\n'])
      t.equal(logger.records.filter(({ message }) => /unknown channel/.test(message)).length, 3)
    })

    t.test('a Shutdown that is not answered, or not followed, ends in signals', async (t) => {
      for (const mode of ['stays', 'agrees-and-stays']) {
        const times = { shutdownTimeoutMs: 100, exitTimeoutMs: 100, termTimeoutMs: 1000 }
        const { plugin, logger } = await start(t, { ...env, MODE: mode }, times)
        await plugin.close()
        t.match(await plugin.exited, { signal: 'SIGTERM' }, mode)
        t.ok(logger.records.some(({ message }) => message === 'asked to shut down'))
        t.same(traces.files(), [])
      }
    })

    t.test('a plugin that leaves at once when asked to is closed in order', async (t) => {
      const { plugin, logger } = await start(t, env)
      await plugin.close()
      t.match(await plugin.exited, { code: 0, signal: null })
      t.notOk(logger.records.some(({ level }) => level === 'warn'))
      t.notOk(isRunning(plugin.pid))
    })
  })
}

t.test('addresses that are none do no harm, one by one or in thousands', async (t) => {
  const unix = { network: 'unix', address: 'MAIN' }
  const infos = [
    { serviceId: 10_000, network: 'unix', address: '/nowhere/at/all', repeat: 5000 },
    { serviceId: 1, network: 'carrier-pigeon', address: 'roof' },
    { serviceId: 2, network: 'unix', address: '' },
    { serviceId: 3, network: '', address: '' },
    { serviceId: 4, network: 'unix', address: '/tmp/\0x' },
    { serviceId: 5, network: 'unix', address: `/${'x'.repeat(200)}` },
    { serviceId: 6, network: 'unix', address: '/nowhere/at/all' },
    { serviceId: 7, network: 'tcp', address: '127.0.0.1:65536' },
    { serviceId: 8, network: 'unix', address: '', knock: { knock: true, ack: false } },
    { serviceId: 0, network: 'unix', address: '/nowhere/at/all' },
    { serviceId: 500, ...unix }
  ]
  const { plugin, logger } = await start(t, { INFOS: JSON.stringify(infos) }, { acceptTimeoutMs: 1000 })
  const dial = (id: number) => plugin.broker.dial(id).dispense(Echo).echo(echo)
  await logger.seen(({ message, fields }) => message === 'broker ID announced' && fields['brokerId'] === 500)
  t.match(await dial(500), { text: 'echo x' }, 'the good one after all the others')
  const failures = [1, 2, 3, 4, 5, 6, 7, 8].map(async (id) => {
    const error = await dial(id).catch((failure: unknown) => failure)
    const local = id === 4 || id === 5 || id === 7
    const code = local ? 'ERR_CONFIG_INVALID' : 'ERR_BROKER_TIMEOUT'
    t.match(error, { code, status: 14 }, `ID ${id}`)
  })
  await Promise.all(failures)
  t.match(await plugin.dispense(Echo).echo(echo), { text: 'echo x' }, 'ID 0 stays where it is')
  const told = logger.records.filter(({ message }) => /sent no address for a broker ID/.test(message))
  t.same(
    told.map(({ fields }) => fields['brokerId']),
    [1, 2, 3, 8]
  )
})

t.test('multiplexed, knocks and answers that nobody waits for do no harm', async (t) => {
  const infos = [
    { serviceId: 1, network: 'unix', address: 'MAIN' },
    { serviceId: 2, knock: { knock: true, ack: true } },
    { serviceId: 3, knock: { knock: false, ack: true, error: 'no' } },
    { serviceId: 4, knock: { knock: false, ack: false } },
    { serviceId: 0, knock: { knock: true, ack: false } },
    { serviceId: 10_000, knock: { knock: true, ack: false }, repeat: 5000 }
  ]
  const { plugin } = await start(t, { INFOS: JSON.stringify(infos), MUX: 'true' })
  t.match(await plugin.broker.dial(500).dispense(Echo).echo(echo), { text: 'echo x' })
  t.match(await plugin.dispense(Echo).echo(echo), { text: 'echo x' })
})

t.test('nothing is left', async (t) => {
  await traces.gone()
  t.end()
})
