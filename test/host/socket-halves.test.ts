import t from 'tap'
import { Echo } from '#proto/echo/v1/echo.js'
import type { LaunchOptions } from '../../lib/host/index.js'
import { fixtureOptions, isRunning, launchFixture } from '../helpers/launch.js'
import { launchFailure, watchTraces } from '../helpers/traces.js'

const traces = watchTraces(t)

interface HalfOptions extends Partial<LaunchOptions> {
  /** The seventh field of the line. */
  readonly mux?: string
}

/** Options for a plugin with a good line and, behind it, what `mode` says. */
function half(mode: string, { mux, ...options }: HalfOptions = {}): LaunchOptions {
  const env = { MODE: mode, ...(mux === undefined ? {} : { MUX: mux }) }
  return fixtureOptions('plugin-go-half.mjs', { curve: 'P-256', ...options, env })
}

const mux = { mux: 'true' }
const autoMtls = { autoMtls: true }

const unreachable: readonly (readonly [mode: string, message: RegExp, options?: HalfOptions])[] = [
  ['deaf', /ENOENT/],
  ['hangs-up', /ECONNRESET|ended/],
  ['garbage', /was lost/],
  ['http1', /was lost/],
  ['tls', /was lost/],
  ['no-services', /wrong version number|packet length/i, autoMtls],
  ['other-certificate', /self-signed certificate/, autoMtls],
  ['deaf', /ENOENT/, mux],
  ['yamux-version', /broke the yamux protocol: version 1/, mux],
  ['garbage', /broke the yamux protocol/, mux],
  ['no-services', /was lost/, mux],
  ['hangs-up', /was lost/, mux]
]

t.test('a plugin with a good line that cannot be called: why, where, and nothing left', async (t) => {
  // Each waits a second for the process to have ended as well.
  await Promise.all(
    unreachable.map(async ([mode, message, options]) => {
      const what = `${mode} ${JSON.stringify(options ?? {})}`
      const error = await launchFailure(half(mode, options))
      t.match(error, { code: 'ERR_SOCKET_CONNECT', message, hint: /autoMtls/, stderrTail: [] }, what)
      t.match(error.message, /^plugin go-half \(pid \d+\) cannot be reached at unix \/.*plugin-half: /, what)
      t.equal(error.message.match(/wrote nothing to stderr/g)?.length, 1, what)
    })
  )
  await traces.gone()
})

t.test('a plugin that never answers is given up after startTimeoutMs', async (t) => {
  const startTimeoutMs = 4000
  const launches = (
    [
      ['mute'],
      ['never-accepts'],
      ['only-settings'],
      ['mute', autoMtls],
      ['mute', mux],
      ['yamux-mute', mux],
      ['yamux-goaway', mux],
      ['mute', { ...mux, ...autoMtls }]
    ] as const
  ).map(async ([mode, options]) => {
    const error = await launchFailure(half(mode, { startTimeoutMs, ...options }))
    t.match(error, { code: 'ERR_SOCKET_CONNECT', message: /DEADLINE_EXCEEDED/, hint: String }, mode)
  })
  await Promise.all(launches)
  await traces.gone()
})

t.test('a signal ends the wait for the first answer, with its own reason', async (t) => {
  for (const options of [{}, mux]) {
    const cancel = new AbortController()
    const reason = new Error('changed my mind')
    const launching = launchFailure(
      half('mute', {
        ...options,
        signal: cancel.signal,
        logger: { ...silent, debug: (_fields, message) => void (message === 'using plugin' && abort()) }
      })
    )
    const abort = (): unknown => setImmediate(() => cancel.abort(reason))
    await t.rejects(launching, reason)
  }
  await traces.gone()
})

const silent = { trace() {}, debug() {}, info() {}, warn() {}, error() {} }

t.test('a plugin that exits without a word instead of answering: how it ended', async (t) => {
  for (const options of [{}, mux]) {
    const error = await launchFailure(half('exits-silently', options))
    t.match(error, {
      code: 'ERR_PROCESS_EXITED',
      message: /exited with code 0; it wrote nothing/,
      exitCode: 0
    })
  }
  await traces.gone()
})

t.test('an address that cannot be one of a socket is told as the plugin’s', async (t) => {
  for (const [line, message] of [
    [`1|1|unix|/${'x'.repeat(200)}|grpc|`, /path of a unix socket has 201 bytes/],
    ['1|1|tcp|127.0.0.1:0|grpc|', /not an address of the network tcp/],
    ['1|1|tcp|127.0.0.1:1|grpc|', /ECONNREFUSED/],
    ['1|1|unix|.|grpc|', /cannot be reached at unix \./]
  ] as const) {
    for (const seventh of ['', '|true']) {
      const env = { SAYS: JSON.stringify(`${line}${seventh}\n`) }
      const error = await launchFailure(fixtureOptions('plugin-go-says.mjs', { env }))
      t.match(
        error,
        { code: 'ERR_SOCKET_CONNECT', message, pid: Number, hint: String },
        `${message} ${seventh}`
      )
    }
  }
  await traces.gone()
})

t.test('a file that the plugin names as its socket and that is none is left alone', async (t) => {
  const { writeFile, rm } = await import('node:fs/promises')
  const path = `${traces.dir}/precious`
  await writeFile(path, 'text')
  const env = { SAYS: JSON.stringify(`1|1|unix|${path}|grpc|\n`) }
  const error = await launchFailure(fixtureOptions('plugin-go-says.mjs', { env }))
  t.match(error, { code: 'ERR_SOCKET_CONNECT' })
  t.same(traces.files(), ['precious'])
  await rm(path)
})

t.test('a server without a health service is a plugin, whose calls fail as it says', async (t) => {
  const { plugin, logger } = await launchFixture(t, 'plugin-go-half.mjs', { env: { MODE: 'no-services' } })
  t.equal(plugin.transport, 'socket')
  await t.rejects(plugin.ping(), { code: 'ERR_CALL_FAILED', status: 12 })
  await t.rejects(plugin.dispense(Echo).echo({ text: 'x' }), { code: 'ERR_CALL_FAILED', status: 12 })
  // Its broker is not there: whoever wants it learns so at once, not after the time of a dial.
  await t.rejects(plugin.broker.dial(1).dispense(Echo).echo({ text: 'x' }), {
    status: 14,
    message: /link to the other side's broker has ended/
  })
  t.throws(() => plugin.broker.serve(Echo, {} as never), { code: 'ERR_BROKER_CLOSED', cause: { status: 12 } })
  t.notOk(logger.records.some(({ level }) => level === 'error'))
  await plugin.kill()
  t.notOk(isRunning(plugin.pid))
  t.same(traces.files(), [])
})
