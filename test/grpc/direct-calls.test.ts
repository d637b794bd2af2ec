import { once } from 'node:events'
import {
  type ChannelInterface,
  type Client as GrpcClient,
  InterceptingCall,
  Metadata,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  ServerInterceptingCall,
  type ServerWritableStream,
  type ServiceError,
  type UntypedServiceImplementation,
  credentials,
  makeClientConstructor,
  propagate,
  status
} from '@grpc/grpc-js'
import t, { type Test } from 'tap'
import { Echo, type EchoRequest, type EchoResponse } from '#proto/echo/v1/echo.js'
import type { ServiceBinding } from '../../lib/grpc/handler.js'
import { createClient } from '../../lib/grpc/client.js'
import { serviceDefinition } from '../../lib/grpc/service.js'
import { directPair, idle, rawCaller } from '../helpers/direct-ends.js'
import * as bytes from '../helpers/direct-peer.js'
import { collect, deferred, echoWith, rejection } from './fixture.js'

const definition = serviceDefinition(Echo)

/** The echo service by grpc-js's own handlers. */
function grpcJsEcho(handlers: UntypedServiceImplementation): ServiceBinding {
  return { definition, handlers }
}

type Unary = ServerUnaryCall<EchoRequest, EchoResponse>
type Many = ServerWritableStream<EchoRequest, { text: string }>
type Chat = ServerDuplexStream<EchoRequest, { text: string }>
type Callback = (error: Partial<ServiceError> | null, response?: { text: string } | null) => void

type UnaryMethod = (
  request: { text: string },
  metadata: Metadata,
  options: object,
  callback: (error: ServiceError | null, response: EchoResponse) => void
) => ReturnType<GrpcClient['makeUnaryRequest']>

/** A client of grpc-js; `host` and the like are options of a call. */
function grpcJsClient(channel: ChannelInterface) {
  const EchoClient = makeClientConstructor(definition, 'Echo')
  const client = new EchoClient('', credentials.createInsecure(), { channelOverride: channel })
  return (text: string, options: object = {}, metadata = new Metadata()): Promise<EchoResponse> =>
    new Promise((resolve, reject) => {
      ;(client['echo'] as UnaryMethod)({ text }, metadata, options, (error, response) =>
        error === null ? resolve(response) : reject(error)
      )
    })
}

/** Nothing of a call is left at either end. */
async function nothingLeft(t: Test, pair: ReturnType<typeof directPair>): Promise<void> {
  await idle(pair.dialling.muxer, pair.accepting.muxer)
  t.equal(pair.server.activeCalls, 0)
}

t.test('a server that closes lets calls in flight end and refuses new ones', async (t) => {
  const gate = deferred()
  const pair = directPair(t, [
    echoWith({
      async echo({ text }) {
        if (text === 'waiting') await gate.promise
        return { text }
      },
      async *chat(requests) {
        for await (const { text } of requests) yield { text }
      }
    })
  ])
  pair.accept()
  const { client, server } = pair
  const chatting = deferred()
  const requests = async function* () {
    yield { text: 'before' }
    await chatting.promise
    yield { text: 'after' }
  }
  const said = client.chat(requests())[Symbol.asyncIterator]()
  t.match(await said.next(), { value: { text: 'before' } })
  const waiting = client.echo({ text: 'waiting' })
  while (server.activeCalls < 2) await new Promise(setImmediate)

  let closed = false
  const closing = server.close({ graceMs: Infinity }).then(() => (closed = true))
  const refused = { code: 'ERR_STREAM_CLOSED', status: status.UNAVAILABLE }
  t.match(await rejection(client.echo({ text: 'late' })), refused)
  t.match(await rejection(collect(client.repeat({ count: 1 }))), refused)
  chatting.resolve()
  t.match(await said.next(), { value: { text: 'after' } })
  t.same(await said.next(), { done: true, value: undefined })
  t.equal(closed, false, 'one is in flight')
  gate.resolve()
  t.match(await waiting, { text: 'waiting' })
  await closing
  await nothingLeft(t, pair)
})

