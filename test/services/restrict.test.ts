import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable, pipeline } from 'node:stream'
import type { ServerReadableStream, ServerWritableStream, UntypedServiceImplementation } from '@grpc/grpc-js'
import t, { type Test } from 'tap'
import { Echo } from '#proto/echo/v1/echo.js'
import { HostService } from '#proto/hostserve/v1/hostserve.js'
import { type Client, createClient } from '../../lib/grpc/client.js'
import { Status as status } from '../../lib/grpc/grpc-js.js'
import {
  type CallContext,
  type ServiceBinding,
  type ServiceImplementation,
  implement
} from '../../lib/grpc/handler.js'
import type { PluginError } from '../../lib/errors.js'
import { CallLife } from '../../lib/grpc/call-life.js'
import { callError } from '../../lib/grpc/status.js'
import type { ServiceDescriptor } from '../../lib/grpc/service.js'
import { openRoot } from '../../lib/security/root.js'
import { createHostService } from '../../lib/services/host-service.js'
import type { AuditRecord } from '../../lib/services/restrict-call.js'
import { tokenBucket } from '../../lib/services/restrict-rules.js'
import { type RestrictOptions, auditTo, restrict } from '../../lib/services/restrict.js'
import { carriers } from '../grpc/differential-carriers.js'
import { collect, deferred, echo, rejection } from '../grpc/fixture.js'
import { recordingLogger } from '../helpers/launch.js'

const wires = carriers.filter(({ name }) => name !== 'grpc-js')
type Carrier = (typeof wires)[number]

/** The same service as `implement()` gives it, and as grpc-js would have it. */
const kinds = {
  typed: (binding: ServiceBinding): ServiceBinding => binding,
  'grpc-js': ({ definition, handlers }: ServiceBinding): ServiceBinding => ({ definition, handlers })
}

const places = wires.flatMap((wire) =>
  Object.entries(kinds).map(([kind, convert]) => ({ title: `${kind} on ${wire.name}`, wire, convert }))
)

async function connect<S extends ServiceDescriptor>(
  t: Test,
  wire: Carrier,
  service: S,
  binding: ServiceBinding
): Promise<Client<S>> {
  const limits = { maxReceiveBytes: Infinity, maxSendBytes: Infinity }
  const { channel, close } = await wire.open({
    services: [binding],
    channelOptions: { ...limits, compression: 'identity' },
    serverOptions: limits
  } as unknown as Parameters<Carrier['open']>[0])
  t.teardown(close)
  return createClient(service, channel)
}

/** Records of calls, and those that are still to come. */
function auditor() {
  const records: AuditRecord[] = []
  const waiting: (() => void)[] = []
  return {
    records,
    audit(record: AuditRecord): void {
      records.push(record)
      for (const wake of waiting.splice(0)) wake()
    },
    /** Resolves with the record of call `index`. */
    async at(index: number): Promise<AuditRecord> {
      while (records.length <= index) await new Promise<void>((resolve) => waiting.push(resolve))
      return records[index]!
    }
  }
}

type Place = (typeof places)[number]

async function serveEcho(
  t: Test,
  { wire, convert }: Place,
  rules: RestrictOptions,
  methods: Partial<ServiceImplementation<typeof Echo>> = {}
) {
  const log = auditor()
  const binding = convert(implement(Echo, { ...echo, ...methods }))
  const client = await connect(t, wire, Echo, restrict(binding, { audit: log.audit, ...rules }))
  return { client, ...log }
}

async function refusal(promise: Promise<unknown>): Promise<string> {
  const error = (await rejection(promise)) as PluginError
  if (error.status !== status.PERMISSION_DENIED) throw error
  return error.details!
}

const payload = (bytes: number): Buffer => Buffer.alloc(bytes)

async function* many<T>(count: number, message: T): AsyncGenerator<T> {
  for (let index = 0; index < count; index += 1) yield message
}

