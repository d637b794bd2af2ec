import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, readFileSync, readdirSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { Echo } from '#proto/echo/v1/echo.js'
import { type LaunchOptions, type ReattachConfig, attach, implement } from '../../lib/host/index.js'
import {
  type LaunchedFixture,
  fixture,
  fixtureOptions,
  gone,
  isRunning,
  launchFixture
} from '../helpers/launch.js'
import { launchFailure, watchTraces } from '../helpers/traces.js'

const traces = watchTraces(t)
const transports = ['socket', 'socket-mux'] as const

function start(t: Test, options: Partial<LaunchOptions> = {}): Promise<LaunchedFixture> {
  return launchFixture(t, 'plugin-go-serves.mjs', { curve: 'P-256', ...options })
}

const settings = transports.flatMap((transport) => [
  { transport, autoMtls: false },
  { transport, autoMtls: true }
])

for (const setting of settings) {
  t.test(JSON.stringify(setting), async (t) => {
    t.test('calls go both ways, and close leaves nothing', async (t) => {
      const { plugin, logger } = await start(t, setting)
      t.equal(plugin.transport, setting.transport)
      const echo = plugin.dispense(Echo)
      const { text: id } = await echo.echo({ text: 'serve' })
      t.match(await plugin.broker.dial(Number(id)).dispense(Echo).echo({ text: 'x' }), { text: 'brokered x' })
      const served = plugin.broker.accept(plugin.broker.nextId(), [
        implement(Echo, { echo: (request) => ({ text: `host ${request.text}` }) })
      ])
      const back = await echo.echo({ text: 'call-back', payload: Uint8Array.of(served.id) })
      t.equal(back.text, 'host called back')
      const closing = plugin.close()
      t.equal(plugin.close(), closing, 'safe to repeat')
      await closing
      t.same(await plugin.exited, { code: 0, signal: null })
      t.notOk(logger.records.some(({ level }) => level === 'warn' || level === 'error'))
      t.same(traces.files(), [])
    })

    t.test('what the plugin prints arrives exactly, and its log is no print', async (t) => {
      const out: Uint8Array[] = []
      const err: Uint8Array[] = []
      const { plugin, logger } = await start(t, {
        ...setting,
        onOutput: (channel, bytes) => void (channel === 'stdout' ? out : err).push(Buffer.from(bytes)),
        env: { EARLY: 'ahead of the line', LATE: 'right after the line' }
      })
      const echo = plugin.dispense(Echo)
      const every = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
      const burst = Buffer.alloc(900_000, 'x')
      await echo.echo({ text: 'print', payload: every })
      await echo.echo({ text: 'complain', payload: every })
      await echo.echo({ text: 'print', payload: burst })
      await echo.echo({ text: 'log' })
      await echo.echo({ text: 'print', payload: Buffer.from('\nthe end\n') })
      await logger.seen(({ message }) => message === 'the end')
      const late = Buffer.from('right after the line\n')
      t.ok(Buffer.concat(out).equals(Buffer.concat([late, every, burst, Buffer.from('\nthe end\n')])))
      t.ok(Buffer.concat(err).equals(every))
      t.match(await logger.seen(({ message }) => message === 'a record'), {
        level: 'warn',
        fields: { answer: 42 }
      })
    })

    t.test('a call in flight when the plugin crashes says how, with its last words', async (t) => {
      const { plugin } = await start(t, setting)
      const echo = plugin.dispense(Echo)
      const hanging = echo.echo({ text: 'hang' }).catch((error: unknown) => error)
      const error = await echo.echo({ text: 'exit' }).catch((failure: unknown) => failure)
      t.match(error, {
        code: 'ERR_PROCESS_EXITED',
        status: 14,
        message: /exited with code 1; last on stderr: .*"last words"/
      })
      t.match(await hanging, { code: 'ERR_PROCESS_EXITED', cause: { exitCode: 1 } })
      await plugin.closed
      t.same(traces.files(), [])
    })

    t.test('a signal is told by its name, also when it leaves sockets behind', async (t) => {
      const { plugin, logger } = await start(t, setting)
      const hanging = plugin.dispense(Echo).echo({ text: 'hang' })
      const failed = t.rejects(hanging, { code: 'ERR_PROCESS_EXITED', message: /was killed by SIGKILL/ })
      await logger.seen(({ message }) => message === 'hanging')
      process.kill(plugin.pid, 'SIGKILL')
      await failed
      await plugin.closed
      t.same(traces.files(), [])
    })

    t.test('kill ends it with its calls, now', async (t) => {
      const { plugin, logger } = await start(t, setting)
      const hanging = plugin.dispense(Echo).echo({ text: 'hang' })
      const failed = t.rejects(hanging, { code: 'ERR_STREAM_CLOSED', message: /was killed by the host/ })
      await logger.seen(({ message }) => message === 'hanging')
      await Promise.all([plugin.kill(), plugin.kill()])
      await failed
      t.notOk(isRunning(plugin.pid))
      t.match(await plugin.exited, { signal: 'SIGKILL' })
      t.same(traces.files(), [])
    })

    t.test('close cancels what outlasts the grace time', async (t) => {
      const SERVE = JSON.stringify({ graceMs: 20 })
      const { plugin, logger } = await start(t, { ...setting, graceMs: 20, env: { SERVE } })
      const hanging = plugin.dispense(Echo).echo({ text: 'hang' })
      const failed = t.rejects(hanging, { code: 'ERR_STREAM_CLOSED', message: /was closed by the host/ })
      await logger.seen(({ message }) => message === 'hanging')
      await plugin.close()
      await failed
      await logger.seen(({ message }) => message === 'cancelled')
      t.same(await plugin.exited, { code: 0, signal: null })
      t.same(traces.files(), [])
    })
  })
}

