import { once } from 'node:events'
import { makeClientConstructor, Metadata, status, type ServiceError } from '@grpc/grpc-js'
import t from 'tap'
import { Echo, type EchoRequest, type EchoResponse, type SleepResponse } from '#proto/echo/v1/echo.js'
import { PluginError } from '../../lib/errors.js'
import { implement, type ServiceImplementation } from '../../lib/grpc/handler.js'
import { serviceDefinition } from '../../lib/grpc/service.js'
import { callError } from '../../lib/grpc/status.js'
import { collect, deferred, echo, echoWith, rejection, serve } from './fixture.js'

await t.test('methods may live on a class instance', async (t) => {
  class Greeter {
    readonly greeting: string
    constructor(greeting: string) {
      this.greeting = greeting
    }
    echo({ text }: EchoRequest): EchoResponse.Init {
      return { text: `${this.greeting}, ${text}` }
    }
    async *repeat(): AsyncGenerator<EchoResponse.Init> {
      yield { text: this.greeting }
    }
  }
  const { client } = await serve(t, [implement(Echo, new Greeter('hello'))])
  t.equal((await client.echo({ text: 'you' })).text, 'hello, you')
  t.equal((await collect(client.repeat({})))[0]?.text, 'hello')
})

await t.test('a method that is missing answers UNIMPLEMENTED', async (t) => {
  const { client } = await serve(t, [implement(Echo, { echo: () => ({}) })])
  const unimplemented = { status: status.UNIMPLEMENTED }
  t.match(await rejection(client.sleep({})), unimplemented)
  t.match(await rejection(client.collect([])), unimplemented)
  t.match(await rejection(collect(client.repeat({}))), unimplemented)
  t.match(await rejection(collect(client.chat([]))), unimplemented)
  t.ok(await client.echo({}))
})

await t.test('a service that is missing answers UNIMPLEMENTED', async (t) => {
  const { client } = await serve(t, [])
  t.match(await rejection(client.echo({})), { status: status.UNIMPLEMENTED })
})

await t.test('what a handler throws becomes the status', async (t) => {
  const trailing = new Metadata()
  trailing.set('reason', 'r')
  const cases: readonly [thrown: unknown, expected: object][] = [
    [callError(status.NOT_FOUND, 'nope'), { status: status.NOT_FOUND, details: 'nope' }],
    [new Error('oops'), { status: status.UNKNOWN, details: 'oops' }],
    ['text', { status: status.UNKNOWN, details: 'text' }],
    [undefined, { status: status.UNKNOWN }],
    [
      new PluginError('ERR_BROKER_TIMEOUT', 'late'),
      { status: status.UNAVAILABLE, code: 'ERR_BROKER_TIMEOUT' }
    ],
    [
      Object.assign(new Error('m'), { code: 6, details: 'there', metadata: trailing }),
      { status: 6, details: 'there' }
    ],
    [new Error(`half a pair: \uD800.`), { status: status.UNKNOWN, details: 'half a pair: \uFFFD.' }]
  ]
  let thrown: unknown
  const fail = (): never => {
    throw thrown
  }
  const { client } = await serve(t, [
    echoWith({
      echo: fail,
      collect: fail,
      async *repeat() {
        yield* []
        fail()
      },
      chat: fail
    })
  ])
  for (const [value, expected] of cases) {
    thrown = value
    t.match(await rejection(client.echo({})), expected)
    t.match(await rejection(client.collect([])), expected)
    t.match(await rejection(collect(client.repeat({}))), expected)
    t.match(await rejection(collect(client.chat([]))), expected)
  }
})

await t.test('a status of another call passes through, without the headers it came with', async (t) => {
  const { client: inner } = await serve(t, [echoWith({})])
  const { client: outer } = await serve(t, [echoWith({ fail: async (request) => inner.fail(request) })])
  let trailer = new Metadata()
  const error = await rejection(
    outer.fail(
      { code: status.NOT_FOUND, details: '100 % gone' },
      { onTrailer: (received) => (trailer = received) }
    )
  )
  t.match(error, { code: 'ERR_CALL_FAILED', status: status.NOT_FOUND, details: '100 % gone' })
  t.equal(trailer.get('content-type').length, 1, 'only its own')
})

await t.test('a handler that returns no message fails with INTERNAL', async (t) => {
  const { client } = await serve(t, [
    echoWith({ echo: () => undefined as never, collect: async () => null as never })
  ])
  t.match(await rejection(client.echo({})), {
    status: status.INTERNAL,
    details: /Echo\/Echo returned undefined/
  })
  t.match(await rejection(client.collect([])), {
    status: status.INTERNAL,
    details: /Echo\/Collect returned null/
  })
})