for (const place of places) {
  t.test(`${place.title}: methods that are not allowed are refused by name`, async (t) => {
    const { client, records } = await serveEcho(t, place, {
      methods: { allow: ['echo', 'Repeat', '/echo.v1.Echo/Chat', 'collect'], deny: ['collect', 'Chat'] }
    })
    t.equal((await client.echo({ text: 'a' })).text, 'a')
    t.equal((await collect(client.repeat({ text: 'a', count: 2 }))).length, 2)
    t.equal(await refusal(client.sleep({ ms: 1 })), 'denied by rule "methods": Sleep is not allowed')
    t.match(await refusal(client.collect(many(1, {}))), 'Collect is not allowed')
    t.match(await refusal(collect(client.chat(many(1, {})))), 'Chat is not allowed')
    t.strictSame(
      records.map(({ method, decision, rule }) => [method.slice(14), decision, rule]),
      [
        ['Echo', 'allowed', undefined],
        ['Repeat', 'allowed', undefined],
        ['Sleep', 'denied', 'methods'],
        ['Collect', 'denied', 'methods'],
        ['Chat', 'denied', 'methods']
      ]
    )
  })

  t.test(`${place.title}: paths are checked in every kind of call`, async (t) => {
    const handled: string[] = []
    const { client, records } = await serveEcho(
      t,
      place,
      {
        paths: [
          {
            name: 'secrets',
            methods: ['echo', 'repeat', 'collect', 'chat'],
            fields: ['text'],
            allow: ['docs/**'],
            deny: ['**/*.key']
          }
        ]
      },
      {
        async collect(requests) {
          for await (const { text } of requests) handled.push(text)
          return {}
        }
      }
    )
    const denied = /^denied by rule "secrets": "docs\/a.key" is not allowed$/
    t.equal((await client.echo({ text: './docs//a' })).text, './docs//a', 'the handler gets what was sent')
    t.match(await refusal(client.echo({ text: 'docs/a.key' })), denied)
    t.match(await refusal(collect(client.repeat({ text: 'docs/a.key', count: 1 }))), denied)
    async function* texts() {
      yield { text: 'docs/a' }
      yield { text: 'docs/a.key' }
      yield { text: 'docs/b' }
    }
    t.match(await refusal(client.collect(texts())), denied)
    t.strictSame(handled, ['docs/a'], 'nothing that is refused, or after it, reaches the handler')
    t.match(await refusal(collect(client.chat(texts()))), denied)
    t.strictSame(records[1]!.paths, ['docs/a.key'])
    t.strictSame(records[3]!.paths, ['docs/a', 'docs/a.key'])
    t.equal(records[3]!.rule, 'secrets')
    t.equal(records[3]!.requestMessages, 2)
  })

  t.test(`${place.title}: messages and calls that are too large are refused`, async (t) => {
    const { client, records } = await serveEcho(t, place, {
      sizes: [
        { name: 'asked', request: { maxMessageBytes: 1000, maxBytes: 2500, maxMessages: 4 } },
        { name: 'answered', methods: ['repeat'], response: { maxBytes: 2500, maxMessages: 4 } },
        { name: 'one', methods: ['echo'], response: { maxMessageBytes: 600 } }
      ]
    })
    await client.echo({ payload: payload(500) })
    t.match(
      await refusal(client.echo({ payload: payload(1001) })),
      'rule "asked": a request of 1004 bytes, more than 1000'
    )
    t.match(
      await refusal(client.echo({ payload: payload(700) })),
      'rule "one": a response of 703 bytes, more than 600'
    )
    await client.collect(many(2, { payload: payload(900) }))
    t.match(
      await refusal(client.collect(many(3, { payload: payload(900) }))),
      'more than 2500 bytes of request'
    )
    t.match(await refusal(client.collect(many(5, {}))), 'more than 4 messages of request')
    const seen: number[] = []
    const reading = (async () => {
      for await (const { index } of client.repeat({ count: 9, payload: payload(900) })) seen.push(index)
    })()
    t.match(await refusal(reading), 'rule "answered": more than 2500 bytes of response')
    t.strictSame(seen, [0, 1], 'what was allowed arrives')
    t.match(await refusal(collect(client.repeat({ count: 9 }))), 'more than 4 messages of response')
    const { requestBytes, responseBytes, responseMessages } = records[0]!
    t.strictSame([requestBytes, responseBytes, responseMessages], [503, 503, 1])
    t.match(records[6], { status: status.PERMISSION_DENIED, responseMessages: 2, rule: 'answered' })
  })

  t.test(`${place.title}: calls that come too fast are refused until there is room`, async (t) => {
    let time = 0
    const { client } = await serveEcho(
      t,
      place,
      {
        now: () => time,
        rates: [
          { methods: ['echo'], calls: 2, perMs: 100 },
          { methods: ['repeat'], bytes: 1000 },
          { methods: ['collect'], bytes: 1000 }
        ]
      },
      {
        async collect(requests) {
          for await (const _ of requests);
          return {}
        }
      }
    )
    await client.echo({})
    await client.echo({})
    t.equal(await refusal(client.echo({})), 'denied by rule "rate of echo": more than 2 calls in 100 ms')
    time += 50
    await client.echo({})
    t.match(await refusal(client.echo({})), 'rate of echo')
    const repeat = (count: number) => collect(client.repeat({ count, payload: payload(300) }))
    await repeat(1)
    t.match(await refusal(repeat(3)), 'rule "rate of repeat": more than 1000 bytes in 1000 ms')
    time += 1000
    await repeat(1)
    t.match(await refusal(client.collect(many(4, { payload: payload(300) }))), 'rule "rate of collect"')
  })

  t.test(`${place.title}: so many calls run at once, and one more when one has ended`, async (t) => {
    const gates = [deferred(), deferred()]
    const begun = gates.map(() => deferred())
    let calls = 0
    const { client } = await serveEcho(
      t,
      place,
      { rates: [{ methods: ['echo', 'chat'], concurrent: 2 }] },
      {
        async echo() {
          const index = calls++
          begun[index]?.resolve()
          await gates[index]?.promise
          return {}
        }
      }
    )
    const running = [client.echo({}), client.echo({})]
    await Promise.all(begun.map(({ promise }) => promise))
    t.match(await refusal(client.echo({})), 'more than 2 calls at once')
    t.match(await refusal(collect(client.chat(many(0, {})))), 'more than 2 calls at once')
    gates[0]!.resolve()
    await running[0]
    t.equal((await collect(client.chat(many(3, {})))).length, 3)
    gates[1]!.resolve()
    await running[1]
    t.equal((await collect(client.chat(many(1, {})))).length, 1)
    t.equal((await collect(client.chat(many(1, {})))).length, 1, 'streams give their place back')
    await client.echo({})
  })

  t.test(`${place.title}: a refused stream ends as that, whatever its handler makes of it`, async (t) => {
    const errors: unknown[] = []
    const { client, records } = await serveEcho(
      t,
      place,
      { rates: [{ concurrent: 1 }], sizes: [{ request: { maxMessages: 2 } }] },
      {
        async collect(requests) {
          let last: string | undefined
          try {
            for await (const { text } of requests) last = text
          } catch (error) {
            errors.push(error)
            if (last === 'throw') throw new Error('something else', { cause: error })
          }
          return {}
        },
        async *chat(requests) {
          let next: string | undefined
          try {
            for await (const request of requests) {
              next = request.text
              yield request
            }
          } catch (cause) {
            if (next === 'throw') throw new Error('something else', { cause })
            if (next === 'yield') yield { text: 'late' }
          }
        }
      }
    )
    t.match(await refusal(client.collect(many(3, {}))), 'rule "size"')
    t.match(await refusal(client.collect(many(3, { text: 'throw' }))), 'rule "size"')
    for (const text of ['throw', 'yield', 'return']) {
      const seen: string[] = []
      const reading = (async () => {
        for await (const response of client.chat(many(3, { text }))) seen.push(response.text)
      })()
      t.match(await refusal(reading), 'rule "size"', text)
      t.notOk(seen.includes('late'))
    }
    t.match(await refusal(client.collect(many(4, {}))), 'rule "size"', 'its place was given back')
    t.ok(errors.length > 0)
    t.strictSame(
      records.map(({ status, decision, requestMessages }) => [status, decision, requestMessages]),
      records.map(() => [status.PERMISSION_DENIED, 'denied', 3])
    )
  })

  t.test(`${place.title}: a place is given back however a call ends`, async (t) => {
    const begun: (() => void)[] = []
    const { client, at } = await serveEcho(
      t,
      place,
      { rates: [{ concurrent: 1 }] },
      {
        async *repeat(_, { signal }) {
          yield {}
          begun.shift()?.()
          await new Promise((_resolve, reject) =>
            signal.addEventListener('abort', () => reject(signal.reason))
          )
        },
        chat: () => undefined as never
      }
    )
    let calls = 0
    const ended = async (call: Promise<unknown>): Promise<void> => {
      await call
      await at(calls)
      calls += 1
      // The handler of a call that was cut short hears of it after its record is written.
      for (;;) {
        const next = await rejection(client.echo({})).catch(() => undefined)
        await at(calls)
        calls += 1
        if (next === undefined) return
      }
    }
    await ended(rejection(client.fail({ code: status.INTERNAL })))
    await ended(rejection(collect(client.chat(many(1, {})))))
    await ended(rejection(client.sleep({ ms: 60_000 }, { timeoutMs: 20 })))
    await ended(rejection(collect(client.repeat({}, { timeoutMs: 20 }))))
    const cancel = new AbortController()
    begun.push(() => cancel.abort())
    await ended(rejection(collect(client.repeat({}, { signal: cancel.signal }))))
    await ended(
      (async () => {
        for await (const _ of client.repeat({})) break
      })()
    )
    t.pass('and the next call came through each time')
  })

  t.test(`${place.title}: a call has one record, however it ends`, async (t) => {
    const left = deferred()
    const { client, at, records } = await serveEcho(
      t,
      place,
      {},
      {
        async *repeat() {
          try {
            for (;;) yield { text: 'more' }
          } finally {
            left.resolve()
          }
        },
        async *chat(requests) {
          for await (const request of requests) yield request
        }
      }
    )
    const before = Date.now()
    await client.echo({ text: 'good' })
    t.match(await at(0), { status: status.OK, decision: 'allowed', paths: [], caller: String })
    t.ok((await at(0)).time >= before && (await at(0)).time <= Date.now())
    t.ok((await at(0)).durationMs >= 0)
    await rejection(client.fail({ code: status.NOT_FOUND, details: 'no' }))
    t.match(await at(1), { status: status.NOT_FOUND, decision: 'allowed' })
    const cancel = new AbortController()
    const sleeping = rejection(client.sleep({ ms: 60_000 }, { signal: cancel.signal }))
    const hanging = client.chat(
      (async function* () {
        yield { text: 'one' }
        await new Promise(() => {})
      })(),
      { signal: cancel.signal }
    )
    await hanging[Symbol.asyncIterator]().next()
    cancel.abort()
    await sleeping
    await at(3)
    t.strictSame(
      new Set([records[2], records[3]].map((record) => `${record!.method} ${record!.status}`)),
      new Set([`/echo.v1.Echo/Sleep ${status.CANCELLED}`, `/echo.v1.Echo/Chat ${status.CANCELLED}`])
    )
    await rejection(client.sleep({ ms: 60_000 }, { timeoutMs: 20 }))
    // A caller whose time is up cancels, and its word may come first.
    t.ok([status.DEADLINE_EXCEEDED, status.CANCELLED].includes((await at(4)).status))
    for await (const _ of client.repeat({})) break
    await left.promise
    t.match(await at(5), { method: '/echo.v1.Echo/Repeat', status: status.CANCELLED })
    t.ok((await at(5)).responseMessages > 0)
    await client.collect(many(3, { text: 'abc' }))
    t.match(await at(6), { requestMessages: 3, requestBytes: 15, responseMessages: 1, status: status.OK })
    t.equal((await collect(client.chat(many(2, {})))).length, 2)
    t.match(await at(7), { requestMessages: 2, responseMessages: 2, status: status.OK })
    t.equal(records.length, 8)
  })

  t.test(`${place.title}: a record that cannot be written harms no call, and is logged`, async (t) => {
    const logger = recordingLogger()
    const lost = new Error('the disk is full')
    let calls = 0
    const { client } = await serveEcho(t, place, {
      logger,
      audit() {
        if (calls++ === 0) throw lost
        // oxlint-disable-next-line unicorn/no-thenable -- a promise of another kind
        return { then: (_: unknown, reject: (error: Error) => void) => reject(lost) }
      }
    })
    await client.echo({})
    await client.echo({})
    await logger.seen(() => logger.records.length === 2)
    t.match(logger.records, [
      { level: 'error', fields: { err: lost, method: '/echo.v1.Echo/Echo' } },
      { level: 'error', fields: { err: lost } }
    ])
  })
}

