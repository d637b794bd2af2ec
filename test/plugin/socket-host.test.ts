import '../helpers/plain-children.js'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, utimesSync } from 'node:fs'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { connect as connectTls } from 'node:tls'
import t, { type Test } from 'tap'
import { Client, credentials } from '@grpc/grpc-js'
import { Echo, type EchoRequest } from '#proto/echo/v1/echo.js'
import { GRPCController } from '#proto/goplugin/goplugin.js'
import { attach, implement } from '../../lib/host/index.js'
import { reattachConfig } from '../../lib/handshake/reattach.js'
import { createCertificate, parseCertificate, tlsOptions } from '../../lib/security/certificate.js'
import { fixture } from '../helpers/launch.js'
import { watchTraces } from '../helpers/traces.js'

const traces = watchTraces(t)

interface Started {
  readonly child: ChildProcess
  readonly pid: number
  /** The handshake line's fields; empty when stdout ended without one. */
  readonly fields: string[]
  /** Network and address as in the line. */
  readonly address: string
  /** What follows the line on stdout, and all of stderr. */
  readonly rest: AsyncIterator<string>
  readonly stderr: Promise<string>
  /** Code and signal. */
  readonly exited: Promise<unknown[]>
}

/** Starts the plugin as a host of go-plugin does, in as far as `env` says so, and reads its line. */
async function start(
  t: Test,
  env: Record<string, string> = {},
  command = [process.execPath]
): Promise<Started> {
  const [file, ...args] = [...command, fixture('plugin-go-serves.mjs')]
  const child = spawn(file, args, {
    env: { PATH: process.env['PATH'], TMPDIR: traces.dir, ECHO_PLUGIN: 'echo', ...env },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  t.teardown(() => child.kill('SIGKILL'))
  const exited = once(child, 'exit')
  const stderr = text(child.stderr)
  const rest = createInterface(child.stdout)[Symbol.asyncIterator]()
  const { value = '' } = (await rest.next()) as { value?: string }
  const fields = value === '' ? [] : value.split('|')
  return { child, pid: child.pid!, fields, address: fields[3] ?? '', rest, stderr, exited }
}

/** A client of the plugin's main server, without anything that a host of go-plugin does besides. */
function bareClient(t: Test, address: string): BareClient {
  const client = new Client(`unix:${address}`, credentials.createInsecure())
  t.teardown(() => client.close())
  const { path, request, response } = Echo.methods.echo
  const call: BareClient = (words, payload = new Uint8Array()) =>
    new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        path,
        (message: EchoRequest) => Buffer.from(request.encode(message).finish()),
        (bytes) => response.decode(bytes),
        { text: words, payload } as never,
        (error, answer) => (error === null ? resolve(answer as { text: string }) : reject(error))
      )
    })
  call.close = () => client.close()
  return call
}

interface BareClient {
  (text: string, payload?: Uint8Array): Promise<{ text: string }>
  close(): void
}

/** Resolves when the plugin has closed the connection. */
async function connectionEnd(address: string, bytes?: string | Uint8Array): Promise<void> {
  const socket = connect(address)
  socket.on('error', () => {}).resume()
  await once(socket, 'connect')
  const closed = new Promise((resolve) => socket.once('close', resolve))
  if (bytes !== undefined) socket.write(bytes)
  await closed
}

/** Resolves once `path` is not there. */
async function missing(path: string): Promise<void> {
  while (existsSync(path)) await new Promise((resolve) => setImmediate(resolve))
}

async function end(plugin: Started): Promise<void> {
  plugin.child.kill('SIGTERM')
  await plugin.exited
}

t.test('the version is the highest that both list, else the lowest of the plugin', async (t) => {
  const SERVE = JSON.stringify({ versions: [2, 3, 5] })
  for (const [listed, version, complains] of [
    ['1,2,3', '3', false],
    ['5,3', '5', false],
    ['', '2', false],
    ['3, 5,x,-1,03,5.0,99999999999999999999', '3', true],
    [',,,', '2', true],
    ['4', '2', true]
  ] as const) {
    const plugin = await start(t, { SERVE, PLUGIN_PROTOCOL_VERSIONS: listed })
    t.same(plugin.fields.slice(0, 3), ['1', version, 'unix'], `versions ${JSON.stringify(listed)}`)
    await end(plugin)
    t.equal(/no numbers|no protocol version in common/.test(await plugin.stderr), complains)
  }
  t.same(traces.files(), [])
})