for (const TRANSPORT of transports) {
  for (const LEAVE of ['exit', 'throw', 'return']) {
    t.test(`${TRANSPORT}: a host that leaves by ${LEAVE} takes plugin and sockets with it`, async (t) => {
      const host = spawn(process.execPath, [fixture('host-go-leaves.mjs')], {
        env: { PATH: process.env['PATH'], TMPDIR: traces.dir, TRANSPORT, LEAVE },
        stdio: ['ignore', 'pipe', 'ignore']
      })
      const closed = once(host, 'close')
      const { pid } = JSON.parse(await text(host.stdout)) as { pid: number }
      t.same(await closed, [{ exit: 3, throw: 1, return: 0 }[LEAVE], null])
      await gone(pid)
      t.same(traces.files(), [])
    })
  }
}

t.test('a plugin that may outlive its host is found by the next one', async (t) => {
  const host = spawn(process.execPath, [fixture('host-go-leaves.mjs')], {
    env: {
      PATH: process.env['PATH'],
      TMPDIR: traces.dir,
      TRANSPORT: 'socket',
      LEAVE: 'exit',
      OUTLIVE: 'true'
    },
    stdio: ['ignore', 'pipe', 'ignore']
  })
  const { pid, config } = JSON.parse((await once(host.stdout, 'data')).toString()) as {
    pid: number
    config: ReattachConfig
  }
  t.teardown(() => {
    if (isRunning(pid)) process.kill(pid, 'SIGKILL')
  })
  await once(host, 'exit')
  const next = await attach(config)
  t.equal(next.pid, pid)
  t.match(await next.dispense(Echo).echo({ text: 'x' }), { text: 'x' })
  await next.close()
  await gone(pid)
  t.same(traces.files(), [])
})

t.test('attach: a second host beside the first, by a config that went through JSON', async (t) => {
  const { plugin } = await start(t, { transport: 'socket' })
  const config = JSON.parse(JSON.stringify(plugin.reattachConfig)) as ReattachConfig
  t.match(config, {
    Protocol: 'grpc',
    ProtocolVersion: 1,
    Pid: plugin.pid,
    Test: false,
    Addr: { Network: 'unix' }
  })
  const guest = await attach({ ...config, Test: true }, { services: [Echo] })
  t.match(await guest.dispense(Echo).echo({ text: 'guest' }), { text: 'guest' })
  await guest.close()
  t.match(await plugin.dispense(Echo).echo({ text: 'first' }), { text: 'first' }, 'a test host ends nothing')
  const owner = await attach(config)
  await owner.close()
  t.same(await plugin.exited, { code: 0, signal: null })
  await t.rejects(attach(config), { code: 'ERR_PROCESS_EXITED', pid: plugin.pid, hint: String })
})

t.test('there is no config where nobody else could attach', async (t) => {
  for (const options of [{ transport: 'socket-mux' }, { transport: 'socket', autoMtls: true }] as const) {
    const { plugin } = await start(t, options)
    t.equal(plugin.reattachConfig, undefined)
    await plugin.kill()
  }
})