for (const wire of wires) {
  t.test(`${wire.name}: a stream that a grpc-js handler pipes is cut where it goes too far`, async (t) => {
    const { definition } = implement(Echo, {})
    const closed = deferred<unknown>()
    const handlers = {
      repeat(call: ServerWritableStream<unknown, unknown>) {
        const messages = Array.from({ length: 50 }, (_, index) => ({ text: '', index }))
        pipeline(Readable.from(messages), call, (error) => closed.resolve(error))
      }
    } as unknown as UntypedServiceImplementation
    const log = auditor()
    const rules = { sizes: [{ response: { maxMessages: 20 } }], audit: log.audit }
    const client = await connect(t, wire, Echo, restrict({ definition, handlers }, rules))
    t.match(await refusal(collect(client.repeat({}))), 'more than 20 messages of response')
    t.match(await log.at(0), { responseMessages: 20, rule: 'size', status: status.PERMISSION_DENIED })
    await closed.promise
  })

  t.test(`${wire.name}: a handler of grpc-js may write on, end and answer after a refusal`, async (t) => {
    const { definition } = implement(Echo, {})
    const answered = deferred()
    const handlers = {
      repeat(call: ServerWritableStream<unknown, unknown>) {
        for (let index = 0; index < 9; index += 1) call.write({ index, text: 'text' })
        call.end()
      },
      collect(
        call: ServerReadableStream<unknown, unknown>,
        callback: (error: null, response: object) => void
      ) {
        call.resume()
        call.on('close', () => {
          callback(null, {})
          answered.resolve()
        })
      },
      fail() {
        throw new Error('at once')
      }
    } as unknown as UntypedServiceImplementation
    const log = auditor()
    const sizes = [{ request: { maxMessages: 2 }, response: { maxMessages: 2 } }]
    const client = await connect(
      t,
      wire,
      Echo,
      restrict({ definition, handlers }, { sizes, audit: log.audit })
    )
    t.match(await refusal(collect(client.repeat({}))), 'more than 2 messages of response')
    t.match(await refusal(client.collect(many(3, {}))), 'more than 2 messages of request')
    await answered.promise
    const none = restrict({ definition, handlers }, { sizes: [{ response: { maxMessageBytes: 1 } }] })
    const first = await connect(t, wire, Echo, none)
    t.match(await refusal(collect(first.repeat({}))), 'a response of 6 bytes, more than 1')
    await rejection(client.fail({}))
    t.strictSame(
      log.records.map(({ status, responseMessages }) => [status, responseMessages]),
      [
        [status.PERMISSION_DENIED, 2],
        [status.PERMISSION_DENIED, 0],
        [status.UNKNOWN, 0]
      ]
    )
  })

  t.test(`${wire.name}: an upload that is refused has no end for a handler of grpc-js`, async (t) => {
    const { definition } = implement(Echo, {})
    const told = deferred<string[]>()
    const handlers = {
      collect(call: ServerReadableStream<unknown, unknown>) {
        const seen: string[] = []
        for (const event of ['data', 'end']) call.on(event, () => seen.push(event))
        call.on('close', () => told.resolve(seen))
      }
    } as unknown as UntypedServiceImplementation
    const binding = restrict({ definition, handlers }, { sizes: [{ request: { maxMessages: 2 } }] })
    const client = await connect(t, wire, Echo, binding)
    t.match(await refusal(client.collect(many(3, {}))), 'more than 2 messages of request')
    t.strictSame(await told.promise, ['data', 'data'])
  })

  t.test(`${wire.name}: a call whose caller is gone is over, and has its record`, async (t) => {
    const begun = deferred()
    const log = auditor()
    const rates = [{ concurrent: 1 }]
    const methods = {
      sleep(_: unknown, { signal }: CallContext): Promise<never> {
        begun.resolve()
        return new Promise((_resolve, reject) =>
          signal.addEventListener('abort', () => reject(signal.reason))
        )
      }
    }
    const binding = restrict(implement(Echo, methods), { rates, audit: log.audit })
    const { channel, close } = await wire.open({
      services: [binding],
      channelOptions: { maxReceiveBytes: 1000, maxSendBytes: 1000, compression: 'identity' },
      serverOptions: { maxReceiveBytes: 1000, maxSendBytes: 1000 }
    } as unknown as Parameters<Carrier['open']>[0])
    const gone = rejection(createClient(Echo, channel).sleep({ ms: 60_000 }))
    await begun.promise
    await close()
    await gone
    t.match(await log.at(0), { status: status.CANCELLED, decision: 'allowed' })
    const next = await connect(t, wire, Echo, binding)
    // The handler hears of it after the record is written.
    for (;;) {
      const error = (await rejection(next.sleep({}, { timeoutMs: 20 }))) as PluginError
      if (error.status !== status.PERMISSION_DENIED) break
    }
    t.pass('and its place is given back')
  })

  t.test(`${wire.name}: what cannot be sent fails as it does without rules`, async (t) => {
    const methods = { echo: () => undefined as never, repeat: () => many(1, unsendable) }
    const log = auditor()
    const plain = await connect(t, wire, Echo, implement(Echo, methods))
    const ruled = await connect(t, wire, Echo, restrict(implement(Echo, methods), { audit: log.audit }))
    const outcome = async (client: Client<typeof Echo>) => {
      const errors = [await rejection(client.echo({})), await rejection(collect(client.repeat({})))]
      return errors.map((error) => [(error as PluginError).status, (error as PluginError).details])
    }
    t.strictSame(await outcome(ruled), await outcome(plain))
    t.equal((await log.at(0)).status, status.INTERNAL)
  })

  t.test(`${wire.name}: the files of a HostService, by either field that names a path`, async (t) => {
    const dir = await mkdtemp(join(tmpdir(), 'muxplug-restrict-'))
    t.teardown(() => rm(dir, { recursive: true }))
    for (const name of ['a.txt', 'a.key']) await writeFile(join(dir, name), name)
    const root = await openRoot(dir)
    t.teardown(() => root.close())
    const binding = restrict(implement(HostService, createHostService({ root })), {
      methods: { deny: ['log'] },
      paths: [{ methods: ['readFile', 'stat'], fields: [['path', 'rawPath']], deny: ['**/*.key'] }]
    })
    const client = await connect(t, wire, HostService, binding)
    const read = (request: object) => collect(client.readFile(request))
    t.equal((await read({ path: 'a.txt' })).length, 1)
    t.equal((await read({ rawPath: Buffer.from('a.txt') })).length, 1)
    t.match(await refusal(read({ path: 'x/../a.txt' })), '"x/../a.txt" is not allowed')
    t.match(await refusal(read({ path: './/A.KEY/' })), '".//A.KEY/" is not allowed')
    t.match(await refusal(read({ rawPath: Buffer.from('a.key') })), '"a.key" is not allowed')
    t.match(await refusal(read({ path: 'a.txt', rawPath: Buffer.from('a.key') })), '"a.key" is not allowed')
    t.match(await refusal(client.log({ message: 'hello' })), 'Log is not allowed')
  })
}