t.test('a server that closes ends what takes longer than its grace', async (t) => {
  const aborted = deferred<unknown>()
  const pair = directPair(t, [
    echoWith({
      echo: (_request, { signal }) =>
        new Promise(() => {
          signal.addEventListener('abort', () => aborted.resolve(signal.reason))
        })
    })
  ])
  pair.accept()
  const call = rejection(pair.client.echo({}))
  while (pair.server.activeCalls === 0) await new Promise(setImmediate)
  await pair.server.close({ graceMs: 1 })
  t.match(await call, { code: 'ERR_STREAM_CLOSED', status: status.UNAVAILABLE })
  t.match(await aborted.promise, { status: status.CANCELLED })
  await nothingLeft(t, pair)
})

t.test('a handler of grpc-js is told of its call as on HTTP/2', async (t) => {
  const seen: unknown[] = []
  const now = Date.now()
  const pair = directPair(t, [
    grpcJsEcho({
      echo(call: Unary, callback: Callback) {
        seen.push(call.getPeer(), call.getPath(), call.getHost(), call.metadata.get('x-key'))
        seen.push(Number(call.getDeadline()) - now)
        const header = new Metadata()
        header.set('x-header', 'sent')
        call.sendMetadata(header)
        callback(null, { text: call.request.text })
      }
    })
  ])
  pair.accept()
  const metadata = new Metadata()
  metadata.set('x-key', 'value')
  t.intercept(Date, 'now', { value: () => now })
  const options = { host: 'elsewhere.example', deadline: now + 60_000 }
  t.match(await grpcJsClient(pair.channel)('hi', options, metadata), { text: 'hi' })
  t.same(seen, ['unknown', '/echo.v1.Echo/Echo', 'elsewhere.example', ['value'], 60_000])

  seen.length = 0
  let header: Metadata | undefined
  await pair.client.echo({ text: 'hi' }, { onHeader: (received) => (header = received) })
  t.same(seen.slice(2), ['', [], Infinity])
  t.same(header?.toJSON(), { 'x-header': ['sent'] })
  await nothingLeft(t, pair)
})

t.test('a call made for another has its deadline, and is cancelled with it', async (t) => {
  const inner = directPair(t, [
    echoWith({
      echo: (_request, { deadline, signal }) =>
        new Promise((_resolve, reject) => {
          told.push(deadline)
          signal.addEventListener('abort', () => {
            told.push('aborted')
            reject(signal.reason as Error)
          })
          arrived.resolve()
        })
    })
  ])
  inner.accept()
  const told: unknown[] = []
  const arrived = deferred()
  const failed = deferred<unknown>()
  const callInner = grpcJsClient(inner.channel)
  const outer = directPair(t, [
    grpcJsEcho({
      echo(call: Unary) {
        callInner('inner', { parent: call, propagate_flags: propagate.DEFAULTS }).catch(
          (error: ServiceError) => failed.resolve(error.details)
        )
      }
    })
  ])
  outer.accept()
  const now = Date.now()
  t.intercept(Date, 'now', { value: () => now })
  const controller = new AbortController()
  const call = rejection(outer.client.echo({}, { timeoutMs: 60_000, signal: controller.signal }))
  await arrived.promise
  t.same(told, [now + 60_000])
  controller.abort('enough')
  t.equal(await call, 'enough')
  t.equal(await failed.promise, 'Cancelled by parent call')
  await nothingLeft(t, inner)
  t.same(told, [now + 60_000, 'aborted'])
  await nothingLeft(t, outer)
})

