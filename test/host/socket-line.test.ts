import t from 'tap'
import type { LaunchOptions, PluginError } from '../../lib/host/index.js'
import { createCertificate, formatCertificate } from '../../lib/security/certificate.js'
import { fixtureOptions } from '../helpers/launch.js'
import { launchFailure, watchTraces } from '../helpers/traces.js'

const traces = watchTraces(t)
const { certDer } = await createCertificate({ curve: 'P-256' })
const certificate = formatCertificate(certDer)

type Transport = NonNullable<LaunchOptions['transport']>
const all = ['auto', 'socket', 'socket-mux'] as const satisfies readonly Transport[]

/** Launches a plugin that writes `says` to stdout as it is. */
function launchSaying(
  says: string,
  { transport = 'socket', after, repeat, complaint, ...options }: Saying = {}
): Promise<PluginError> {
  return launchFailure(
    fixtureOptions('plugin-go-says.mjs', {
      transport,
      ...options,
      env: {
        SAYS: JSON.stringify(says),
        ...(after === undefined ? {} : { THEN: after }),
        ...(repeat === undefined ? {} : { REPEAT: String(repeat) }),
        ...(complaint === undefined ? {} : { COMPLAINT: complaint })
      }
    })
  )
}

interface Saying extends Partial<Omit<LaunchOptions, 'env'>> {
  readonly transport?: Transport
  /** `stay` (default), `close` stdout, or an exit code. */
  readonly after?: string
  readonly repeat?: number
  readonly complaint?: string
}