t.test('a request passes when each of its paths does', (t) => {
  const two = { fields: ['from', 'to'], allow: ['docs/*'] }
  const either = { fields: [['path', 'rawPath']], allow: ['docs/*'] }
  const table: [rule: object, request: unknown, allowed: boolean][] = [
    [{ allow: ['docs/**'] }, 'docs/a/.b', true],
    [{ allow: ['docs/**'] }, './docs//a/', true],
    [{ allow: ['docs/**'] }, 'docs', true],
    [{ allow: ['docs/**'] }, 'docs2', false],
    [{ allow: ['docs/**'] }, 'DOCS/a', false],
    [{ allow: ['docs/**'] }, 'docs\\a', false],
    [{ allow: [] }, 'a', false],
    [{ allow: ['a', 'b'] }, 'b', true],
    [{ allow: ['é'] }, 'e\u0301', false],
    [{}, 'a', true],
    [{}, 'docs/link/../a', false],
    [{}, '..', false],
    [{}, '/a', false],
    [{}, 'a\0', false],
    [{}, 'a'.repeat(4096), true],
    [{}, 'a'.repeat(4097), false],
    [{}, Buffer.alloc(4097, 'a'), false],
    [{}, Buffer.alloc(20_000), false],
    [{}, new Uint8Array(Buffer.from('a')), true],
    [{}, 7, false],
    [{}, {}, false],
    [{}, [], false],
    [{}, undefined, false],
    [{}, '', true],
    [{ allow: ['*'] }, '', false],
    [{ optional: true }, undefined, false],
    [{ optional: true, allow: ['*'] }, '', false],
    [{ deny: ['**/*.key'] }, ['a', 'b/c.key'], false],
    [{ deny: ['**/*.key'] }, ['a', 'b'], true],
    [{ allow: ['a'] }, ['a', ''], false],
    [{ deny: ['**/*.key'] }, 'a\nb/c.key', false],
    [{ deny: ['**/*.key'] }, 'a.KEY', false],
    [{ deny: ['Straße/é'] }, 'STRASSE/e\u0301', false],
    [{ deny: ['.git'] }, '.g\u200cit', false],
    [{ deny: ['k*s'] }, '\u212a\u017f', false],
    [{ deny: ['**/*.key'] }, Buffer.from('\xff.key', 'latin1'), false],
    [{ deny: ['**/*.key'] }, Buffer.from('\xff', 'latin1'), true],
    [{ deny: ['secret'] }, 'secret/a', true],
    [{ deny: ['secret/**'] }, 'secret', false],
    [two, { from: 'docs/a', to: 'docs/b' }, true],
    [two, { from: 'docs/a', to: 'x' }, false],
    [two, { from: 'x', to: 'docs/a' }, false],
    [two, { from: 'docs/a', to: '' }, false],
    [two, { from: 'docs/a' }, false],
    [either, { path: 'docs/a', rawPath: Buffer.alloc(0) }, true],
    [either, { path: '', rawPath: Buffer.from('docs/a') }, true],
    [either, { path: 'docs/a', rawPath: Buffer.from('x') }, false],
    [either, { path: '', rawPath: Buffer.alloc(0) }, false],
    [either, { path: 'docs/a' }, true],
    [either, {}, false],
    [{ fields: ['from.path'], deny: ['x'] }, { from: { path: 'x' } }, false],
    [{ fields: ['from.path'], deny: ['x'] }, { from: { path: 'y' } }, true],
    [{ fields: ['from.path'], deny: ['x'] }, { from: null }, false],
    [{ fields: ['all.path'], deny: ['x'] }, { all: [{ path: 'y' }, { path: 'x' }] }, false],
    [{ fields: ['all.path'], deny: ['x'] }, { all: [{ path: 'y' }, { path: 'z' }] }, true]
  ]
  for (const [rule, path, allowed] of table) {
    const request = 'fields' in rule ? path : { path }
    const paths = [{ methods: ['do'], fields: ['path'], ...rule }]
    const title = `${JSON.stringify(rule)} ${JSON.stringify(path)?.slice(0, 60)}`
    const { methods } = restrict(oneMethod(), { paths })
    const run = () => methods!.get('/test.Test/Do')!.run(request, {} as never)
    if (allowed) t.doesNotThrow(run, title)
    else t.throws(run, { message: /^PERMISSION_DENIED: denied by rule "path of do"/ }, title)
  }
  t.end()
})