await t.test('the signal', async (t) => {
  await t.test('aborts when the caller cancels', async (t) => {
    const started = deferred()
    const reason = deferred<unknown>()
    const { client } = await serve(t, [
      echoWith({
        async sleep(_request, { signal }): Promise<SleepResponse.Init> {
          started.resolve()
          await once(signal, 'abort')
          reason.resolve(signal.reason)
          return {}
        }
      })
    ])
    const controller = new AbortController()
    const call = rejection(client.sleep({}, { signal: controller.signal }))
    await started.promise
    controller.abort()
    await call
    t.match(await reason.promise, { code: 'ERR_CALL_FAILED', status: status.CANCELLED })
  })

  await t.test('aborts when the deadline passes', async (t) => {
    const reason = deferred<unknown>()
    const { client } = await serve(t, [
      echoWith({
        async sleep(_request, { signal }) {
          await once(signal, 'abort')
          reason.resolve(signal.reason)
          return {}
        }
      })
    ])
    t.match(await rejection(client.sleep({}, { timeoutMs: 100 })), { status: status.DEADLINE_EXCEEDED })
    t.match(await reason.promise, { code: 'ERR_CALL_FAILED' })
  })

  await t.test('aborts when the connection is lost', async (t) => {
    const reason = deferred<unknown>()
    const { client, accepted } = await serve(t, [
      echoWith({
        async sleep(_request, { signal }) {
          accepted[0]?.destroy()
          await once(signal, 'abort')
          reason.resolve(signal.reason)
          return {}
        }
      })
    ])
    t.match(await rejection(client.sleep({})), { code: 'ERR_CALL_FAILED' })
    t.match(await reason.promise, { status: status.CANCELLED })
  })

  await t.test('is aborted already for a handler that asks late', async (t) => {
    const started = deferred()
    const cancelled = deferred()
    const late = deferred<AbortSignal>()
    const { client } = await serve(t, [
      echoWith({
        async collect(requests, context) {
          started.resolve()
          await rejection(collect(requests))
          late.resolve(context.signal)
          cancelled.resolve()
          return {}
        }
      })
    ])
    const controller = new AbortController()
    async function* requests() {
      yield {}
      await cancelled.promise
    }
    const call = rejection(client.collect(requests(), { signal: controller.signal }))
    await started.promise
    controller.abort()
    await call
    t.equal((await late.promise).aborted, true)
  })

  await t.test('does not abort after a normal end', async (t) => {
    const signals: AbortSignal[] = []
    const { client, server } = await serve(t, [
      echoWith({
        echo: (_request, { signal }) => {
          signals.push(signal)
          return {}
        },
        fail: (_request, { signal }) => {
          signals.push(signal)
          throw callError(status.ABORTED, 'no')
        },
        async collect(requests, { signal }) {
          signals.push(signal)
          await collect(requests)
          return {}
        },
        async *repeat(_request, { signal }) {
          signals.push(signal)
          yield {}
        },
        async *chat(requests, { signal }) {
          signals.push(signal)
          for await (const { text } of requests) yield { text }
        }
      })
    ])
    await client.echo({})
    await rejection(client.fail({}))
    await client.collect([{}])
    await collect(client.repeat({}))
    await collect(client.chat([{}]))
    // After the server has closed, every 'cancelled' of grpc-js has come.
    await server.close()
    t.same(
      signals.map(({ aborted }) => aborted),
      [false, false, false, false, false]
    )
  })
})

await t.test('a generator is told to return when the caller leaves', async (t) => {
  await t.test('while it waits for the caller to read', async (t) => {
    const returned = deferred()
    const payload = Buffer.alloc(100_000)
    const { client } = await serve(t, [
      echoWith({
        async *repeat() {
          try {
            for (;;) yield { payload }
          } finally {
            returned.resolve()
          }
        }
      })
    ])
    for await (const _response of client.repeat({})) break
    await returned.promise
  })

  await t.test('while it waits for something else and heeds the signal', async (t) => {
    const returned = deferred()
    const { client } = await serve(t, [
      echoWith({
        async *repeat(_request, { signal }) {
          try {
            yield {}
            await once(signal, 'abort')
            yield {}
          } finally {
            returned.resolve()
          }
        }
      })
    ])
    for await (const _response of client.repeat({})) break
    await returned.promise
  })

  await t.test('and an iterable that is no generator too', async (t) => {
    const returned = deferred()
    const { client } = await serve(t, [
      echoWith({
        repeat: () => ({
          [Symbol.asyncIterator]() {
            let first = true
            return {
              next: () => {
                const wait = first ? Promise.resolve() : returned.promise
                first = false
                return wait.then(() => ({ done: false, value: {} }) as const)
              },
              return: async () => {
                returned.resolve()
                return { done: true, value: undefined } as const
              }
            }
          }
        })
      })
    ])
    for await (const _response of client.repeat({})) break
    await returned.promise
  })
})

await t.test('a handler may answer a stream of requests before its end', async (t) => {
  const { client } = await serve(t, [
    echoWith({
      async collect(requests) {
        for await (const { text } of requests) return { text }
        return {}
      },
      async *chat(requests) {
        for await (const { text } of requests) {
          yield { text }
          break
        }
        yield { text: 'after' }
      }
    })
  ])
  const turn = deferred()
  async function* requests() {
    yield { text: 'first' }
    await turn.promise
  }
  t.equal((await client.collect(requests())).text, 'first')
  const texts = (await collect(client.chat(requests()))).map(({ text }) => text)
  t.same(texts, ['first', 'after'])
  turn.resolve()
})