t.test('call credentials add metadata to each call, of a channel and of one call', async (t) => {
  const seen: unknown[] = []
  const tokens = (name: string) =>
    credentials.createFromMetadataGenerator(({ service_url }, callback) => {
      const metadata = new Metadata()
      metadata.set(name, service_url)
      callback(null, metadata)
    })
  const pair = directPair(
    t,
    [
      echoWith({
        echo(request, { metadata }) {
          seen.push(metadata.get('x-channel'), metadata.get('x-call'))
          return request
        }
      })
    ],
    { channel: { target: 'there', callCredentials: tokens('x-channel') } }
  )
  pair.accept()
  await pair.client.echo({})
  await pair.client.echo({})
  await grpcJsClient(pair.channel)('hi', { credentials: tokens('x-call') })
  const url = ['https://there/echo.v1.Echo']
  t.same(seen, [url, [], url, [], url, url])
})

t.test('interceptors of a client see and change its calls', async (t) => {
  const pair = directPair(t, [
    echoWith({ echo: ({ text }, { metadata }) => ({ text: `${text} ${String(metadata.get('x-by'))}` }) })
  ])
  pair.accept()
  const seen: string[] = []
  const client = createClient(Echo, pair.channel, {
    interceptors: [
      (options, next) =>
        new InterceptingCall(next(options), {
          start(metadata, _listener, go) {
            metadata.set('x-by', 'interceptor')
            go(metadata, {
              onReceiveMessage(message: EchoResponse, go) {
                seen.push(message.text)
                go(message)
              },
              onReceiveStatus(received, go) {
                seen.push(status[received.code])
                go(received)
              }
            })
          }
        })
    ]
  })
  t.match(await client.echo({ text: 'hi' }), { text: 'hi interceptor' })
  t.same(seen, ['hi interceptor', 'OK'])
})

t.test('interceptors of a server see the calls of typed and of grpc-js’s handlers', async (t) => {
  for (const binding of [
    echoWith({ echo: ({ text }) => ({ text }) }),
    grpcJsEcho({
      echo: (call: Unary, callback: Callback) => callback(null, { text: call.request.text })
    })
  ]) {
    const seen: string[] = []
    const pair = directPair(t, [binding], {
      server: {
        interceptors: [
          ({ path }, call) =>
            new ServerInterceptingCall(call, {
              start: (go) => {
                seen.push(path)
                go({
                  onReceiveMessage(message, go) {
                    seen.push((message as EchoRequest).text)
                    go(message)
                  }
                })
              },
              sendStatus(sent, go) {
                seen.push(status[sent.code])
                go({ ...sent, details: 'by the interceptor' })
              }
            })
        ]
      }
    })
    pair.accept()
    t.match(await pair.client.echo({ text: 'hi' }), { text: 'hi' })
    t.same(seen, ['/echo.v1.Echo/Echo', 'hi', 'OK'])
    await nothingLeft(t, pair)
  }
})

t.test('an interceptor that throws is an uncaught exception, and ends only its own call', async (t) => {
  const pair = directPair(t, [echoWith({})], {
    server: {
      interceptors: [
        ({ path }, call) => {
          if (path.endsWith('/Sleep')) throw new Error('a bad interceptor')
          return new ServerInterceptingCall(call)
        }
      ]
    }
  })
  pair.accept()
  const uncaught = once(process, 'uncaughtException')
  const limit = { timeoutMs: 2000 }
  // In one chunk: what throws must not take the other along.
  const [bad, good] = await Promise.allSettled([
    pair.client.sleep({}, limit),
    pair.client.echo({ text: 'hi' }, limit)
  ])
  t.match(bad, { status: 'rejected', reason: { status: status.UNKNOWN, details: 'a bad interceptor' } })
  t.match(good, { status: 'fulfilled', value: { text: 'hi' } })
  t.match(await uncaught, [{ message: 'a bad interceptor' }])
  await nothingLeft(t, pair)
})

t.test('calls that come before the accept are served after it, however many', async (t) => {
  const pair = directPair(t, [echoWith({})])
  const texts = Array.from({ length: 100 }, (_, index) => String(index))
  const calls = texts.map((text) => pair.client.echo({ text }))
  while (pair.accepting.route.waiting === 0) await new Promise(setImmediate)
  await pair.dialling.muxer.ping()
  t.equal(pair.accepting.route.waiting, 32, 'the others wait where they are')
  pair.accept()
  t.same(
    (await Promise.all(calls)).map(({ text }) => text),
    texts
  )
  await nothingLeft(t, pair)
})