t.test('a record has few of many paths, short ones, and nothing that a terminal obeys', (t) => {
  const records: AuditRecord[] = []
  const { methods } = restrict(oneMethod(), {
    paths: [{ methods: ['do'], fields: ['path'], deny: ['**/*.key'] }],
    audit: (record) => records.push(record),
    caller: 'lister'
  })
  const run = (path: unknown) => methods!.get('/test.Test/Do')!.run({ path }, { peer: 'unknown' } as never)
  const many = Array.from({ length: 100 }, (_, index) => `${index}`)
  run([...many, 'a'.repeat(1000)])
  run(['a'.repeat(1000), 'b', 'b', 'one\nline\u001b[2J\u202e\u009b', Buffer.from('\xff', 'latin1')])
  t.throws(() => run([...many, 'last.key']), { message: /"last.key" is not allowed/ })
  t.strictSame(records[0]!.paths, many.slice(0, 32))
  t.strictSame(records[1]!.paths, [
    `${'a'.repeat(200)}...`,
    'b',
    'one\\u{a}line\\u{1b}[2J\\u{202e}\\u{9b}',
    '\\xff'
  ])
  t.strictSame(records[2]!.paths, [...many.slice(0, 31), 'last.key'])
  t.throws(() => run(Buffer.alloc(8 * 1024 * 1024, 0xff)), { message: /is not allowed/ }, 'soon')
  t.match(records[2], { caller: 'lister', decision: 'denied', rule: 'path of do' })
  t.end()
})