const malformed = [
  ['1|', /only 2 of at least 4 fields: "1\|"/],
  ['1|1|unix', /only 3 of at least 4 fields/],
  ['2|1|unix|/nowhere/x|grpc|', /core protocol version "2"/],
  ['1|one|unix|/nowhere/x|grpc|', /application protocol version "one"/],
  ['1|-1|unix|/nowhere/x|grpc|', /application protocol version "-1"/],
  ['1||unix|/nowhere/x|grpc|', /application protocol version ""/],
  ['1|1|udp|127.0.0.1:1|grpc|', /unknown network "udp"/],
  ['1|1||/nowhere/x|grpc|', /unknown network ""/],
  ['1|1| unix|/nowhere/x|grpc|', /unknown network " unix"/],
  ['1|1|unix||grpc|', /address "" does not fit network unix/],
  ['1|1|unix|/nowhere/\0x|grpc|', /address "\/nowhere\/\\u0000x" does not fit/],
  [`1|1|unix|/${'x'.repeat(5000)}|grpc|`, /address "\/xxx.*5001 characters/],
  ['1|1|tcp|127.0.0.1|grpc|', /address "127.0.0.1" does not fit network tcp/],
  ['1|1|tcp|127.0.0.1:65536|grpc|', /does not fit network tcp/],
  ['1|1|tcp|127.0.0.1:http|grpc|', /does not fit network tcp/],
  ['1|1|unix|/nowhere/x|thrift|', /unknown protocol "thrift"/],
  [`1|1|unix|/nowhere/x|grpc|${'-'.repeat(51)}`, /certificate "-+" is not base64/],
  [`1|1|unix|/nowhere/x|grpc|${'A'.repeat(62)}==`, /certificate "A+==" is not base64 without padding/],
  ['1|1|unix|/nowhere/x|grpc||maybe', /multiplex "maybe" is not a bool/]
] as const

t.test('a malformed line names the field and the value seen', async (t) => {
  for (const [line, message] of malformed) {
    const error = await launchSaying(`${line}\n`)
    t.match(
      error,
      { code: 'ERR_HANDSHAKE_MALFORMED', message, hint: String, stderrTail: [] },
      line.slice(0, 40)
    )
    t.ok(error.message.length < 500)
  }
  for (const transport of ['auto', 'socket-mux'] as const) {
    const [line, message] = malformed[1]
    t.match(
      await launchSaying(`${line}\n`, { transport }),
      { code: 'ERR_HANDSHAKE_MALFORMED', message },
      transport
    )
  }
  await traces.gone()
})

t.test('a line of another kind is refused with what to do', async (t) => {
  for (const [line, code, message] of [
    ['1|1|unix|/nowhere/x', 'ERR_HANDSHAKE_TRANSPORT', /speaks netrpc/],
    ['1|1|unix|/nowhere/x|netrpc|', 'ERR_HANDSHAKE_TRANSPORT', /speaks netrpc/],
    ['1|7|unix|/nowhere/x|grpc|', 'ERR_HANDSHAKE_VERSION', /version 7.*the host 1:/],
    [`1|1|unix|/nowhere/x|grpc|${certificate}|true`, 'ERR_SECURITY_CERTIFICATE', /nobody asked for/],
    ['1|1|stdio|-|grpc|||h2', 'ERR_HANDSHAKE_TRANSPORT', /network "stdio"/],
    ['1|1|fd|3|grpc|||h2', 'ERR_HANDSHAKE_TRANSPORT', /network "fd"/]
  ] as const) {
    t.match(await launchSaying(`${line}\n`), { code, message, hint: String }, line.slice(0, 40))
  }
  const stdio = await launchSaying('1|1|stdio|-|grpc|||h2\n', { transport: 'auto' })
  t.match(stdio, { code: 'ERR_HANDSHAKE_TRANSPORT', message: /where the stream is fd/ })
  await traces.gone()
})

t.test('with autoMtls the line needs a certificate, and one that can be read', async (t) => {
  const autoMtls = { autoMtls: true, curve: 'P-256' } as const
  const short = 'x'.repeat(50)
  for (const [field, code, message] of [
    ['', 'ERR_SECURITY_CERTIFICATE', /without a certificate/],
    [short, 'ERR_SECURITY_CERTIFICATE', /without a certificate/],
    ['A'.repeat(64), 'ERR_SECURITY_CERTIFICATE', /certificate/],
    [certificate.slice(0, -8), 'ERR_SECURITY_CERTIFICATE', /certificate/],
    [`${certDer.toString('base64url')}-_`, 'ERR_HANDSHAKE_MALFORMED', /base64/]
  ] as const) {
    const error = await launchSaying(`1|1|unix|/nowhere/x|grpc|${field}\n`, autoMtls)
    t.match(error, { code, message, hint: String }, `${field.slice(0, 20)}, ${field.length} characters`)
  }
  await traces.gone()
})

t.test('transport socket-mux needs a seventh field that says yes', async (t) => {
  for (const seventh of ['', '|', '|false', '|0', '|F']) {
    t.match(
      await launchSaying(`1|1|unix|/nowhere/x|grpc|${seventh}\n`, { transport: 'socket-mux' }),
      {
        code: 'ERR_HANDSHAKE_TRANSPORT',
        message: /does not offer to carry all on one socket/,
        hint: /socket/
      },
      seventh
    )
  }
  await traces.gone()
})

t.test('a seventh field that nobody asked for is ignored, as by go-plugin', async (t) => {
  const error = await launchSaying('1|1|unix|/nowhere/x|grpc||true\n')
  // It was dialled without multiplexing, by the first call.
  t.match(error, { code: 'ERR_SOCKET_CONNECT', message: /plugin go-says .* cannot be reached/, hint: String })
  await traces.gone()
})

t.test('blank and chatty lines ahead of the handshake are skipped', async (t) => {
  const junk = '\n\r\n  \nWelcome | to | my | plugin\n(node:1) Warning: 1|1|unix\n'
  // What counts is the line at last: here it is understood, and refused for its version.
  t.match(await launchSaying(`${junk}1|9|unix|/nowhere/x|grpc|\r\n`), { code: 'ERR_HANDSHAKE_VERSION' })
  await traces.gone()
})

t.test('too much ahead of the handshake is refused, quoted and bounded', async (t) => {
  for (const transport of ['socket', 'socket-mux'] as const) {
    const noNewline = await launchSaying('x'.repeat(1024), { transport, repeat: 65 })
    t.match(noNewline, { code: 'ERR_HANDSHAKE_MALFORMED', message: /sent something else/, hint: /stdout/ })
    t.ok(noNewline.message.length < 2000)
    const lines = await launchSaying('Loading...\n', { transport, repeat: 7000 })
    t.match(lines, { code: 'ERR_HANDSHAKE_MALFORMED', message: /"Loading..." .* and \d+ more lines/ })
  }
  // As long as the line may come on the stream, stdout is for prints.
  const prints = await launchSaying('Loading...\n', { transport: 'auto', repeat: 7000, startTimeoutMs: 500 })
  t.match(prints, { code: 'ERR_HANDSHAKE_TIMEOUT', message: /"Loading..." .* and \d+ more lines/ })
  await traces.gone()
})

t.test('a line without its newline counts once stdout ends', async (t) => {
  for (const after of ['0', 'close']) {
    t.match(
      await launchSaying('1|9|unix|/nowhere/x|grpc|', { after }),
      { code: 'ERR_HANDSHAKE_VERSION' },
      after
    )
  }
  await traces.gone()
})

t.test('exit ahead of the line tells the code, the prints and the last words', async (t) => {
  for (const transport of all) {
    t.match(
      await launchSaying('usage: plugin [flags]\n', { transport, after: '3', complaint: 'no config' }),
      {
        code: 'ERR_PROCESS_EXITED',
        exitCode: 3,
        message: /exited with code 3 before its handshake; it printed "usage.*; last on stderr: "no config"/,
        hint: String
      },
      transport
    )
    // go-plugin's own exit so when they cannot start.
    t.match(await launchSaying('', { transport, after: '0' }), { code: 'ERR_PROCESS_EXITED', exitCode: 0 })
  }
  await traces.gone()
})

t.test('stdout that ends while the process stays is no handshake', async (t) => {
  const error = await launchSaying('', { after: 'close' })
  t.match(error, {
    code: 'ERR_HANDSHAKE_MALFORMED',
    message: /before it closed its output/,
    hint: /serve\(\)/
  })
  await traces.gone()
})

t.test('no line in time is a time-out that says what came', async (t) => {
  for (const transport of all) {
    t.match(
      await launchSaying('Loading\n', { transport, startTimeoutMs: 300 }),
      { code: 'ERR_HANDSHAKE_TIMEOUT', message: /within 300 ms/, hint: /startTimeoutMs/ },
      transport
    )
  }
  const half = await launchSaying('1|1|unix|/nowhere/x|grpc|', { startTimeoutMs: 300 })
  t.match(half, { code: 'ERR_HANDSHAKE_TIMEOUT' })
  await traces.gone()
})

t.test('a signal ends the wait for the line, with its own reason', async (t) => {
  const cancel = new AbortController()
  const launching = launchSaying('', { signal: cancel.signal })
  const reason = new Error('changed my mind')
  setImmediate(() => cancel.abort(reason))
  await t.rejects(launching, reason)
  await traces.gone()
})
