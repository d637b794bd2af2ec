import { once } from 'node:events'
import { connect as connectHttp2, constants } from 'node:http2'
import { Duplex } from 'node:stream'
import { Server, ServerCredentials, status } from '@grpc/grpc-js'
import t from 'tap'
import { Echo, EchoRequest, EchoResponse } from '#proto/echo/v1/echo.js'
import { Health } from '#proto/grpc/health/v1/health.js'
import { PluginError } from '../../lib/errors.js'
import { silentLogger, type LogFields } from '../../lib/log.js'
import { createClient } from '../../lib/grpc/client.js'
import { implement, type ServiceBinding } from '../../lib/grpc/handler.js'
import { createGrpcServer } from '../../lib/grpc/server.js'
import { serviceDefinition } from '../../lib/grpc/service.js'
import { createPair } from '../helpers/pair.js'
import { collect, deferred, echo, echoWith, rejection, serve } from './fixture.js'

await t.test('several services are served on one connection', async (t) => {
  const health = implement(Health, { check: () => ({ status: 1 }) })
  const { client, channel, accepted } = await serve(t, [echoWith({}), health])
  t.equal((await client.echo({ text: 'a' })).text, 'a')
  t.equal((await createClient(Health, channel).check({})).status, 1)
  t.equal(accepted.length, 1)
})

await t.test('grpc-js’s own definition and handlers are a binding', async (t) => {
  class Handlers {
    [name: string]: never
    // @ts-expect-error -- an index signature is what grpc-js's type asks for
    suffix = '!'
    // @ts-expect-error -- as above
    echo(call, callback) {
      callback(null, { text: call.request.text + this.suffix })
    }
  }
  const plain: ServiceBinding = { definition: serviceDefinition(Echo), handlers: new Handlers() }
  const { client } = await serve(t, [plain])
  t.equal((await client.echo({ text: 'a' })).text, 'a!')
})

await t.test('two bindings for one service are refused, naming both', async (t) => {
  const plain: ServiceBinding = { definition: serviceDefinition(Echo), handlers: {} }
  const health = implement(Health, {})
  t.throws(() => createGrpcServer([health, echoWith({}), plain]), {
    code: 'ERR_CONFIG_CONFLICT',
    message: 'bindings 1 and 2 are both for service echo.v1.Echo'
  })
  t.doesNotThrow(() => createGrpcServer([health, plain]))
})

await t.test('message limits', async (t) => {
  await t.test('are 64 MiB in and none out, not gRPC’s 4 MiB', async (t) => {
    const { client } = await serve(t, [echoWith({})])
    const payload = Buffer.alloc(5 * 1024 * 1024)
    t.equal((await client.echo({ payload })).payload.length, payload.length)
    const tooLarge = Buffer.alloc(64 * 1024 * 1024)
    t.match(await rejection(client.echo({ payload: tooLarge })), { status: status.RESOURCE_EXHAUSTED })
  })

  await t.test('can be set', async (t) => {
    const { client } = await serve(t, [echoWith({})], { maxReceiveBytes: 1000, maxSendBytes: 500 })
    const call = (size: number): Promise<unknown> => client.echo({ payload: Buffer.alloc(size) })
    t.ok(await call(400))
    t.match(await rejection(call(600)), { status: status.RESOURCE_EXHAUSTED, details: /Sent/ })
    t.match(await rejection(call(1100)), { status: status.RESOURCE_EXHAUSTED, details: /Received/ })
  })

  await t.test('that are no sizes are refused', async (t) => {
    for (const bytes of [0, -1, 1.5, NaN]) {
      t.throws(() => createGrpcServer([], { maxReceiveBytes: bytes }), { code: 'ERR_CONFIG_INVALID' })
      t.throws(() => createGrpcServer([], { maxSendBytes: bytes }), { code: 'ERR_CONFIG_INVALID' })
    }
    t.doesNotThrow(() => createGrpcServer([], { maxReceiveBytes: Infinity }))
  })
})