t.test('a message is weighed as it came, and encoded once', (t) => {
  const records: AuditRecord[] = []
  const audit = (record: AuditRecord): unknown => records.push(record)
  const echoing = restrict(implement(Echo, echo), { audit }).methods!.get('/echo.v1.Echo/Echo')!
  // Field 1000, which the service does not know.
  const bytes = Buffer.from('c03e01'.repeat(10), 'hex')
  echoing.run(echoing.descriptor.request.decode(bytes), { peer: '' } as never)
  t.equal(records[0]!.requestBytes, bytes.length)

  let encoded = 0
  const response = {
    get text(): string {
      encoded += 1
      return 'a'
    }
  }
  const { descriptor, run } = restrict(implement(Echo, { echo: () => response }), { audit }).methods!.get(
    '/echo.v1.Echo/Echo'
  )!
  const plain = Echo.methods.echo.response.encode(response).finish()
  const once = encoded
  t.same(
    descriptor.response
      .encode(run(descriptor.request.decode(bytes), { peer: '' } as never) as never)
      .finish(),
    plain
  )
  t.equal(encoded, 2 * once)
  t.equal(records[1]!.responseBytes, plain.length)
  t.end()
})

t.test('messages after the first may come without a path, and not with another', async (t) => {
  const place = places[0]!
  const rule = { methods: ['collect'], fields: ['text'], allow: ['docs/*'] }
  const { client } = await serveEcho(t, place, { paths: [{ ...rule, optional: true }] })
  const { client: strict } = await serveEcho(t, place, { paths: [rule] })
  async function* messages(texts: readonly string[]) {
    for (const text of texts) yield { text }
  }
  const upload = (...texts: string[]) => client.collect(messages(texts))
  await upload('docs/a', '', '')
  t.match(await refusal(upload('docs/a', '', 'x')), '"x" is not allowed')
  t.match(await refusal(upload('', 'docs/a')), '"" is not allowed')
  t.match(await refusal(strict.collect(messages(['docs/a', '']))), '"" is not allowed')
})

t.test('a caller that has another context is heard when it leaves', async (t) => {
  const log = auditor()
  const binding = restrict(implement(Echo, { sleep: () => new Promise<never>(() => {}) }), {
    audit: log.audit
  })
  const { run } = binding.methods!.get('/echo.v1.Echo/Sleep')!
  const controller = new AbortController()
  void run(Echo.methods.sleep.request.decode(Buffer.alloc(0)), { signal: controller.signal } as never)
  controller.abort()
  t.match(await log.at(0), { status: status.CANCELLED })
  void run(Echo.methods.sleep.request.decode(Buffer.alloc(0)), { signal: controller.signal } as never)
  t.match(await log.at(1), { status: status.CANCELLED })
})

t.test('a refused upload stays refused for a handler that reads on', async (t) => {
  const ends: string[] = []
  const methods = {
    async collect(requests: AsyncIterable<unknown>) {
      const reading = requests[Symbol.asyncIterator]()
      for (let count = 0; count < 5; count += 1)
        await reading.next().then(
          ({ done }) => ends.push(done === true ? 'end' : 'message'),
          () => ends.push('refused')
        )
      return {}
    }
  }
  const { client } = await serveEcho(t, places[0]!, { sizes: [{ request: { maxMessages: 1 } }] }, methods)
  t.match(await refusal(client.collect(many(2, {}))), 'more than 1 messages')
  t.strictSame(ends, ['message', 'refused', 'refused', 'refused', 'refused'])
})

t.test('what a handler throws is in its record, however it throws', async (t) => {
  for (const place of places) {
    const error = callError(status.NOT_FOUND, 'nothing there')
    const { client, at } = await serveEcho(
      t,
      place,
      {},
      {
        echo: () => Promise.reject(error),
        fail() {
          throw error
        },
        async *repeat() {
          yield {}
          throw error
        },
        collect: () => Promise.reject(error)
      }
    )
    const calls = [
      () => client.echo({}),
      () => client.fail({}),
      () => collect(client.repeat({})),
      () => client.collect(many(1, {}))
    ]
    for (const [index, call] of calls.entries()) {
      t.equal(((await rejection(call())) as PluginError).status, status.NOT_FOUND)
      t.match(await at(index), { status: status.NOT_FOUND, decision: 'allowed' }, `${place.title} ${index}`)
    }
  }
})

t.test(
  'a stream gives its place back when it throws and when it is left, and tells its handler',
  async (t) => {
    const log = auditor()
    const left: string[] = []
    const methods = {
      async *repeat() {
        try {
          for (;;) yield {}
        } finally {
          left.push('repeat')
        }
      },
      chat: () => many(1, {}).throw(callError(status.NOT_FOUND, 'nothing there')) as never,
      async collect(requests: AsyncIterable<unknown>) {
        for await (const _ of requests) break
        return {}
      }
    }
    const rules = { rates: [{ concurrent: 1 }], audit: log.audit }
    const restricted = restrict(implement(Echo, methods), rules).methods!
    const begin = (name: string, input: unknown) =>
      restricted.get(`/echo.v1.Echo/${name}`)!.run(input, new CallLife({ peer: '' } as never))
    const repeat = () => (begin('Repeat', {}) as AsyncIterable<unknown>)[Symbol.asyncIterator]()

    const first = repeat()
    await first.next()
    t.throws(repeat, /more than 1 calls at once/)
    await first.return!()
    t.strictSame(left, ['repeat'])
    t.match(log.records, [{ decision: 'denied' }, { status: status.UNKNOWN, decision: 'allowed' }])

    const requests = {
      [Symbol.asyncIterator]: () => ({
        next: () => Promise.resolve({ done: false, value: {} }),
        return() {
          left.push('collect')
          return Promise.resolve({ done: true, value: undefined })
        }
      })
    }
    await begin('Collect', requests)
    t.strictSame(left, ['repeat', 'collect'])

    const failing = {
      [Symbol.asyncIterator]: () => ({
        next: () => Promise.reject(callError(status.NOT_FOUND, 'nothing there'))
      })
    }
    const throwing = restrict(implement(Echo, { repeat: () => failing as never }), rules).methods!
    const run = () => throwing.get('/echo.v1.Echo/Repeat')!.run({}, new CallLife({ peer: '' } as never))
    for (const _ of [1, 2])
      await t.rejects(collect(run() as AsyncIterable<unknown>), { message: /^NOT_FOUND/ })
  }
)

