import { once } from 'node:events'
import {
  Client,
  InterceptingCall,
  Metadata,
  Server,
  credentials,
  status,
  type ClientOptions,
  type Interceptor,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type StatusObject,
  type UntypedServiceImplementation,
  type sendUnaryData
} from '@grpc/grpc-js'
import type { Test } from 'tap'
import { download, duplex, unary, upload, type CallSettings, type Outcome } from '../helpers/interop-calls.js'
import {
  UnimplementedClient,
  servedService,
  sizeOf,
  testHandlers,
  testService,
  zeros,
  type StreamingOutput
} from '../helpers/interop-service.js'

/** A way to a server: what a grpc-js client has to be made with. */
export interface ServerConnection {
  readonly address: string
  readonly clientOptions: ClientOptions
  close(): Promise<void> | void
}

export interface ConnectOptions {
  readonly maxReceiveBytes?: number
  readonly maxSendBytes?: number
  readonly compression?: 'gzip' | 'deflate'
}

/** Connects a grpc-js server, which is not started, to new clients. */
export type ConnectServer = (server: Server, options?: ConnectOptions) => Promise<ServerConnection>

const { emptyCall, unaryCall, streamingInputCall, streamingOutputCall, fullDuplexCall } = testService
const requestBytes = 271_828
const responseBytes = 314_159

/**
 * What a grpc-js client may expect of any channel: the gRPC interoperability cases that need no special environment,
 * and cases from grpc-js's own tests. The same expectations hold for grpc-js's own channel.
 *
 * Cases that are about numbers run with `mass` times theirs: a fifth where plugins live, on a substream.
 */