t.test('the seventh field is there only for hosts that have set the variable', async (t) => {
  for (const [value, seventh, complains] of [
    [undefined, undefined, false],
    ['', undefined, false],
    ['true', 'true', false],
    ['T', 'true', false],
    ['1', 'true', false],
    ['false', 'false', false],
    ['0', 'false', false],
    ['yes', 'false', true]
  ] as const) {
    const plugin = await start(t, value === undefined ? {} : { PLUGIN_MULTIPLEX_GRPC: value })
    t.equal(plugin.fields.length, seventh === undefined ? 6 : 7)
    t.equal(plugin.fields[6], seventh, `PLUGIN_MULTIPLEX_GRPC=${value}`)
    t.equal(plugin.fields[5], '')
    await end(plugin)
    t.equal((await plugin.stderr).includes('PLUGIN_MULTIPLEX_GRPC is not a bool'), complains)
  }
  t.same(traces.files(), [])
})

t.test('a plugin that cannot do what its host wants says why on stderr, and exits with code 1', async (t) => {
  const tcp = JSON.stringify({ network: 'tcp' })
  for (const [env, code, message] of [
    [{ PLUGIN_CLIENT_CERT: 'garbage' }, 'ERR_SECURITY_CERTIFICATE', /PLUGIN_CLIENT_CERT/],
    [
      { PLUGIN_CLIENT_CERT: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n' },
      'ERR_SECURITY_CERTIFICATE',
      /PLUGIN_CLIENT_CERT/
    ],
    [{ SERVE: tcp, PLUGIN_MIN_PORT: 'http' }, 'ERR_HANDSHAKE_TRANSPORT', /http\.\./],
    [{ SERVE: tcp, PLUGIN_MIN_PORT: '70000', PLUGIN_MAX_PORT: '70001' }, 'ERR_HANDSHAKE_TRANSPORT', /70000/],
    [{ SERVE: tcp, PLUGIN_MIN_PORT: '10000' }, 'ERR_HANDSHAKE_TRANSPORT', /10000\.\./],
    [{ PLUGIN_UNIX_SOCKET_DIR: `${traces.dir}/nowhere` }, 'ERR_SOCKET_LISTEN', /nowhere/],
    [{ PLUGIN_UNIX_SOCKET_DIR: `/${'x'.repeat(120)}` }, 'ERR_CONFIG_INVALID', /107 are possible|103 are/],
    [{ PLUGIN_UNIX_SOCKET_GROUP: 'no such group' }, 'ERR_CONFIG_INVALID', /no such group/],
    [{ PLUGIN_STREAM: 'pigeon' }, 'ERR_HANDSHAKE_TRANSPORT', /pigeon/]
  ] as const) {
    const plugin = await start(t, env)
    const what = JSON.stringify(env).slice(0, 80)
    t.same(plugin.fields, [], what)
    t.same(await plugin.exited, [1, null], what)
    const lines = (await plugin.stderr).trimEnd().split('\n')
    const record = lines.map((line) => JSON.parse(line) as object).at(-1)
    t.match(record, { '@level': 'error', code, '@message': message, hint: String }, what)
  }
  t.same(traces.files(), [])
})

t.test('ports that cannot be concern only a plugin that listens on TCP', async (t) => {
  const plugin = await start(t, { PLUGIN_MIN_PORT: '10', PLUGIN_MAX_PORT: 'x' })
  t.equal(plugin.fields[2], 'unix')
  await end(plugin)
})

t.test('on TCP it takes a port of the range', async (t) => {
  const range = { PLUGIN_MIN_PORT: '20000', PLUGIN_MAX_PORT: '20100' }
  const plugin = await start(t, { SERVE: JSON.stringify({ network: 'tcp' }), ...range })
  t.equal(plugin.fields[2], 'tcp')
  const port = Number(/^127\.0\.0\.1:(\d+)$/.exec(plugin.address)![1])
  t.ok(port >= 20_000 && port <= 20_100)
  await end(plugin)
})

t.test('garbage, and connections that come to nothing, do not keep others from the plugin', async (t) => {
  const plugin = await start(t)
  for (const bytes of ['GET / HTTP/1.1\r\n\r\n', '\0'.repeat(100_000), Buffer.from('160301020001', 'hex')]) {
    await connectionEnd(plugin.address, bytes)
  }
  // A host of go-plugin that reattaches connects once and closes, to see whether anybody is there.
  const probes = Array.from({ length: 50 }, () => connect(plugin.address))
  for (const probe of probes) {
    await once(probe, 'connect')
    probe.destroy()
  }
  t.match(await bareClient(t, plugin.address)('hello'), { text: 'hello' })
  await end(plugin)
})

t.test('multiplexed, garbage on the one connection ends the plugin', async (t) => {
  const plugin = await start(t, { PLUGIN_MULTIPLEX_GRPC: 'true' })
  await connectionEnd(plugin.address, 'GET / HTTP/1.1\r\n\r\n')
  t.same(await plugin.exited, [0, null])
  t.notOk(existsSync(plugin.address))
})

t.test('multiplexed, the first connection is the only one, and its end is that of the plugin', async (t) => {
  const plugin = await start(t, { PLUGIN_MULTIPLEX_GRPC: 'true' })
  const first = connect(plugin.address)
  await once(first, 'connect')
  await missing(plugin.address)
  const second = connect(plugin.address)
  t.match(await once(second, 'error'), [{ code: 'ENOENT' }])
  t.equal(plugin.child.exitCode, null)
  first.destroy()
  t.same(await plugin.exited, [0, null])
})

t.test('multiplexed, of two that connect at once the second is turned away', async (t) => {
  const plugin = await start(t, { PLUGIN_MULTIPLEX_GRPC: 'true' })
  const [first, second] = [connect(plugin.address), connect(plugin.address)]
  // Reset where it was still in the queue, closed where it was taken off.
  second.on('error', () => {}).resume()
  await new Promise((resolve) => second.once('close', resolve))
  const ping = Buffer.from('000200010000000000000007', 'hex')
  const pong = Buffer.from('000200020000000000000007', 'hex')
  first.write(ping)
  t.match(await once(first, 'data'), [pong])
  first.destroy()
  t.same(await plugin.exited, [0, null])
})

t.test('with a certificate only the host of that certificate is let in', async (t) => {
  const host = await createCertificate({ curve: 'P-256' })
  const other = await createCertificate({ curve: 'P-256' })
  const plugin = await start(t, {
    PLUGIN_CLIENT_CERT: host.certPem,
    SERVE: JSON.stringify({ curve: 'P-256' })
  })
  const trusted = parseCertificate(plugin.fields[5]!)!
  const dial = async (certificate: typeof host | undefined, ALPNProtocols?: string[]): Promise<unknown> => {
    const { connect: client } = tlsOptions(certificate ?? host, trusted)
    const { key: _key, cert: _cert, ...anonymous } = client
    const given = certificate === undefined ? anonymous : client
    const socket = connectTls({ ...given, path: plugin.address, ...(ALPNProtocols && { ALPNProtocols }) })
    // TLS 1.3: a server that refuses the client's certificate says so after the client's handshake.
    return new Promise((resolve) => {
      socket.once('error', resolve).once('close', () => resolve('closed'))
      socket.once('data', (data) => {
        resolve(data)
        socket.destroy()
      })
    })
  }
  t.ok(Buffer.isBuffer(await dial(host)), 'the settings of HTTP/2')
  t.notOk(Buffer.isBuffer(await dial(other)), 'another certificate')
  t.notOk(Buffer.isBuffer(await dial(undefined)), 'no certificate')
  t.notOk(Buffer.isBuffer(await dial(host, ['http/1.1'])), 'no h2')
  await connectionEnd(plugin.address, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
  t.ok(Buffer.isBuffer(await dial(host)), 'still there')
  await end(plugin)
  t.notOk((await plugin.stderr).includes('PRIVATE'))
})

t.test('a plugin whose host is gone, and that nobody calls, ends after orphanTimeoutMs', async (t) => {
  const SERVE = JSON.stringify({ orphanTimeoutMs: 100 })
  for (const [multiplex, dialled] of [
    ['', false],
    ['', true],
    ['true', false]
  ] as const) {
    // A shell between, for a parent that can be killed.
    const env = { SERVE, PLUGIN_MULTIPLEX_GRPC: multiplex }
    const host = await start(t, env, ['sh', '-c', '"$0" "$@" & wait', process.execPath])
    const socket = dialled ? connect(host.address) : undefined
    if (socket !== undefined) await once(socket, 'connect')
    host.child.kill('SIGKILL')
    await host.exited
    if (socket !== undefined) {
      const call = bareClient(t, host.address)
      t.match(await call('hello'), { text: 'hello' }, 'there is somebody')
      call.close()
      socket.destroy()
    }
    // Only its end closes the other end of the pipe.
    t.match(await host.rest.next(), { done: true })
    t.notOk(existsSync(host.address))
  }
})

t.test('a host that goes away in a call, or in StartStream, leaves the plugin to others', async (t) => {
  const plugin = await start(t)
  const config = {
    ...reattachConfig(plugin.pid, 1, { network: 'unix', address: plugin.address }),
    Test: true
  }
  const gone = await attach(config)
  await gone.dispense(Echo).echo({ text: 'serve' })
  const hanging = gone.dispense(Echo).echo({ text: 'hang' })
  const failed = t.rejects(hanging, { code: 'ERR_STREAM_CLOSED' })
  await gone.kill()
  await failed
  const next = await attach(config)
  t.match(await next.dispense(Echo).echo({ text: 'hello' }), { text: 'hello' })
  const { text: id } = await next.dispense(Echo).echo({ text: 'serve' })
  const brokered = next.broker.dial(Number(id)).dispense(Echo)
  t.match(
    await brokered.echo({ text: 'x' }),
    { text: 'brokered x' },
    'the broker is there for the second host'
  )
  const served = next.broker.accept(next.broker.nextId(), [
    implement(Echo, { echo: ({ text: words }) => ({ text: `host ${words}` }) })
  ])
  const called = await next.dispense(Echo).echo({ text: 'call-back', payload: Uint8Array.of(served.id) })
  t.equal(called.text, 'host called back')
  await next.close()
  await end(plugin)
})

t.test('SIGTERM ends it in order, SIGINT is for the host to act on', async (t) => {
  for (const PLUGIN_MULTIPLEX_GRPC of ['', 'true']) {
    const plugin = await start(t, { PLUGIN_MULTIPLEX_GRPC })
    plugin.child.kill('SIGINT')
    plugin.child.kill('SIGTERM')
    t.same(await plugin.exited, [0, null])
    t.same(traces.files(), [])
  }
})

t.test('after Shutdown it exits with code 0, whatever is still open, and the answer arrives', async (t) => {
  const plugin = await start(t)
  const client = new Client(`unix:${plugin.address}`, credentials.createInsecure())
  t.teardown(() => client.close())
  const { path, request, response } = GRPCController.methods.shutdown
  const answer = await new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      path,
      (message: object) => Buffer.from(request.encode(message).finish()),
      (bytes) => response.decode(bytes),
      {},
      (error, message) => (error === null ? resolve(message) : reject(error))
    )
  })
  t.ok(answer)
  t.same(await plugin.exited, [0, null])
  t.same(traces.files(), [])
})