await t.test('an upload that is cancelled never looks complete', async (t) => {
  const ends: string[] = []
  let started = deferred()
  let ended = deferred()
  const { client } = await serve(t, [
    echoWith({
      async collect(requests) {
        try {
          for await (const _request of requests) started.resolve()
          ends.push('complete')
        } catch {
          ends.push('cancelled')
        }
        ended.resolve()
        return {}
      }
    })
  ])
  for (let round = 0; round < 20; round += 1) {
    started = deferred()
    ended = deferred()
    const controller = new AbortController()
    async function* requests() {
      yield {}
      await once(controller.signal, 'abort')
    }
    const call = rejection(client.collect(requests(), { signal: controller.signal }))
    await started.promise
    controller.abort()
    await call
    await ended.promise
  }
  t.same(new Set(ends), new Set(['cancelled']))
})

await t.test('header and trailer', async (t) => {
  await t.test('a header may be sent before the first message', async (t) => {
    const go = deferred()
    const { client } = await serve(t, [
      echoWith({
        async *repeat(_request, { sendHeader }) {
          sendHeader({ head: 'early' })
          await go.promise
          yield {}
        }
      })
    ])
    const responses = await collect(
      client.repeat({}, { onHeader: (header) => header.get('head')[0] === 'early' && go.resolve() })
    )
    t.equal(responses.length, 1)
  })

  await t.test('a trailer goes with a failure too, beside what the error brings', async (t) => {
    const trailing = new Metadata()
    trailing.set('of-error', 'e')
    const { client } = await serve(t, [
      echoWith({
        echo: (_request, { trailer }) => {
          trailer.set('of-handler', 'h')
          throw callError(status.ABORTED, 'no', { metadata: trailing })
        }
      })
    ])
    let trailer = new Metadata()
    await rejection(client.echo({}, { onTrailer: (received) => (trailer = received) }))
    t.same([trailer.get('of-error'), trailer.get('of-handler')], [['e'], ['h']])
  })

  await t.test('that would end the connection fail the one call', async (t) => {
    const { client } = await serve(t, [
      echoWith({
        echo: (_request, { trailer }) => {
          trailer.set('a:b', 'x')
          return {}
        },
        async *repeat(_request, { sendHeader }) {
          sendHeader({ connection: 'close' })
          yield {}
        },
        fail: (_request, { trailer }) => {
          trailer.set('a:b', 'x')
          throw callError(status.ABORTED, 'no')
        }
      })
    ])
    const invalid = { code: 'ERR_CONFIG_INVALID', status: status.INTERNAL }
    t.match(await rejection(client.echo({})), invalid)
    t.match(await rejection(collect(client.repeat({}))), invalid)
    t.match(await rejection(client.fail({})), { status: status.ABORTED })
    t.equal((await client.collect([{ text: 'alive' }])).text, 'alive')
  })
})

await t.test('the context has the deadline and the peer', async (t) => {
  const seen = deferred<readonly [number, string]>()
  const { client } = await serve(t, [
    echoWith({
      echo: (_request, { deadline, peer }) => {
        seen.resolve([deadline, peer])
        return {}
      }
    })
  ])
  await client.echo({}, { timeoutMs: 60_000 })
  const [deadline, peer] = await seen.promise
  t.ok(deadline > Date.now() && deadline <= Date.now() + 61_000)
  t.type(peer, 'string')
})

await t.test('a binding is what grpc-js itself takes', async (t) => {
  const { channel } = await serve(t, [implement(Echo, echo)])
  const Stub = makeClientConstructor(serviceDefinition(Echo), 'Echo')
  const { credentials } = await import('@grpc/grpc-js')
  const stub = new Stub('unused', credentials.createInsecure(), { channelOverride: channel })
  type Answer = (error: ServiceError | null, response: EchoResponse) => void
  const call = stub['echo'] as (request: EchoRequest.Init, callback: Answer) => void
  const text = await new Promise((resolve, reject) => {
    call.call(stub, { text: 'plain' }, (error, response) =>
      error === null ? resolve(response.text) : reject(error)
    )
  })
  t.equal(text, 'plain')
})

/** Never called: what must and must not compile. */
export function types(): void {
  class Complete implements ServiceImplementation<typeof Echo> {
    echo = echo.echo
    repeat = echo.repeat
    collect = echo.collect
    chat = echo.chat
    sleep = echo.sleep
    fail = echo.fail
  }
  implement(Echo, new Complete())
  // @ts-expect-error -- a class that promises all methods must have them
  class Incomplete implements ServiceImplementation<typeof Echo> {
    echo = echo.echo
  }
  void Incomplete
  // @ts-expect-error -- no such method
  implement(Echo, { ecko: () => ({}) })
  // @ts-expect-error -- no such field in the response
  implement(Echo, { echo: () => ({ txt: 'a' }) })
  // @ts-expect-error -- no such field in the request
  implement(Echo, { echo: ({ txt }) => ({ text: txt }) })
  // @ts-expect-error -- one response, where many are due
  implement(Echo, { repeat: () => ({ text: 'a' }) })
}