t.test('bytes are limited without an audit, too', (t) => {
  const rules: RestrictOptions[] = [
    { sizes: [{ request: { maxBytes: 1 } }] },
    { sizes: [{ request: { maxMessageBytes: 1 } }] },
    { sizes: [{ response: { maxBytes: 1 } }] },
    { sizes: [{ response: { maxMessageBytes: 1 } }] },
    { rates: [{ bytes: 1 }] }
  ]
  const request = Buffer.from(Echo.methods.echo.request.encode({ text: 'long' }).finish())
  for (const options of rules) {
    const { run, descriptor } = restrict(implement(Echo, echo), options).methods!.get('/echo.v1.Echo/Echo')!
    t.throws(() => run(descriptor.request.decode(request), {} as never), { message: /^PERMISSION_DENIED/ })
  }
  const free = restrict(implement(Echo, echo), { methods: { deny: ['sleep'] } }).methods!
  const { descriptor } = free.get('/echo.v1.Echo/Echo')!
  t.equal(descriptor, Echo.methods.echo, 'and are not counted where nobody asks')
  t.end()
})

t.test('a call that grpc-js hands over too late is over', (t) => {
  const records: AuditRecord[] = []
  const { definition } = implement(Echo, {})
  const handlers = { echo: () => t.fail('nobody waits for it') } as unknown as UntypedServiceImplementation
  const restricted = restrict(
    { definition, handlers },
    { rates: [{ concurrent: 1 }], audit: (record) => records.push(record) }
  )
  const call = { request: {}, getDeadline: () => Date.now() - 1, getPeer: () => 'a', once: () => t.fail() }
  for (const _ of [1, 2]) (restricted.handlers['echo'] as unknown as (call: object) => void)(call)
  t.strictSame(
    records.map(({ status }) => status),
    [status.DEADLINE_EXCEEDED, status.DEADLINE_EXCEEDED]
  )
  t.end()
})

t.test('an audit or a logger that throws reaches no call', (t) => {
  const fails = (): never => {
    throw new Error('no')
  }
  const logger = { trace: fails, debug: fails, info: fails, warn: fails, error: fails }
  const { methods } = restrict(oneMethod(), { audit: fails, logger })
  t.doesNotThrow(() => methods!.get('/test.Test/Do')!.run({}, { peer: '' } as never))
  t.end()
})

t.test('fields are looked for where they can be seen', (t) => {
  const paths = [{ methods: ['do'], fields: ['path'] }]
  const decodes = [
    () => ({}),
    () => Object.create(null) as object,
    () => 7,
    () => {
      throw new Error('a field is required')
    }
  ]
  for (const decode of decodes) t.doesNotThrow(() => restrict(oneMethod(decode), { paths }))
  t.throws(
    () =>
      restrict(
        oneMethod(() => new Date()),
        { paths }
      ),
    { message: /paths\[0\].fields is "path"/ }
  )
  t.end()
})

/** A message that no codec reads. */
const unsendable = {
  get text(): string {
    throw new Error('unreadable')
  }
}

/** A service whose one method takes any object. */
function oneMethod(decode: () => unknown = () => ({})): ServiceBinding {
  const codec = { encode: () => ({ finish: () => new Uint8Array() }), decode }
  const path = '/test.Test/Do'
  const descriptor = { path, requestStream: false, responseStream: false, request: codec, response: codec }
  return implement({ typeName: 'test.Test', methods: { do: descriptor } }, { do: () => ({}) })
}

t.test('a bucket gives what has flowed in, up to its size, on a clock that may go back', (t) => {
  let time = 1000
  const take = tokenBucket(10, 100, () => time)
  t.strictSame([take(4), take(7), take(6), take(1)], [true, false, true, false])
  time += 20
  t.strictSame([take(3), take(2), take(1)], [false, true, false])
  time -= 500
  t.equal(take(1), false)
  time += 10
  t.strictSame([take(1), take(1)], [true, false])
  time += 10_000
  t.strictSame([take(11), take(10), take(1)], [false, true, false])
  t.end()
})