t.test('calls that are never accepted fail, those that have not left included', async (t) => {
  const pair = directPair(t, [], { broker: { acceptTimeoutMs: 1 } })
  // The time-outs of the other side keep no process.
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => clearInterval(alive))
  const calls = await Promise.all(Array.from({ length: 50 }, () => rejection(pair.client.echo({}))))
  for (const error of calls) t.match(error, { code: 'ERR_BROKER_TIMEOUT', status: status.UNAVAILABLE })
  await nothingLeft(t, pair)
})

t.test('waiting for a connection ends when the ID is accepted, and when it is refused', async (t) => {
  const EchoClient = makeClientConstructor(definition, 'Echo')
  const wait = ({ channel }: ReturnType<typeof directPair>): Promise<Error | undefined> => {
    const client = new EchoClient('', credentials.createInsecure(), { channelOverride: channel })
    return new Promise((resolve) => client.waitForReady(Date.now() + 60_000, resolve))
  }
  const late = directPair(t, [echoWith({})])
  const ready = wait(late)
  while (late.accepting.route.waiting === 0) await new Promise(setImmediate)
  late.accept()
  t.equal(await ready, undefined)
  t.match(await late.client.echo({ text: 'hi' }), { text: 'hi' })
  await nothingLeft(t, late)

  const refused = directPair(t, [echoWith({})])
  refused.accept().close()
  t.ok((await wait(refused)) instanceof Error)
  await nothingLeft(t, refused)
})

// Handlers of grpc-js that do what they should not

const oddUnary: readonly [what: string, handler: (call: Unary, callback: Callback) => void, code: number][] =
  [
    [
      'throws',
      () => {
        throw new Error('thrown')
      },
      status.UNKNOWN
    ],
    ['answers nothing', (_call, callback) => callback(null, null), status.INTERNAL],
    [
      'answers twice',
      (_call, callback) => {
        callback(null, { text: '1' })
        callback(null, { text: '2' })
      },
      status.UNIMPLEMENTED
    ],
    [
      'fails with a code that there is not',
      (_call, callback) => callback({ code: 99 as never }),
      status.UNKNOWN
    ],
    ['fails with a negative code', (_call, callback) => callback({ code: -1 as never }), status.UNKNOWN],
    [
      'fails with half a surrogate pair',
      (_call, callback) => callback({ code: status.NOT_FOUND, details: 'a\ud800b' }),
      status.NOT_FOUND
    ],
    [
      'fails with details that no block holds',
      (_call, callback) => callback({ code: status.NOT_FOUND, details: 'x'.repeat(100_000) }),
      status.RESOURCE_EXHAUSTED
    ]
  ]

for (const [what, handler, code] of oddUnary) {
  t.test(`a handler of grpc-js that ${what} ends its call`, async (t) => {
    const pair = directPair(t, [grpcJsEcho({ echo: handler })])
    pair.accept()
    // By the long way and by the short one.
    for (const _ of [1, 2]) t.match(await rejection(pair.client.echo({})), { status: code })
    await nothingLeft(t, pair)
  })
}

t.test('a handler that hangs is told of the deadline, and its call ends at both ends', async (t) => {
  for (const open of [
    (told: () => void) =>
      grpcJsEcho({ echo: (call: Unary) => void call.once('cancelled', told), repeat() {} }),
    (told: () => void) =>
      echoWith({
        echo: (_request, { signal }) =>
          new Promise(() => {
            signal.addEventListener('abort', told)
          })
      })
  ]) {
    const told = deferred()
    const pair = directPair(t, [open(told.resolve)])
    pair.accept()
    t.match(await rejection(pair.client.echo({}, { timeoutMs: 20 })), { status: status.DEADLINE_EXCEEDED })
    await told.promise
    await nothingLeft(t, pair)
  }
})