t.test('the last words of a process reach stderr, though its prints go to the host', async (t) => {
  const plugin = await start(t, { EARLY: '1|not the line' })
  t.equal(plugin.fields.join('|'), '1|not the line', 'what is printed ahead of serve() is ahead of the line')
  const { value: line } = await plugin.rest.next()
  await t.rejects(bareClient(t, line!.split('|')[3])('exit'), { code: 14 })
  t.same(await plugin.exited, [1, null])
  t.match(await plugin.stderr, /last words\n$/)
  t.same(traces.files(), [])
})

t.test('prints after the line leave standard output alone', async (t) => {
  const plugin = await start(t, { LATE: 'late' })
  await end(plugin)
  t.match(await plugin.rest.next(), { done: true })
  t.match(await plugin.stderr, /^late$/m, 'nobody has fetched it')
})

t.test('an uncaught exception is a panic to hosts, with its stack', async (t) => {
  const plugin = await start(t)
  await t.rejects(bareClient(t, plugin.address)('throw'), { code: 14 })
  t.same(await plugin.exited, [1, null])
  const stderr = await plugin.stderr
  t.match(stderr, /^panic: boom$/m)
  t.match(stderr, /^Error: boom\n\s+at /m)
  t.same(traces.files(), [])
})

const mebibyte = 1024 * 1024