t.test('options that cannot be are refused at once', (t) => {
  const binding = implement(Echo, echo)
  const path = { methods: ['echo'], fields: ['text'] }
  const table: [options: unknown, text: RegExp][] = [
    [undefined, /options/],
    [{ rate: [] }, /no option "rate"/],
    [{ methods: {} }, /methods/],
    [{ methods: { allow: ['nothing'] } }, /methods.allow is "nothing"/],
    [{ methods: { allow: ['ECHO'] } }, /ECHO/],
    [{ methods: { deny: 'echo' } }, /methods.deny/],
    [{ methods: { deny: ['echo'], name: '' } }, /methods.name/],
    [{ paths: path }, /paths/],
    [{ paths: [{ ...path, methods: [] }] }, /paths\[0\].methods/],
    [{ paths: [{ fields: ['text'] }] }, /paths\[0\]/],
    [{ sizes: [{ methods: [], request: { maxBytes: 1 } }] }, /sizes\[0\].methods/],
    [{ rates: [{ methods: [], calls: 1 }] }, /rates\[0\].methods/],
    [{ paths: [{ ...path, fields: [] }] }, /paths\[0\]/],
    [{ paths: [{ ...path, fields: ['path'] }] }, /paths\[0\].fields is "path"/],
    [{ paths: [{ ...path, fields: ['text.'] }] }, /fields/],
    [{ paths: [{ ...path, allow: ['/etc/**'] }] }, /paths\[0\].allow is "\/etc/],
    [{ paths: [{ ...path, allow: ['docs/'] }] }, /docs/],
    [{ paths: [{ ...path, deny: ['./a'] }] }, /deny/],
    [{ paths: [{ ...path, deny: ['a/../b'] }] }, /deny/],
    [{ paths: [{ ...path, deny: ['*.{key,pem}'] }] }, /deny is "\*.{key,pem}"/],
    [{ paths: [{ ...path, fields: [[]] }] }, /fields/],
    [{ paths: [{ ...path, fields: [['text', 'path']] }] }, /paths\[0\].fields is "path"/],
    [{ paths: [path, { ...path, denies: [] }] }, /paths\[1\] has no option "denies"/],
    [{ paths: [{ ...path, optional: 1 }] }, /optional/],
    [{ sizes: [{}] }, /sizes\[0\]/],
    [{ sizes: [{ request: { maxByte: 1 } }] }, /sizes\[0\].request has no option "maxByte"/],
    [{ sizes: [{ request: { maxBytes: 0 } }] }, /maxBytes is 0/],
    [{ sizes: [{ response: { maxMessageBytes: 1.5 } }] }, /maxMessageBytes/],
    [{ sizes: [{ response: {} }] }, /sizes\[0\].response/],
    [{ sizes: [{ methods: ['nothing'], request: { maxBytes: 1 } }] }, /sizes\[0\].methods/],
    [{ rates: [{}] }, /rates\[0\]/],
    [{ rates: [{ calls: -1 }] }, /rates\[0\].calls/],
    [{ rates: [{ calls: 1, perMs: 0 }] }, /perMs/],
    [{ rates: [{ calls: 1, perMs: Infinity }] }, /perMs/],
    [{ rates: [{ concurrent: 0.5 }] }, /concurrent/],
    [{ audit: {} }, /audit/],
    [{ caller: 1 }, /caller/],
    [{ logger: {} }, /logger/]
  ]
  for (const [options, message] of table) {
    t.throws(
      () => restrict(binding, options as RestrictOptions),
      { code: 'ERR_CONFIG_INVALID', message },
      JSON.stringify(options)?.slice(0, 80)
    )
  }
  t.end()
})

t.test('a method that the service has and nobody implements may be named', (t) => {
  const binding = implement(Echo, { echo: echo.echo })
  t.doesNotThrow(() => restrict(binding, { methods: { deny: ['sleep'] } }))
  t.end()
})

t.test('the binding stays what it was: background, and lazy', (t) => {
  const untouched = (): never => {
    throw new Error('nobody asked for it')
  }
  const { methods } = implement(Echo, echo)
  const lazy = Object.defineProperties({ typeName: 'echo.v1.Echo', methods, background: true } as never, {
    definition: { get: untouched },
    handlers: { get: untouched }
  }) as ServiceBinding
  const rules = { methods: { deny: ['sleep'] }, paths: [{ methods: ['echo'], fields: ['text'] }] }
  const restricted = restrict(lazy, rules)
  t.equal(restricted.background, true)
  t.equal(restricted.typeName, 'echo.v1.Echo')
  t.strictSame([...restricted.methods!.keys()], [...methods!.keys()])
  const { definition, handlers } = restrict(implement(Echo, echo), rules)
  t.strictSame(
    Object.values(definition).map(({ path }) => path),
    Object.values(Echo.methods).map(({ path }) => path)
  )
  t.strictSame(Object.keys(handlers), Object.keys(definition))
  const [{ requestType }] = Object.values(definition) as unknown as [
    { requestType: { fileDescriptorProtos: unknown[] } }
  ]
  t.strictSame(requestType.fileDescriptorProtos, Echo.fileDescriptors(), 'reflection tells of it as before')
  t.end()
})

t.test('rules on top of rules: both hold, and each has its record', async (t) => {
  for (const wire of wires) {
    const [inner, outer] = [auditor(), auditor()]
    const once = restrict(implement(Echo, echo), { methods: { deny: ['sleep'] }, audit: inner.audit })
    const twice = restrict(once, { methods: { deny: ['fail'] }, audit: outer.audit })
    const client = await connect(t, wire, Echo, twice)
    t.equal((await client.echo({ text: 'a' })).text, 'a')
    t.equal((await collect(client.chat(many(3, { text: 'a' })))).length, 3)
    await refusal(client.sleep({}))
    await refusal(client.fail({}))
    t.strictSame(
      inner.records.map(({ responseBytes }) => responseBytes),
      [3, 13, 0]
    )
    t.strictSame(
      outer.records.map(({ responseBytes }) => responseBytes),
      [3, 13, 0, 0]
    )
    t.strictSame(
      outer.records.map(({ decision }) => decision),
      ['allowed', 'allowed', 'allowed', 'denied']
    )
  }
})

t.test('records in a log: what was denied at warn, the rest at the level asked for', async (t) => {
  const logger = recordingLogger()
  const rules = { methods: { deny: ['sleep'] }, audit: auditTo(logger, 'debug') }
  const client = await connect(t, wires[0]!, Echo, restrict(implement(Echo, echo), rules))
  await client.echo({})
  await refusal(client.sleep({}))
  t.match(logger.records, [
    {
      level: 'debug',
      message: 'call allowed: /echo.v1.Echo/Echo',
      fields: { status: 0, ms: Number, caller: String, time: undefined }
    },
    { level: 'warn', message: 'call denied: /echo.v1.Echo/Sleep', fields: { status: 7, rule: 'methods' } }
  ])
})
