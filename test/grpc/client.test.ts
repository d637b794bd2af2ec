import { getEventListeners, once } from 'node:events'
import { Metadata, status, type ChannelInterface } from '@grpc/grpc-js'
import t, { type Test } from 'tap'
import { Echo } from '#proto/echo/v1/echo.js'
import { isPluginError, PluginError } from '../../lib/errors.js'
import { createClient } from '../../lib/grpc/client.js'
import type { ServiceBinding } from '../../lib/grpc/handler.js'
import { callError } from '../../lib/grpc/status.js'
import {
  channels,
  collect,
  deferred,
  echoWith,
  rejection,
  serve as serveOver,
  stalled,
  type echo,
  type Served
} from './fixture.js'

for (const [name, openChannel] of Object.entries(channels)) {
  await t.test(`over ${name}`, (t) => suite(t, (t, bindings) => serveOver(t, bindings, {}, openChannel)))
}

async function suite(
  t: Test,
  serve: (t: Test, bindings: readonly ServiceBinding[]) => Promise<Served>
): Promise<void> {
  await t.test('a unary call gives the response', async (t) => {
    const { client } = await serve(t, [echoWith({})])
    const response = await client.echo({ text: 'häh', payload: Buffer.from([0, 255]) })
    t.equal(response.text, 'häh')
    t.same([...response.payload], [0, 255])
  })

  await t.test('a method taken off the client works, and is the same each time', async (t) => {
    const { client } = await serve(t, [echoWith({})])
    const { echo } = client
    t.equal((await echo({ text: 'off' })).text, 'off')
    t.equal(echo, client.echo)
    t.ok('repeat' in client)
    t.notOk('toJSON' in client, 'and nothing but methods')
  })

  await t.test('a field left out arrives with its default', async (t) => {
    const { client } = await serve(t, [echoWith({})])
    const response = await client.echo({})
    t.match({ ...response }, { text: '', index: 0 })
    t.equal(response.payload.length, 0)
  })

  await t.test('a server stream gives every response in order', async (t) => {
    const { client } = await serve(t, [echoWith({})])
    const responses = await collect(client.repeat({ text: 'x', count: 100 }))
    t.same(
      responses.map(({ index }) => index),
      Array.from({ length: 100 }, (_, index) => index)
    )
  })

  await t.test('a client stream takes an array, a generator and an async generator', async (t) => {
    const { client } = await serve(t, [echoWith({})])
    const words = [{ text: 'a' }, { text: 'b' }, { text: 'c' }]
    function* generator() {
      yield* words
    }
    async function* asyncGenerator() {
      yield* words
    }
    for (const requests of [words, generator(), asyncGenerator()]) {
      const { text, count } = await client.collect(requests)
      t.same([text, count], ['abc', 3])
    }
    t.equal((await client.collect([])).count, 0)
  })

  await t.test('a bidi stream answers each request before the next is made', async (t) => {
    const { client } = await serve(t, [echoWith({})])
    const turns = [deferred(), deferred(), deferred()]
    async function* requests() {
      for (const [index, turn] of turns.entries()) {
        await turn.promise
        yield { text: `${index}` }
      }
    }
    turns[0]?.resolve()
    const seen: string[] = []
    for await (const { text, index } of client.chat(requests())) {
      seen.push(text)
      turns[index + 1]?.resolve()
    }
    t.same(seen, ['0', '1', '2'])
  })

  await t.test('a failed call rejects with status, details and trailing metadata', async (t) => {
    const trailing = new Metadata()
    trailing.set('reason', 'because')
    const fail = (): never => {
      throw callError(status.NOT_FOUND, 'no such directory', { metadata: trailing })
    }
    const { client } = await serve(t, [echoWith({ echo: fail, collect: fail, repeat: fail, chat: fail })])
    const calls = [
      client.echo({}),
      client.collect([]),
      collect(client.repeat({})),
      collect(client.chat([{ text: 'x' }]))
    ]
    for (const error of await Promise.all(calls.map(rejection))) {
      if (!isPluginError(error, 'ERR_CALL_FAILED')) throw error
      t.equal(error.message, 'NOT_FOUND: no such directory')
      t.match(error, { status: status.NOT_FOUND, details: 'no such directory' })
      t.same((error.metadata as Metadata).get('reason'), ['because'])
      t.ok(error.cause)
    }
  })

  await t.test('responses sent before a failure are delivered first', async (t) => {
    const repeat: typeof echo.repeat = async function* () {
      for (let index = 0; index < 5; index += 1) yield { index }
      throw callError(status.DATA_LOSS, 'gone')
    }
    const { client } = await serve(t, [echoWith({ repeat })])
    const seen: number[] = []
    const error = await rejection(
      (async () => {
        for await (const { index } of client.repeat({})) seen.push(index)
      })()
    )
    t.same(seen, [0, 1, 2, 3, 4])
    t.match(error, { status: status.DATA_LOSS })
  })

  await t.test('a code of the peer is kept', async (t) => {
    const { client } = await serve(t, [
      echoWith({
        echo: () => {
          throw new PluginError('ERR_BROKER_TIMEOUT', 'nobody accepted broker ID 7', { id: 7 })
        }
      })
    ])
    t.match(await rejection(client.echo({})), {
      code: 'ERR_BROKER_TIMEOUT',
      status: status.UNAVAILABLE,
      details: 'nobody accepted broker ID 7'
    })
  })

  await t.test('a channel that throws makes the call reject with a PluginError', async (t) => {
    const { client, channel } = await serve(t, [echoWith({})])
    channel.close()
    for (const call of [
      client.echo({}),
      client.collect([]),
      collect(client.repeat({})),
      collect(client.chat([]))
    ]) {
      t.ok(isPluginError(await rejection(call)))
    }
  })

  await t.test('an aborted signal', async (t) => {
    await t.test(
      'rejects each kind of call with its reason, and the handler sees the cancellation',
      async (t) => {
        const started = [deferred(), deferred(), deferred(), deferred()]
        const ended = [deferred(), deferred(), deferred(), deferred()]
        const hang = (index: number, signal: AbortSignal): Promise<never> => {
          signal.addEventListener('abort', () => ended[index]?.resolve())
          started[index]?.resolve()
          return once(signal, 'abort').then(() => {
            throw signal.reason
          })
        }
        const { client } = await serve(t, [
          echoWith({
            echo: (_request, { signal }) => hang(0, signal),
            collect: (_requests, { signal }) => hang(1, signal),
            async *repeat(_request, { signal }) {
              yield await hang(2, signal)
            },
            async *chat(_requests, { signal }) {
              yield await hang(3, signal)
            }
          })
        ])
        const controller = new AbortController()
        const { signal } = controller
        const reason = { not: 'even an Error' }
        const calls = [
          client.echo({}, { signal }),
          client.collect(forever(), { signal }),
          collect(client.repeat({}, { signal })),
          collect(client.chat(forever(), { signal }))
        ]
        const rejections = calls.map((call) => rejection(call))
        await Promise.all(started.map(({ promise }) => promise))
        controller.abort(reason)
        for (const rejected of rejections) t.equal(await rejected, reason)
        await Promise.all(ended.map(({ promise }) => promise))
        t.equal(getEventListeners(signal, 'abort').length, 0, 'no listener stays on the signal')
      }
    )

    await t.test('before the call rejects it without a call', async (t) => {
      let calls = 0
      const { client } = await serve(t, [
        echoWith({
          echo: () => {
            calls += 1
            return {}
          }
        })
      ])
      const signal = AbortSignal.abort('never mind')
      const made = [
        client.echo({}, { signal }),
        client.collect([], { signal }),
        collect(client.repeat({}, { signal })),
        collect(client.chat([], { signal }))
      ]
      for (const reason of await Promise.all(made.map(rejection))) t.equal(reason, 'never mind')
      await client.echo({})
      t.equal(calls, 1)
    })

    await t.test('between two responses ends the stream at once', async (t) => {
      const { client } = await serve(t, [echoWith({})])
      const controller = new AbortController()
      const responses = client.repeat({ count: 1e6 }, { signal: controller.signal })[Symbol.asyncIterator]()
      await responses.next()
      controller.abort('enough')
      t.equal(await rejection(responses.next()), 'enough')
      t.match(await responses.next(), { done: true })
    })

    await t.test('may be shared by many calls, and is let go by each that ends', async (t) => {
      const warnings: Error[] = []
      const onWarning = (warning: Error): unknown => warnings.push(warning)
      process.on('warning', onWarning)
      t.teardown(() => process.off('warning', onWarning))
      const { client } = await serve(t, [echoWith({})])
      const { signal } = new AbortController()
      await Promise.all(Array.from({ length: 100 }, () => client.echo({}, { signal })))
      await collect(client.repeat({ count: 3 }, { signal }))
      await client.collect([{}], { signal })
      await collect(client.chat([{}], { signal }))
      t.equal(getEventListeners(signal, 'abort').length, 0)
      t.same(warnings, [])
    })
  })

  await t.test('leaving the loop cancels the call', async (t) => {
    const cancelled = deferred()
    const returned = deferred()
    const { client, server } = await serve(t, [
      echoWith({
        async *repeat(_request, { signal }) {
          signal.addEventListener('abort', () => cancelled.resolve())
          try {
            for (let index = 0; ; index += 1) yield { index }
          } finally {
            returned.resolve()
          }
        }
      })
    ])
    for await (const { index } of client.repeat({})) if (index === 3) break
    await cancelled.promise
    await returned.promise
    await server.close()
    t.equal(server.activeCalls, 0)
  })

  await t.test('a stream that nobody iterates makes no call', async (t) => {
    let calls = 0
    const { client } = await serve(t, [
      echoWith({
        async *repeat() {
          calls += 1
          yield {}
        }
      })
    ])
    client.repeat({})
    await collect(client.repeat({}))
    t.equal(calls, 1)
  })

  await t.test('an error in the request iterable', async (t) => {
    await t.test('cancels the call and is what it rejects with', async (t) => {
      const ended = [deferred<unknown>(), deferred<unknown>()]
      const started = [deferred(), deferred()]
      async function readAll(requests: AsyncIterable<unknown>, index: number): Promise<void> {
        const read = async (): Promise<void> => {
          for await (const _request of requests) started[index]?.resolve()
        }
        ended[index]?.resolve(await rejection(read()))
      }
      const { client } = await serve(t, [
        echoWith({
          async collect(requests) {
            await readAll(requests, 0)
            return {}
          },
          async *chat(requests) {
            await readAll(requests, 1)
            yield {}
          }
        })
      ])
      const oops = new Error('the disk is on fire')
      async function* requests(index: number) {
        yield { text: 'a' }
        await started[index]?.promise
        throw oops
      }
      t.equal(await rejection(client.collect(requests(0))), oops)
      t.equal(await rejection(collect(client.chat(requests(1)))), oops)
      for (const { promise } of ended) t.match(await promise, { status: status.CANCELLED })
    })

    await t.test('after the call has ended is nobody else’s', async (t) => {
      const { client } = await serve(t, [echoWith({ collect: () => ({ text: 'early' }) })])
      function* broken() {
        try {
          for (;;) yield {}
        } finally {
          // oxlint-disable-next-line no-unsafe-finally -- what this test is about
          throw new Error('clean-up failed')
        }
      }
      t.equal((await client.collect(broken())).text, 'early')
      const returned = deferred()
      async function* requests() {
        try {
          for (;;) yield {}
        } finally {
          returned.resolve()
          // oxlint-disable-next-line no-unsafe-finally -- what this test is about
          throw new Error('clean-up failed')
        }
      }
      t.equal((await client.collect(requests())).text, 'early')
      await returned.promise
    })

    await t.test('of an item that is no message fails the call', async (t) => {
      const { client } = await serve(t, [echoWith({})])
      t.type(await rejection(client.collect([null as never])), TypeError)
      t.type(await rejection(client.collect(7 as never)), TypeError)
      t.type(await rejection(collect(client.chat(7 as never))), TypeError)
      t.match(await rejection(client.collect([undefined as never])), { status: status.INTERNAL })
      t.match(await rejection(client.echo(undefined as never)), { status: status.INTERNAL })
    })
  })

  await t.test('a call that ends first tells the request iterable to return', async (t) => {
    const returned = deferred()
    const { client } = await serve(t, [
      echoWith({
        async *chat() {
          yield { text: 'bye' }
        }
      })
    ])
    async function* requests() {
      try {
        for (;;) yield {}
      } finally {
        returned.resolve()
      }
    }
    const responses = await collect(client.chat(requests()))
    t.equal(responses.length, 1)
    await returned.promise
  })

  await t.test('requests are read only as fast as the server takes them', async (t) => {
    const started = deferred()
    const go = deferred()
    const { client } = await serve(t, [
      echoWith({
        async collect(requests) {
          let count = 0
          for await (const _request of requests) {
            started.resolve()
            await go.promise
            count += 1
          }
          return { count }
        }
      })
    ])
    const payload = Buffer.alloc(256 * 1024)
    const many = 200
    let made = 0
    function* requests() {
      for (; made < many; made += 1) yield { payload }
    }
    const call = client.collect(requests())
    await started.promise
    await stalled(() => made)
    t.ok(made < many / 2, `${made} requests were made while the server was not reading`)
    go.resolve()
    t.equal((await call).count, many)
  })

  await t.test('responses are made only as fast as the client reads them', async (t) => {
    const payload = Buffer.alloc(256 * 1024)
    const many = 200
    let made = 0
    const { client } = await serve(t, [
      echoWith({
        async *repeat() {
          for (; made < many; made += 1) yield { payload }
        }
      })
    ])
    const responses = client.repeat({})[Symbol.asyncIterator]()
    await responses.next()
    await stalled(() => made)
    t.ok(made < many / 2, `${made} responses were made while the client was not reading`)
    let count = 1
    while ((await responses.next()).done !== true) count += 1
    t.equal(count, many)
  })

  await t.test('limits', async (t) => {
    await t.test('timeoutMs fails the call with DEADLINE_EXCEEDED', async (t) => {
      const { client, channel } = await serve(t, [echoWith({})])
      const late = { code: 'ERR_CALL_FAILED', status: status.DEADLINE_EXCEEDED }
      t.match(await rejection(client.sleep({ ms: 60_000 }, { timeoutMs: 20 })), late)
      t.match(await rejection(client.sleep({ ms: 60_000 }, { deadline: new Date(Date.now() + 20) })), late)
      t.match(await rejection(client.sleep({ ms: 60_000 }, { deadline: Date.now() - 1 })), late)
      t.match(await rejection(client.sleep({ ms: 60_000 }, { deadline: Infinity, timeoutMs: 20 })), late)
      t.match(await rejection(collect(client.chat(forever(), { timeoutMs: 20 }))), late)
      const hasty = createClient(Echo, channel, { timeoutMs: 20 })
      t.match(await rejection(hasty.sleep({ ms: 60_000 })), late)
      t.ok(await hasty.sleep({ ms: 30 }, { timeoutMs: Infinity }), 'a call overrides its client')
    })

    await t.test(
      'the handler is told the deadline, and none when it is out of a server’s reach',
      async (t) => {
        const seen: number[] = []
        const { client } = await serve(t, [
          echoWith({
            echo: (_request, { deadline }) => {
              seen.push(deadline)
              return {}
            }
          })
        ])
        await client.echo({})
        await client.echo({}, { deadline: Date.now() + 60 * 24 * 3600 * 1000 })
        await client.echo({}, { timeoutMs: 2_147_483_647 })
        t.same(seen, [Infinity, Infinity, Infinity])
        await client.echo({}, { timeoutMs: 60_000 })
        const rest = (seen[3] ?? 0) - Date.now()
        t.ok(rest > 0 && rest <= 61_000, `${rest} ms`)
      }
    )

    await t.test('that are none are refused', async (t) => {
      const { client, channel } = await serve(t, [echoWith({})])
      const invalid = { code: 'ERR_CONFIG_INVALID' }
      for (const timeoutMs of [0, -1, NaN]) t.match(await rejection(client.echo({}, { timeoutMs })), invalid)
      t.match(await rejection(client.echo({}, { deadline: new Date(NaN) })), invalid)
      t.match(await rejection(collect(client.repeat({}, { deadline: NaN }))), invalid)
      t.throws(() => createClient(Echo, channel, { timeoutMs: 0 }), invalid)
    })
  })

  await t.test('metadata goes both ways', async (t) => {
    const { client } = await serve(t, [
      echoWith({
        echo: (_request, { metadata, sendHeader, trailer }) => {
          sendHeader({ 'seen-text': metadata.get('text'), 'seen-bin': metadata.get('data-bin') })
          trailer.set('tail', 'end')
          return {}
        },
        async *repeat(_request, { sendHeader, trailer }) {
          sendHeader({ head: 'first' })
          yield {}
          trailer.set('tail', 'end')
        }
      })
    ])
    let header = new Metadata()
    const trailers: unknown[] = []
    const onTrailer = (trailer: Metadata): unknown => trailers.push(trailer.get('tail'))
    const metadata = { text: ['a', 'b'], 'data-bin': new Uint8Array([1, 2, 3]) }
    await client.echo({}, { metadata, onHeader: (received) => (header = received), onTrailer })
    t.same(header.get('seen-text'), ['a, b'])
    t.same(header.get('seen-bin'), [Buffer.from([1, 2, 3])])
    t.same(trailers, [['end']], 'the trailer was told before the call resolved')
    await collect(client.repeat({}, { onHeader: (received) => (header = received), onTrailer }))
    t.same(header.get('head'), ['first'])
    t.same(trailers, [['end'], ['end']])
  })

  await t.test('metadata that would end the connection fails the one call', async (t) => {
    const { client } = await serve(t, [echoWith({})])
    for (const key of ['a:b', 'connection', 'transfer-encoding', 'ä']) {
      t.match(
        await rejection(client.echo({}, { metadata: { [key]: 'x' } })),
        { code: 'ERR_CONFIG_INVALID' },
        key
      )
    }
    const metadata = new Metadata()
    metadata.set('a:b', 'x')
    t.match(await rejection(client.echo({}, { metadata })), { code: 'ERR_CONFIG_INVALID' })
    t.match(await rejection(client.echo({}, { metadata: { text: 'ä' } })), { code: 'ERR_CONFIG_INVALID' })
    t.ok(await client.echo({}))
  })

  await t.test('what onHeader and onTrailer throw is what the call rejects with', async (t) => {
    const { client } = await serve(t, [echoWith({})])
    const oops = new Error('oops')
    const fail = (): never => {
      throw oops
    }
    for (const options of [{ onHeader: fail }, { onTrailer: fail }]) {
      t.equal(await rejection(client.echo({}, options)), oops)
      t.equal(await rejection(client.collect([], options)), oops)
      t.equal(await rejection(collect(client.repeat({ count: 1 }, options))), oops)
      t.equal(await rejection(collect(client.chat([{}], options))), oops)
    }
  })

  await t.test('interceptors see every call', async (t) => {
    const { channel } = await serve(t, [echoWith({})])
    const paths: string[] = []
    const { InterceptingCall } = await import('@grpc/grpc-js')
    const client = createClient(Echo, channel, {
      interceptors: [
        (options, next) => {
          paths.push(options.method_definition.path)
          return new InterceptingCall(next(options))
        }
      ]
    })
    await client.echo({})
    await collect(client.repeat({ count: 1 }))
    t.same(paths, ['/echo.v1.Echo/Echo', '/echo.v1.Echo/Repeat'])
  })

  await t.test('a hundred calls of all kinds at once', async (t) => {
    const { client } = await serve(t, [echoWith({})])
    const payload = Buffer.alloc(50_000, 7)
    await Promise.all(
      Array.from({ length: 25 }, async (_, index) => {
        const text = `${index}`
        const [one, many, joined, chatted] = await Promise.all([
          client.echo({ text, payload }),
          collect(client.repeat({ text, payload, count: 4 })),
          client.collect([{ text, payload }, { text }]),
          collect(client.chat([{ text, payload }, { text }]))
        ])
        t.same([one.text, many.length, joined.text, chatted.length], [text, 4, text + text, 2])
      })
    )
  })
}