t.test('attach refuses what is no config, and leaves a process that is no plugin alone', async (t) => {
  const config: ReattachConfig = {
    Protocol: 'grpc',
    ProtocolVersion: 1,
    Pid: process.pid,
    Test: false,
    Addr: { Network: 'unix', String: join(traces.dir, 'nobody') }
  }
  for (const wrong of [
    null,
    {},
    { ...config, Protocol: 'netrpc' },
    { ...config, Pid: 0 },
    { ...config, Pid: -1 },
    { ...config, Pid: '1' },
    { ...config, ProtocolVersion: 1.5 },
    { ...config, Test: 'no' },
    { ...config, Addr: { Network: 'udp', String: 'x' } },
    { ...config, Addr: null }
  ]) {
    await t.rejects(attach(wrong as never), { code: 'ERR_CONFIG_INVALID' }, JSON.stringify(wrong))
  }
  await t.rejects(attach(config), { code: 'ERR_SOCKET_CONNECT', message: /ENOENT/ })
  await t.rejects(attach({ ...config, Addr: { Network: 'tcp', String: 'nowhere' } }), {
    code: 'ERR_SOCKET_CONNECT'
  })
})

t.test('checksum: what does not match is not started', async (t) => {
  const file = fixture('plugin-go-serves.mjs')
  const sha256 = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex')
  const { plugin } = await start(t, {
    transport: 'socket',
    checksum: { algorithm: 'sha256', digest: sha256(file), file }
  })
  await plugin.kill()
  for (const [checksum, code] of [
    [{ algorithm: 'sha256', digest: '00'.repeat(32), file }, 'ERR_SECURITY_CHECKSUM'],
    [{ algorithm: 'sha256', digest: sha256(file) }, 'ERR_SECURITY_CHECKSUM'],
    [{ algorithm: 'rot13', digest: '00', file }, 'ERR_CONFIG_INVALID'],
    [{ algorithm: 'sha256', digest: sha256(file), file: `${file}.not` }, 'ERR_SECURITY_CHECKSUM']
  ] as const) {
    const error = await launchFailure(
      fixtureOptions('plugin-go-serves.mjs', { transport: 'socket', checksum: checksum })
    )
    t.match(error, { code, message: String, hint: String })
    t.equal(error.pid, undefined)
  }
  t.same(traces.files(), [])
})

t.test('socketDir: the sockets of both sides are there, and go; the directory stays', async (t) => {
  const socketDir = join(traces.dir, 'mine')
  mkdirSync(socketDir)
  const { plugin } = await start(t, { transport: 'socket', socketDir })
  t.equal(readdirSync(socketDir).length, 1)
  const served = plugin.broker.accept(1, [implement(Echo, { echo: () => ({}) })])
  await served.ready
  t.equal(readdirSync(socketDir).length, 2)
  await plugin.close()
  t.same(readdirSync(socketDir), [])
  for (const transport of transports) {
    const { plugin: killed } = await start(t, { transport, socketDir })
    await killed.kill()
    t.same(readdirSync(socketDir), [], 'also what a killed plugin leaves')
  }
  t.same(traces.files(), ['mine'])
  rmdirSync(socketDir)
})

t.test('a socketDir that cannot be used is told by the plugin', async (t) => {
  const options = { transport: 'socket', socketDir: join(traces.dir, 'nowhere') } as const
  const error = await launchFailure(fixtureOptions('plugin-go-serves.mjs', options))
  t.match(error, { exitCode: 1, message: /nowhere/ })
})

for (const transport of ['stream', ...transports] as const) {
  t.test(`a plugin on ${transport} that is a host itself`, async (t) => {
    // As a host that runs under go-plugin would pass its own on.
    const outer = { ...process.env }
    Object.assign(process.env, {
      PLUGIN_MULTIPLEX_GRPC: 'true',
      PLUGIN_CLIENT_CERT: 'of somebody else',
      PLUGIN_UNIX_SOCKET_DIR: '/nowhere',
      PLUGIN_UNIX_SOCKET_GROUP: 'nobody at all',
      PLUGIN_MIN_PORT: '5',
      PLUGIN_PROTOCOL_VERSIONS: '99'
    })
    t.teardown(() => {
      for (const name of Object.keys(process.env)) if (!(name in outer)) delete process.env[name]
    })
    const autoMtls = transport !== 'stream'
    const { plugin } = await launchFixture(t, 'plugin-go-nests.mjs', {
      transport,
      autoMtls,
      curve: 'P-256',
      inheritEnv: 'all'
    })
    const inner = [{ transport: 'auto', autoMtls: false }, ...settings]
    const answers = inner.map(async (setting) => {
      const options = { ...setting, curve: 'P-256', inheritEnv: 'all' }
      const answer = await plugin.dispense(Echo).echo({ text: JSON.stringify(options) })
      const spoken = setting.transport === 'auto' ? 'stream' : setting.transport
      t.same(JSON.parse(answer.text), { transport: spoken, names: [] }, JSON.stringify(setting))
    })
    await Promise.all(answers)
    await plugin.close()
    t.same(traces.files(), [])
  })
}

t.test('nothing is left', () => traces.gone())