t.test('prints that no host reads do not hold it up, and the oldest go', async (t) => {
  const plugin = await start(t)
  const call = bareClient(t, plugin.address)
  for (const letter of 'abcdefghijklmnopqrst') await call('print', Buffer.alloc(mebibyte, letter))
  const output: Uint8Array[] = []
  const config = {
    ...reattachConfig(plugin.pid, 1, { network: 'unix', address: plugin.address }),
    Test: true
  }
  let arrived = (): void => {}
  const all = new Promise<void>((resolve) => {
    arrived = resolve
  })
  const host = await attach(config, {
    onOutput(_channel, bytes) {
      output.push(bytes)
      if (bytes.at(-1) === 10) arrived()
    }
  })
  await call('print', Buffer.from('the end\n'))
  await all
  const received = Buffer.concat(output)
  // The 16 MiB that are kept, and what came while they were read.
  t.ok(received.length > 15 * mebibyte && received.length < 16 * mebibyte + 2048)
  t.equal(received.subarray(-10).toString(), 'ttthe end\n'.slice(-10))
  t.notOk(received.includes('a'))
  await host.close()
  await end(plugin)
  t.match(await plugin.stderr, /the host does not read all that is printed/)
})

t.test('what SIGKILL leaves is swept by the next start, once it is older than a minute', async (t) => {
  for (const env of [{}, { PLUGIN_MULTIPLEX_GRPC: 'true' }]) {
    const killed = await start(t, env)
    killed.child.kill('SIGKILL')
    await killed.exited
    t.ok(existsSync(killed.address))
    await end(await start(t, env))
    t.ok(existsSync(killed.address), 'not so soon')
    const old = Date.now() / 1000 - 61
    utimesSync(killed.address, old, old)
    const next = await start(t, env)
    await missing(killed.address)
    t.ok(existsSync(next.address))
    await end(next)
    t.same(readdirSync(traces.dir), [])
  }
})