await t.test('the window', async (t) => {
  for (const windowBytes of [undefined, 128 * 1024]) {
    await t.test(`${windowBytes ?? 'of HTTP/2'} is that of connections and of calls`, async (t) => {
      const server = createGrpcServer([echoWith({})], windowBytes === undefined ? {} : { windowBytes })
      const [near, far] = createPair()
      server.serve(far)
      const session = connectHttp2('http://localhost', { createConnection: () => near })
      t.teardown(async () => {
        session.destroy()
        await server.abort()
      })
      await once(session, 'remoteSettings')
      // Answered after what the server has to say first.
      await new Promise((resolve) => session.ping(resolve))
      t.equal(session.remoteSettings.initialWindowSize, windowBytes ?? 65_535)
      t.equal(session.state.remoteWindowSize, windowBytes ?? 65_535)
    })
  }

  await t.test('that is none is refused', async (t) => {
    for (const windowBytes of [0, 65_534, 2 ** 31, 100_000.5, NaN]) {
      t.throws(() => createGrpcServer([], { windowBytes }), { code: 'ERR_CONFIG_INVALID', hint: String })
    }
  })
})

await t.test('calls are counted from the handler’s start to the end of the stream', async (t) => {
  const busy: boolean[] = []
  const idle = deferred()
  const started = [deferred(), deferred()]
  const go = deferred()
  const { client, server } = await serve(
    t,
    [
      echoWith({
        async echo() {
          started[0]?.resolve()
          await go.promise
          return {}
        },
        async *chat(requests) {
          started[1]?.resolve()
          for await (const { text } of requests) yield { text }
        }
      })
    ],
    {
      onBusy: (value) => {
        busy.push(value)
        if (!value) idle.resolve()
      }
    }
  )
  t.equal(server.activeCalls, 0)
  async function* requests() {
    yield {}
    await go.promise
  }
  const calls = [client.echo({}), collect(client.chat(requests()))]
  await Promise.all(started.map(({ promise }) => promise))
  t.equal(server.activeCalls, 2)
  t.same(busy, [true])
  go.resolve()
  await Promise.all(calls)
  await idle.promise
  t.equal(server.activeCalls, 0)
  t.same(busy, [true, false])
})

await t.test('a failed and a cancelled call are counted out too', async (t) => {
  let idle = deferred()
  const { client, server } = await serve(t, [echoWith({})], {
    onBusy: (busy) => {
      if (!busy) idle.resolve()
    }
  })
  const calls: (() => Promise<unknown>)[] = [
    () => client.fail({ code: 5 }),
    () => client.sleep({ ms: 60_000 }, { timeoutMs: 50 }),
    async () => {
      for await (const _response of client.repeat({ count: 1e9 })) throw new Error('enough')
    }
  ]
  for (const call of calls) {
    idle = deferred()
    await rejection(call())
    await idle.promise
    t.equal(server.activeCalls, 0)
  }
})

await t.test('close', async (t) => {
  await t.test('resolves at once when nothing is open, and gives the same promise again', async (t) => {
    const server = createGrpcServer([echoWith({})])
    const closed = server.close()
    t.equal(server.close({ graceMs: 1 }), closed)
    await closed
    t.throws(() => createGrpcServer([]).close({ graceMs: 0 }), { code: 'ERR_CONFIG_INVALID' })
  })

  await t.test('ends idle connections, also those whose peer never speaks', async (t) => {
    const { client, server, connect, accepted } = await serve(t, [echoWith({})])
    await connect()
    await client.echo({})
    await server.close({ graceMs: Infinity })
    t.same(
      accepted.map(({ destroyed }) => destroyed),
      [true, true]
    )
  })

  await t.test('lets calls in flight end', async (t) => {
    const started = deferred()
    const go = deferred()
    const { client, server } = await serve(t, [
      echoWith({
        async *chat(requests) {
          started.resolve()
          for await (const { text } of requests) yield { text }
        }
      })
    ])
    async function* requests() {
      yield { text: 'before' }
      await go.promise
      yield { text: 'after' }
    }
    const call = collect(client.chat(requests()))
    await started.promise
    const closed = server.close({ graceMs: Infinity })
    go.resolve()
    t.same(
      (await call).map(({ text }) => text),
      ['before', 'after']
    )
    await closed
    t.equal(server.activeCalls, 0)
  })

  await t.test('ends what is left after graceMs, once handlers have seen their signal abort', async (t) => {
    const started = deferred()
    let reason: unknown
    const { client, server, accepted } = await serve(t, [
      echoWith({
        async sleep(_request, { signal }) {
          started.resolve()
          signal.addEventListener('abort', () => (reason = signal.reason))
          await once(signal, 'abort')
          return {}
        }
      })
    ])
    const call = rejection(client.sleep({}))
    await started.promise
    await server.close({ graceMs: 10 })
    t.match(reason, { status: status.CANCELLED }, 'told before close has resolved')
    t.equal(server.activeCalls, 0)
    t.ok(accepted[0]?.destroyed)
    t.type(await call, PluginError)
  })

  await t.test('refuses connections from then on', async (t) => {
    const { server, connect, accepted } = await serve(t, [echoWith({})])
    await server.close()
    const socket = await connect()
    await once(socket.resume(), 'close')
    t.equal(accepted[0]?.destroyed, true)
  })
})