t.test('a server ends a call whose caller does not keep its own deadline', async (t) => {
  const { open, server } = rawCaller(t, [
    echoWith({ echo: (_request, { signal }) => once(signal, 'abort').then(() => ({})) })
  ])
  for (const method of ['/echo.v1.Echo/Echo', '/echo.v1.Echo/Collect']) {
    const substream = open()
    substream.write(bytes.preamble(), bytes.start({ method, timeoutMs: 1 }), bytes.message())
    if (method.endsWith('Echo')) substream.finish()
    const reply = await substream.reply()
    t.match(reply, ['accepted', `status ${status.DEADLINE_EXCEEDED}`, 'fin'])
    substream.finish()
  }
  t.equal(server.activeCalls, 0)
})

t.test('a handler of grpc-js that ends twice, or writes to a call that is over, harms nobody', async (t) => {
  const over = deferred()
  const pair = directPair(t, [
    grpcJsEcho({
      repeat(call: Many) {
        call.write({ text: 'a' })
        call.end()
        call.end()
      },
      chat(call: Chat) {
        call.once('cancelled', () => {
          call.write({ text: 'late' })
          call.end()
          over.resolve()
        })
        call.write({ text: 'a' })
      }
    })
  ])
  pair.accept()
  t.match(await collect(pair.client.repeat({})), [{ text: 'a' }])
  for await (const { text } of pair.client.chat([])) {
    t.equal(text, 'a')
    break
  }
  await over.promise
  await nothingLeft(t, pair)
})

t.test('messages over a limit fail their call, at either end and in either direction', async (t) => {
  const bindings = [
    echoWith({
      async *repeat({ payload }) {
        yield { payload }
      }
    })
  ]
  const payload = Buffer.alloc(2000)
  const limits = [
    { server: { maxReceiveBytes: 1000 } },
    { server: { maxSendBytes: 1000 } },
    { channel: { maxReceiveBytes: 1000 } },
    { channel: { maxSendBytes: 1000 } }
  ]
  for (const options of limits) {
    const pair = directPair(t, bindings, options)
    pair.accept()
    const small = Buffer.alloc(900)
    const what = JSON.stringify(options)
    // By the long way, and by the short one.
    for (const _ of [1, 2]) {
      t.match(await rejection(pair.client.echo({ payload })), { status: status.RESOURCE_EXHAUSTED }, what)
      t.equal((await pair.client.echo({ payload: small })).payload.length, 900)
    }
    const streamed = rejection(collect(pair.client.repeat({ payload, count: 1 })))
    t.match(await streamed, { status: status.RESOURCE_EXHAUSTED }, what)
    await nothingLeft(t, pair)
  }
})

t.test('requests are compressed as the channel says, and read by both kinds of handlers', async (t) => {
  const payload = Buffer.alloc(100_000, 'a')
  for (const compression of ['gzip', 'deflate'] as const) {
    for (const binding of [
      echoWith({}),
      grpcJsEcho({
        echo: (call: Unary, callback: Callback) => callback(null, call.request),
        collect: (call: ServerReadableStream<EchoRequest, unknown>, callback: Callback) => {
          let text = ''
          call.on('data', (request: EchoRequest) => (text += request.text))
          call.on('end', () => callback(null, { text }))
        }
      })
    ]) {
      const pair = directPair(t, [binding], {
        channel: { compression },
        server: { maxReceiveBytes: 150_000 }
      })
      pair.accept()
      t.same((await pair.client.echo({ payload })).payload, payload)
      t.match(await pair.client.collect(['a', 'b', 'c'].map((text) => ({ text }))), { text: 'abc' })
      const tooLong = pair.client.echo({ payload: Buffer.alloc(200_000) })
      t.match(await rejection(tooLong), { status: status.RESOURCE_EXHAUSTED })
      await nothingLeft(t, pair)
    }
  }
})