export function channelContract(t: Test, connectServer: ConnectServer, { mass = 1 } = {}): void {
  async function connect(t: Test, handlers: UntypedServiceImplementation = {}, options: ConnectOptions = {}) {
    const server = new Server()
    server.addService(servedService, { ...testHandlers, ...handlers })
    const { address, clientOptions, close } = await connectServer(server, options)
    const client = new Client(address, credentials.createInsecure(), clientOptions)
    t.teardown(async () => {
      client.close()
      await close()
      server.forceShutdown()
    })
    return { client, address, clientOptions }
  }

  const ok = (t: Test, outcome: Outcome<unknown>) => {
    t.equal(outcome.error, undefined)
    t.equal(outcome.status.code, status.OK)
  }

  /** Starts a call of each kind, leaving uploads open; the server decides when it ends. */
  const kinds = {
    unary: (client: Client, settings?: CallSettings) => unary(client, unaryCall, {}, settings),
    upload: (client: Client, settings?: CallSettings) => upload(client, streamingInputCall, settings),
    download: (client: Client, settings?: CallSettings) =>
      download(client, streamingOutputCall, {}, settings),
    duplex: (client: Client, settings?: CallSettings) => duplex(client, fullDuplexCall, settings)
  }
  type Kind = keyof typeof kinds
  const kindNames = Object.keys(kinds) as Kind[]

  /** Handlers that never answer, and a promise for the call that reaches one. */
  function silentHandlers() {
    let reached: (call: ServerUnaryCall<object, object>) => void
    const call = new Promise<ServerUnaryCall<object, object>>((resolve) => {
      reached = resolve
    })
    const silent = (call: ServerUnaryCall<object, object>) => reached(call)
    const handlers = {
      unaryCall: silent,
      streamingInputCall: silent,
      streamingOutputCall: silent,
      fullDuplexCall: silent
    }
    return { handlers: handlers as unknown as UntypedServiceImplementation, call }
  }

  t.test('empty_unary: zero-size messages arrive both ways', async (t) => {
    const { client } = await connect(t)
    const outcome = await unary(client, emptyCall, {}).outcome
    ok(t, outcome)
    t.equal(outcome.messages.length, 1)
  })

  t.test('large_unary: messages beyond the windows arrive whole', async (t) => {
    const { client } = await connect(t)
    const request = { responseSize: responseBytes, payload: zeros(requestBytes) }
    const outcome = await unary(client, unaryCall, request).outcome
    ok(t, outcome)
    t.equal(sizeOf(outcome.messages[0]), responseBytes)
  })

  t.test('client_streaming: the server sees every message', async (t) => {
    const { client } = await connect(t)
    const { call, outcome } = upload(client, streamingInputCall)
    for (const size of [27_182, 8, 1_828, 45_904]) call.write({ payload: zeros(size) })
    call.end()
    const result = await outcome
    ok(t, result)
    t.equal(result.messages[0]?.aggregatedPayloadSize, 74_922)
  })

  t.test('server_streaming: four responses in order and no fifth', async (t) => {
    const { client } = await connect(t)
    const sizes = [31_415, 9, 2_653, 58_979]
    const { outcome } = download(client, streamingOutputCall, {
      responseParameters: sizes.map((size) => ({ size }))
    })
    const result = await outcome
    ok(t, result)
    t.same(result.messages.map(sizeOf), sizes)
  })

  t.test('ping_pong: each reply comes before the next request', async (t) => {
    const { client } = await connect(t)
    const { call, outcome } = duplex(client, fullDuplexCall)
    for (const [sent, wanted] of [
      [27_182, 31_415],
      [8, 9],
      [1_828, 2_653],
      [45_904, 58_979]
    ] as const) {
      const reply = once(call, 'data')
      call.write({ responseParameters: [{ size: wanted }], payload: zeros(sent) })
      t.equal(sizeOf((await reply)[0] as { payload: { body: Buffer } }), wanted)
    }
    call.end()
    const result = await outcome
    ok(t, result)
    t.equal(result.messages.length, 4)
  })

  t.test('empty_stream: half-close at once ends OK without responses', async (t) => {
    const { client } = await connect(t)
    const { call, outcome } = duplex(client, fullDuplexCall)
    call.end()
    const result = await outcome
    ok(t, result)
    t.same(result.messages, [])
  })

  t.test('custom_metadata: initial and trailing metadata are echoed', async (t) => {
    const { client } = await connect(t)
    const metadata = new Metadata()
    metadata.set('x-grpc-test-echo-initial', 'test_initial_metadata_value')
    metadata.set('x-grpc-test-echo-trailing-bin', Buffer.from('ababab', 'hex'))
    const check = (t: Test, outcome: Outcome<unknown>) => {
      ok(t, outcome)
      t.same(outcome.initial?.get('x-grpc-test-echo-initial'), ['test_initial_metadata_value'])
      t.same(outcome.status.metadata.get('x-grpc-test-echo-trailing-bin'), [Buffer.from('ababab', 'hex')])
    }
    t.test('unary', async (t) => check(t, await unary(client, unaryCall, {}, { metadata }).outcome))
    t.test('bidi', async (t) => {
      const { call, outcome } = duplex(client, fullDuplexCall, { metadata })
      call.end({ responseParameters: [{ size: 1 }] })
      check(t, await outcome)
    })
  })

  t.test('metadata values survive: repeated, empty, with commas in -bin', async (t) => {
    let seen: Metadata | undefined
    const { client } = await connect(t, {
      emptyCall(call: ServerUnaryCall<object, object>, callback: sendUnaryData<object>) {
        seen = call.metadata
        callback(null, {})
      }
    })
    const metadata = new Metadata()
    metadata.add('twice', 'one')
    metadata.add('twice', 'two')
    metadata.set('empty', '')
    metadata.set('with-bin', Buffer.from([0x2c, 0, 0xff, 0x2c]))
    metadata.add('many-bin', Buffer.from('a'))
    metadata.add('many-bin', Buffer.from('b'))
    const before = JSON.stringify(metadata)
    ok(t, await unary(client, emptyCall, {}, { metadata }).outcome)
    t.same(seen?.get('twice'), ['one, two'])
    t.same(seen?.get('empty'), [''])
    t.same(seen?.get('with-bin'), [Buffer.from([0x2c, 0, 0xff, 0x2c])])
    t.same(seen?.get('many-bin'), [Buffer.from('a'), Buffer.from('b')])
    t.equal(JSON.stringify(metadata), before, "the caller's metadata are left alone")
  })

  t.test('one Metadata object serves two calls at once', async (t) => {
    const { client } = await connect(t)
    const metadata = new Metadata()
    metadata.set('x-grpc-test-echo-initial', 'shared')
    const settings = { metadata, options: { deadline: Date.now() + 60_000 } }
    const outcomes = await Promise.all([1, 2].map(() => unary(client, unaryCall, {}, settings).outcome))
    for (const { initial } of outcomes) t.same(initial?.get('x-grpc-test-echo-initial'), ['shared'])
    t.same(metadata.get('grpc-timeout'), [])
  })

  t.test('status_code_and_message: code and text come back as sent', async (t) => {
    const { client } = await connect(t)
    const responseStatus = { code: 2, message: 'test status message' }
    const check = (t: Test, { error }: Outcome<unknown>) => {
      t.equal(error?.code, 2)
      t.equal(error?.details, 'test status message')
    }
    t.test('unary', async (t) => check(t, await unary(client, unaryCall, { responseStatus }).outcome))
    t.test('bidi', async (t) => {
      const { call, outcome } = duplex(client, fullDuplexCall)
      call.end({ responseStatus })
      check(t, await outcome)
    })
  })

  t.test('special_status_message: whitespace and all of Unicode survive', async (t) => {
    const { client } = await connect(t)
    const message = '\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n'
    const { error } = await unary(client, unaryCall, { responseStatus: { code: 2, message } }).outcome
    t.equal(error?.code, 2)
    t.equal(error?.details, message)
  })

  t.test('unimplemented_method and unimplemented_service give UNIMPLEMENTED', async (t) => {
    const { client, address, clientOptions } = await connect(t)
    const missing = await unary(client, testService.unimplementedCall, {}).outcome
    t.equal(missing.error?.code, status.UNIMPLEMENTED)
    const other = new UnimplementedClient(address, credentials.createInsecure(), clientOptions)
    const { path } = UnimplementedClient.service['unimplementedCall']!
    const { error } = await unary(other, { ...emptyCall, path }, {}).outcome
    t.equal(error?.code, status.UNIMPLEMENTED)
  })

  t.test('cancel_after_begin: a call cancelled before any message ends CANCELLED', async (t) => {
    const { client } = await connect(t)
    const { call, outcome } = upload(client, streamingInputCall)
    call.cancel()
    t.equal((await outcome).error?.code, status.CANCELLED)
  })

  t.test('cancel_after_first_response: CANCELLED, and the server learns of it', async (t) => {
    let cancelled: Promise<unknown> | undefined
    const { client } = await connect(t, {
      fullDuplexCall(call: ServerDuplexStream<StreamingOutput, object>) {
        cancelled = once(call, 'cancelled')
        call.on('data', () => call.write({ payload: zeros(31_415) }))
        call.on('error', () => {})
      }
    })
    const { call, outcome } = duplex(client, fullDuplexCall)
    call.write({ payload: zeros(27_182) })
    await once(call, 'data')
    call.cancel()
    const { error } = await outcome
    t.equal(error?.code, status.CANCELLED)
    t.equal(error?.details, 'Cancelled on client')
    await cancelled
  })

  t.test('timeout_on_sleeping_server: a deadline ends calls of every kind', async (t) => {
    for (const kind of kindNames) {
      const { handlers } = silentHandlers()
      const { client } = await connect(t, handlers)
      const { outcome } = kinds[kind](client, { options: { deadline: Date.now() + 1 } })
      t.equal((await outcome).error?.code, status.DEADLINE_EXCEEDED, kind)
    }
  })

  t.test('a deadline in the past ends the call, after the caller has its call object', async (t) => {
    const { client } = await connect(t)
    for (const deadline of [new Date(0), -Infinity]) {
      const { outcome } = unary(client, unaryCall, {}, { options: { deadline } })
      t.equal((await outcome).error?.code, status.DEADLINE_EXCEEDED)
    }
  })

  t.test('the server is told the deadline, and none where there is none', async (t) => {
    const deadlines: number[] = []
    const { client } = await connect(t, {
      emptyCall(call: ServerUnaryCall<object, object>, callback: sendUnaryData<object>) {
        deadlines.push(Number(call.getDeadline()))
        callback(null, {})
      }
    })
    const deadline = Date.now() + 60_000
    ok(t, await unary(client, emptyCall, {}, { options: { deadline } }).outcome)
    ok(t, await unary(client, emptyCall, {}).outcome)
    t.ok(Math.abs(deadlines[0]! - deadline) < 30_000)
    t.equal(deadlines[1], Infinity)
  })

  t.test('cancelling ends calls of every kind', async (t) => {
    for (const kind of kindNames) {
      const { handlers, call: reached } = silentHandlers()
      const { client } = await connect(t, handlers)
      const { call, outcome } = kinds[kind](client)
      const serverCall = await reached
      call.cancel()
      t.equal((await outcome).error?.code, status.CANCELLED, kind)
      if (!serverCall.cancelled) await once(serverCall, 'cancelled')
    }
  })

  t.test("a parent's cancellation and deadline reach calls of every kind", async (t) => {
    for (const kind of kindNames) {
      for (const reason of ['cancel', 'deadline'] as const) {
        const backend = silentHandlers()
        const { client: inner } = await connect(t, backend.handlers)
        let childOutcome: Promise<Outcome<unknown>> | undefined
        const { client: outer } = await connect(t, {
          emptyCall(parent: ServerUnaryCall<object, object>) {
            childOutcome = kinds[kind](inner, { options: { parent } }).outcome
          }
        })
        const deadline = reason === 'deadline' ? Date.now() + 500 : Infinity
        const { call, outcome } = unary(outer, emptyCall, {}, { options: { deadline } })
        const child = await backend.call
        if (reason === 'deadline') t.not(child.getDeadline(), Infinity, `${kind}: deadline is inherited`)
        else call.cancel()
        await outcome
        const code = (await childOutcome)?.status.code
        // Both ends watch the deadline; whichever comes first, the child is over.
        t.ok(code === status.CANCELLED || (reason === 'deadline' && code === status.DEADLINE_EXCEEDED), kind)
      }
    }
  })

  t.test('flags keep a parent from reaching its child', async (t) => {
    const backend = silentHandlers()
    const { client: inner } = await connect(t, backend.handlers)
    let child: ReturnType<typeof kinds.unary> | undefined
    let answer: (() => void) | undefined
    const { client: outer } = await connect(t, {
      emptyCall(parent: ServerUnaryCall<object, object>, callback: sendUnaryData<object>) {
        child = kinds.unary(inner, { options: { parent, propagate_flags: 0 } })
        answer = () => callback(null, {})
      }
    })
    const { outcome } = unary(outer, emptyCall, {}, { options: { deadline: Date.now() + 60_000 } })
    const reached = await backend.call
    answer?.()
    ok(t, await outcome)
    t.equal(reached.getDeadline(), Infinity)
    t.equal(reached.cancelled, false)
    child?.call.cancel()
    t.equal((await child?.outcome)?.error?.details, 'Cancelled on client')
  })

  t.test(`concurrent_large_unary: ${1000 * mass} large calls at once`, async (t) => {
    const { client } = await connect(t)
    const request = { responseSize: responseBytes, payload: zeros(requestBytes) }
    const outcomes = await Promise.all(
      Array.from({ length: 1000 * mass }, () => unary(client, unaryCall, request).outcome)
    )
    t.ok(
      outcomes.every(({ error, messages }) => error === undefined && sizeOf(messages[0]) === responseBytes)
    )
  })

  t.test('rpc_soak: calls one after the other on one channel', async (t) => {
    const { client } = await connect(t)
    let good = 0
    for (let i = 0; i < 200; i++) {
      const { messages } = await unary(client, unaryCall, { responseSize: i }).outcome
      if (sizeOf(messages[0]) === i) good++
    }
    t.equal(good, 200)
  })

  t.test('100 concurrent calls of each kind', async (t) => {
    const { client } = await connect(t)
    const outcomes = Array.from({ length: 100 }, () => {
      const up = upload(client, streamingInputCall)
      up.call.end({ payload: zeros(10) })
      const both = duplex(client, fullDuplexCall)
      both.call.end({ responseParameters: [{ size: 10 }] })
      const down = download(client, streamingOutputCall, { responseParameters: [{ size: 10 }] })
      return [unary(client, unaryCall, { responseSize: 10 }), up, down, both].map(({ outcome }) => outcome)
    })
    const done = await Promise.all(outcomes.flat() as Promise<Outcome<unknown>>[])
    t.equal(done.filter(({ error, messages }) => error === undefined && messages.length === 1).length, 400)
  })

  t.test(`${100_000 * mass} empty messages in one stream`, async (t) => {
    const count = 100_000 * mass
    const { client } = await connect(t)
    const responseParameters = Array.from({ length: count }, () => ({ size: 0 }))
    const { outcome } = download(client, streamingOutputCall, { responseParameters })
    const result = await outcome
    ok(t, result)
    t.equal(result.messages.length, count)
  })

  t.test('a slow reader gets every message, then OK', async (t) => {
    const { client } = await connect(t)
    const responseParameters = Array.from({ length: 200 }, () => ({ size: 65_536 }))
    const call = client.makeServerStreamRequest(
      streamingOutputCall.path,
      streamingOutputCall.requestSerialize,
      streamingOutputCall.responseDeserialize,
      { responseParameters }
    )
    const ended = new Promise<StatusObject>((resolve) => call.once('status', resolve))
    let bytes = 0
    for await (const message of call as AsyncIterable<{ payload: { body: Buffer } }>) {
      bytes += sizeOf(message)
      await new Promise(setImmediate)
    }
    t.equal(bytes, 200 * 65_536)
    t.equal((await ended).code, status.OK)
  })

  t.test('an upload larger than every window is held back, not lost', async (t) => {
    const { client } = await connect(t)
    const { call, outcome } = upload(client, streamingInputCall)
    for (let i = 0; i < 200; i++) {
      if (!call.write({ payload: zeros(65_536) })) await once(call, 'drain')
    }
    call.end()
    t.equal((await outcome).messages[0]?.aggregatedPayloadSize, 200 * 65_536)
  })

  t.test('messages over the receive limit end the call RESOURCE_EXHAUSTED', async (t) => {
    const { client } = await connect(t, {}, { maxReceiveBytes: 1000 })
    ok(t, await unary(client, unaryCall, { responseSize: 900 }).outcome)
    const { error } = await unary(client, unaryCall, { responseSize: 1000 }).outcome
    t.equal(error?.code, status.RESOURCE_EXHAUSTED)
    t.match(error?.details, /larger than max \(1006 vs 1000\)/)
    const { call, outcome } = duplex(client, fullDuplexCall)
    call.write({ responseParameters: [{ size: 10 }, { size: 2000 }] })
    t.equal((await outcome).error?.code, status.RESOURCE_EXHAUSTED)
  })

  t.test('messages over the default receive limit of 4 MiB are refused', async (t) => {
    const { client } = await connect(t)
    ok(t, await unary(client, unaryCall, { responseSize: 4_194_200 }).outcome)
    const { error } = await unary(client, unaryCall, { responseSize: 4_194_304 }).outcome
    t.equal(error?.code, status.RESOURCE_EXHAUSTED)
  })

  t.test('messages over the send limit end the call RESOURCE_EXHAUSTED', async (t) => {
    const { client } = await connect(t, {}, { maxSendBytes: 1000 })
    ok(t, await unary(client, unaryCall, { payload: zeros(900) }).outcome)
    const { error } = await unary(client, unaryCall, { payload: zeros(1000) }).outcome
    t.equal(error?.code, status.RESOURCE_EXHAUSTED)
    t.match(error?.details, /size larger than 1000/)
    const { call, outcome } = duplex(client, fullDuplexCall)
    call.write({ payload: zeros(10) })
    call.write({ payload: zeros(1000) })
    t.equal((await outcome).error?.code, status.RESOURCE_EXHAUSTED)
  })

  for (const compression of ['gzip', 'deflate'] as const) {
    t.test(`requests compressed with ${compression} arrive`, async (t) => {
      const { client } = await connect(t, {}, { compression })
      ok(t, await unary(client, unaryCall, { payload: zeros(requestBytes) }).outcome)
      const { call, outcome } = upload(client, streamingInputCall)
      const noCompress = 2
      // The encoding argument of write carries the flags.
      call.write({ payload: zeros(27_182) }, noCompress as unknown as BufferEncoding)
      call.write({ payload: zeros(45_904) })
      call.end()
      t.equal((await outcome).messages[0]?.aggregatedPayloadSize, 73_086)
    })
  }

  t.test('credentials of a call add their metadata after its own', async (t) => {
    let seen: Metadata | undefined
    const { client } = await connect(t, {
      emptyCall(call: ServerUnaryCall<object, object>, callback: sendUnaryData<object>) {
        seen = call.metadata
        callback(null, {})
      }
    })
    const urls: string[] = []
    const own = credentials.createFromMetadataGenerator((options, callback) => {
      urls.push(options.service_url)
      const metadata = new Metadata()
      metadata.set('authorization', 'Bearer token')
      metadata.set('from', 'credentials')
      setImmediate(() => callback(null, metadata))
    })
    ok(t, await unary(client, emptyCall, {}, { options: { credentials: own } }).outcome)
    t.same(seen?.get('authorization'), ['Bearer token'])
    t.same(seen?.get('from'), ['credentials'])
    t.match(urls[0], /^https:\/\/[^/]+\/grpc\.testing\.TestService$/)
  })

  t.test('failing credentials end the call with a code that no service gives', async (t) => {
    const { client } = await connect(t)
    const outcomeWith = (error: Error) =>
      unary(
        client,
        emptyCall,
        {},
        {
          options: { credentials: credentials.createFromMetadataGenerator((_options, done) => done(error)) }
        }
      ).outcome
    const plain = await outcomeWith(new Error('no token'))
    t.equal(plain.error?.code, status.UNKNOWN)
    t.equal(plain.error?.details, 'Getting metadata from plugin failed with error: no token')
    const kept = await outcomeWith(Object.assign(new Error('locked'), { code: status.UNAUTHENTICATED }))
    t.equal(kept.error?.code, status.UNAUTHENTICATED)
    const reserved = await outcomeWith(Object.assign(new Error('gone'), { code: status.NOT_FOUND }))
    t.equal(reserved.error?.code, status.INTERNAL)
  })

  t.test('interceptors see and change metadata, messages and status', async (t) => {
    const { client } = await connect(t)
    const order: string[] = []
    const interceptor: Interceptor = (options, nextCall) =>
      new InterceptingCall(nextCall(options), {
        start(metadata, _listener, next) {
          metadata.set('x-grpc-test-echo-initial', 'intercepted')
          next(metadata, {
            onReceiveMetadata(received, pass) {
              order.push('metadata')
              setImmediate(() => pass(received))
            },
            onReceiveMessage(message, pass) {
              order.push('message')
              setImmediate(() => pass(message))
            },
            onReceiveStatus(received, pass) {
              order.push('status')
              pass(received)
            }
          })
        }
      })
    const outcome = await unary(
      client,
      unaryCall,
      { responseSize: 5 },
      { options: { interceptors: [interceptor] } }
    ).outcome
    ok(t, outcome)
    t.same(outcome.initial?.get('x-grpc-test-echo-initial'), ['intercepted'])
    t.same(order, ['metadata', 'message', 'status'])
  })

  t.test('messages sent before an error status arrive before it', async (t) => {
    const { client } = await connect(t)
    const { outcome } = download(client, streamingOutputCall, {
      responseParameters: [{ size: 1 }],
      responseStatus: { code: 10, message: 'after one' }
    })
    const { error } = await outcome
    t.equal(error?.code, 10)
    t.equal(error?.details, 'after one')
  })

  t.test('waitForReady calls back exactly once', async (t) => {
    const { client } = await connect(t)
    let calls = 0
    await new Promise<void>((resolve, reject) => {
      client.waitForReady(Date.now() + 30_000, (error) => {
        calls++
        if (error === undefined) resolve()
        else reject(error)
      })
    })
    await unary(client, emptyCall, {}).outcome
    t.equal(calls, 1)
  })

  t.test('close lets open calls finish and refuses new ones', async (t) => {
    let answer: (() => void) | undefined
    let reached: () => void
    const started = new Promise<void>((resolve) => {
      reached = resolve
    })
    const { client } = await connect(t, {
      emptyCall(_call: ServerUnaryCall<object, object>, callback: sendUnaryData<object>) {
        answer = () => callback(null, {})
        reached()
      }
    })
    const { outcome } = unary(client, emptyCall, {})
    await started
    client.close()
    client.close()
    t.throws(() => unary(client, emptyCall, {}), { message: 'Channel has been shut down' })
    answer?.()
    ok(t, await outcome)
  })

  t.test('a peer is named, before and after the call', async (t) => {
    const { client } = await connect(t)
    const { call, outcome } = unary(client, emptyCall, {})
    t.type(call.getPeer(), 'string')
    await outcome
    t.type(call.getPeer(), 'string')
    t.not(call.getPeer(), '')
  })
}
