import {
  ServerInterceptingCall,
  type ServerInterceptor,
  type ServerUnaryCall,
  type sendUnaryData
} from '@grpc/grpc-js'
import t, { type Test } from 'tap'
import { Echo } from '#proto/echo/v1/echo.js'
import { createStreamRoute } from '../../lib/broker/on-stream.js'
import { type ChannelOptions, createDirectChannel } from '../../lib/grpc/channel.js'
import { createClient } from '../../lib/grpc/client.js'
import { Status } from '../../lib/grpc/grpc-js.js'
import { implement, type ServiceBinding } from '../../lib/grpc/handler.js'
import { type GrpcServerOptions, createGrpcServer } from '../../lib/grpc/server.js'
import { serviceDefinition } from '../../lib/grpc/service.js'
import type { Muxer } from '../../lib/mux/muxer.js'
import { createNativeMuxer } from '../../lib/mux/native.js'
import { launchFixture } from '../helpers/launch.js'
import { createPair } from '../helpers/pair.js'
import { echo } from './fixture.js'

const id = 7

/** A server on one end of a session, and channels to it from the other. */
function joined(t: Test, bindings: readonly ServiceBinding[], options: GrpcServerOptions = {}) {
  const [a, b] = createPair()
  const start = (stream: typeof a, role: 'client' | 'server') => {
    const route = createStreamRoute(() => muxer)
    const muxer: Muxer = createNativeMuxer(stream, { role, receiverOf: (port) => route.receiverOf(port) })
    return { route, muxer }
  }
  const near = start(a, 'client')
  const far = start(b, 'server')
  const server = createGrpcServer(bindings, options)
  const over = new Error('test is over')
  t.teardown(async () => {
    near.muxer.abort(over)
    await server.abort()
  })
  return {
    server,
    muxer: near.muxer,
    accept: () =>
      far.route.accept(
        id,
        () => {},
        (port) => server.serveCall(port)
      ),
    connect: (channelOptions: ChannelOptions = {}) => {
      const channel = createDirectChannel(() => near.route.calls(id), channelOptions)
      t.teardown(() => channel.abort(over))
      return { channel, client: createClient(Echo, channel) }
    }
  }
}

/** The echo service with a handler in the way of grpc-js. */
const ofGrpcJs: ServiceBinding = {
  definition: serviceDefinition(Echo),
  handlers: {
    echo(call: ServerUnaryCall<{ text: string }, object>, callback: sendUnaryData<object>) {
      callback(null, { text: `${call.request.text} ${call.getPath()} ${call.getPeer()}` })
    }
  }
}

for (const [way, binding] of [
  ['typed', implement(Echo, echo)],
  ['of grpc-js', ofGrpcJs]
] as const) {
  t.test(`interceptors of a server see and change the calls of a handler that is ${way}`, async (t) => {
    const seen: string[] = []
    const named = (name: string): ServerInterceptor => {
      return ({ path }, call) =>
        new ServerInterceptingCall(call, {
          start: (next) =>
            next({
              onReceiveMetadata(metadata, pass) {
                seen.push(`${name} ${path}`)
                pass(metadata)
              },
              onReceiveMessage(message: { text: string }, pass) {
                pass({ ...message, text: `${message.text}-${name}` })
              }
            }),
          sendStatus(status, pass) {
            seen.push(`${name} status ${status.code}`)
            pass(status)
          }
        })
    }
    const { server, accept, connect } = joined(t, [binding], { interceptors: [named('in'), named('out')] })
    accept()
    t.match((await connect().client.echo({ text: 'hi' })).text, /^hi-in-out/)
    t.same(seen, ['in /echo.v1.Echo/Echo', 'out /echo.v1.Echo/Echo', 'out status 0', 'in status 0'])
    t.equal(server.activeCalls, 0)
  })
}

t.test('more calls than may come early wait for the first answer, and are all served', async (t) => {
  const { accept, connect, muxer } = joined(t, [implement(Echo, echo)])
  const { client, channel } = connect()
  const early = Array.from({ length: 100 }, (_, index) => client.echo({ text: String(index) }))
  await muxer.ping()
  t.equal(channel.activeCalls, 100)
  t.ok(muxer.stats().opened <= 32, 'the other side keeps a bounded number of them')
  accept()
  const answers = await Promise.all(early)
  t.same(
    answers.map(({ text }) => text),
    Array.from({ length: 100 }, (_, index) => String(index))
  )
})

t.test('a service that ends lets its calls end, refuses new ones, and then ends the rest', async (t) => {
  let release = (): void => {}
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  let aborted = 0
  const { server, accept, connect } = joined(t, [
    implement(Echo, {
      async echo({ text, payload }, { signal }) {
        signal.addEventListener('abort', () => aborted++)
        if (text === 'ends') await released
        else await new Promise(() => {})
        return { text, payload }
      }
    })
  ])
  const acceptance = accept()
  const { client } = connect()
  const ends = client.echo({ text: 'ends' })
  const stays = client.echo({ text: 'stays' })
  const refused = t.rejects(stays, { status: Status.UNAVAILABLE, code: 'ERR_STREAM_CLOSED' })
  while (server.activeCalls < 2) await new Promise(setImmediate)
  acceptance.close()
  const closing = server.close({ graceMs: 100 })
  await t.rejects(client.echo({ text: 'late' }), { status: Status.UNAVAILABLE, code: 'ERR_STREAM_CLOSED' })
  release()
  t.equal((await ends).text, 'ends')
  await closing
  await refused
  t.match([aborted, server.activeCalls], [1, 0])
})

t.test('waitForReady is told of an ID once it is accepted', async (t) => {
  const { accept, connect } = joined(t, [implement(Echo, echo)])
  const { channel } = connect()
  const seen = channel.getConnectivityState(true)
  const ready = new Promise<void>((resolve, reject) => {
    channel.watchConnectivityState(seen, Date.now() + 30_000, (error) => (error ? reject(error) : resolve()))
  })
  accept()
  await ready
  t.equal(channel.getConnectivityState(false), 2)
})

t.test('a plugin with the typed API alone loads neither grpc-js nor HTTP/2', async (t) => {
  const asked = '@grpc/grpc-js/build/src/index.js,@grpc/grpc-js/build/src/metadata.js,node:http2,protobufjs'
  for (const [wires, found] of [
    [['direct'], '@grpc/grpc-js/build/src/metadata.js,protobufjs'],
    [['h2'], asked]
  ] as const) {
    const { plugin } = await launchFixture(t, 'plugin-loads.mjs', { wires })
    const client = plugin.dispense(Echo)
    for await (const { text } of client.chat([{ text: 'a' }])) t.equal(text, 'a')
    t.equal((await client.echo({ text: asked })).text, found, wires.join())
    await plugin.close()
  }
})