/** Never called: what must and must not compile. */
export async function types(channel: ChannelInterface): Promise<void> {
  const client = createClient(Echo, channel)
  const response = await client.echo({ text: 'a' }, { timeoutMs: 1 })
  const text: string = response.text
  const payload: Uint8Array = response.payload
  for await (const { index } of client.repeat({ count: 1 })) index.toFixed()
  for await (const { index } of client.chat([{ text }])) index.toFixed()
  const joined = await client.collect([{ text, payload }])
  joined.count.toFixed()
  // @ts-expect-error -- no such method
  client.ecko({})
  // @ts-expect-error -- no such field
  void client.echo({ txt: 'a' })
  // @ts-expect-error -- a field of another type
  void client.echo({ text: 1 })
  // @ts-expect-error -- no such field in the response
  void response.txt
  // @ts-expect-error -- one request, not many
  void client.echo([{ text: 'a' }])
  // @ts-expect-error -- many requests, not one
  void client.collect({ text: 'a' })
  // @ts-expect-error -- many responses are no promise
  void client.repeat({}).then
  // @ts-expect-error -- no such option
  void client.echo({}, { timeout: 1 })
}

async function* forever(): AsyncGenerator<Record<string, never>> {
  for (;;) {
    yield {}
    await new Promise((resolve) => setImmediate(resolve))
  }
}