await t.test('a connection', async (t) => {
  await t.test('that is destroyed already is let go', async () => {
    const server = createGrpcServer([echoWith({})])
    const dead = new Duplex({ read() {}, write: (_chunk, _encoding, callback) => callback() })
    dead.destroy()
    await once(dead, 'close')
    server.serve(dead)
    await server.close({ graceMs: Infinity })
  })

  await t.test('that fails is no uncaught error, not even after its session has ended', async (t) => {
    const logged: unknown[] = []
    const logger = { ...silentLogger, debug: ({ err }: LogFields) => void logged.push(err) }
    const server = createGrpcServer([echoWith({})], { logger })
    const [here, there] = joined()
    server.serve(there)
    const session = connectHttp2('http://muxplug', { createConnection: () => here })
    await once(session, 'remoteSettings')
    const closing = once(there, 'close')
    session.close()
    await closing
    const cut = new Error('the cable was cut')
    there.emit('error', cut)
    t.same(logged, [cut])
    await server.close({ graceMs: Infinity })
  })

  await t.test('that does not speak HTTP/2 is closed', async (t) => {
    const { connect, client } = await serve(t, [echoWith({})])
    const socket = await connect()
    socket.end('GET / HTTP/1.1\r\n\r\n')
    await once(socket.resume(), 'close')
    t.ok(await client.echo({}))
  })

  await t.test('may be any Duplex', async (t) => {
    const server = createGrpcServer([echoWith({})])
    const [here, there] = joined()
    server.serve(there)
    const session = connectHttp2('http://muxplug', { createConnection: () => here })
    const request = session.request({
      [constants.HTTP2_HEADER_METHOD]: 'POST',
      [constants.HTTP2_HEADER_PATH]: Echo.methods.echo.path,
      'content-type': 'application/grpc',
      te: 'trailers'
    })
    const message = EchoRequest.encode({ text: 'raw' }).finish()
    request.end(Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]))
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    t.equal(EchoResponse.decode(Buffer.concat(chunks).subarray(5)).text, 'raw')
    const closing = once(session, 'close')
    await server.close({ graceMs: Infinity })
    await closing
    t.ok(there.destroyed)
  })
})

await t.test('a thousand connections leave nothing behind', async (t) => {
  const server = createGrpcServer([echoWith({})])
  const pairs = Array.from({ length: 1000 }, () => joined())
  for (const [, there] of pairs) server.serve(there)
  t.notOk(process.getActiveResourcesInfo().includes('Timeout'), 'idle connections hold no timers')
  const half = pairs.splice(0, 500)
  const gone = half.map(([, there]) => once(there, 'close'))
  for (const [here] of half) here.destroy()
  await Promise.all(gone)
  await server.close({ graceMs: Infinity })
  t.ok(pairs.every(([, there]) => there.destroyed))
})

await t.test('the definitions also run on a grpc-js server that listens', async (t) => {
  const { definition, handlers } = implement(Echo, echo)
  const server = new Server()
  server.addService(definition, handlers)
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error)
    )
  })
  const { Channel, credentials } = await import('@grpc/grpc-js')
  const channel = new Channel(`127.0.0.1:${port}`, credentials.createInsecure(), {})
  t.teardown(() => {
    channel.close()
    server.forceShutdown()
  })
  t.equal((await createClient(Echo, channel).echo({ text: 'tcp' })).text, 'tcp')
})

/** Two ends in memory that take any amount, so that two HTTP/2 sessions cannot stop each other. */
function joined(): [Duplex, Duplex] {
  const make = (other: () => Duplex): Duplex =>
    new Duplex({
      read() {},
      write(chunk, _encoding, callback) {
        other().push(chunk)
        callback()
      },
      final(callback) {
        other().push(null)
        callback()
      },
      destroy(error, callback) {
        setImmediate(() => other().destroy())
        callback(error)
      }
    })
  const a: Duplex = make(() => b)
  const b: Duplex = make(() => a)
  return [a, b]
}
