import '../helpers/plain-children.js'
import t, { type Test } from 'tap'
import {
  type Broker,
  type CallContext,
  type Client,
  type ServiceImplementation,
  Metadata,
  attach,
  callError,
  implement,
  serveTest,
  status
} from 'muxplug'
import { Chorus } from '#proto/chorus/v1/chorus.js'
import { Echo } from '#proto/echo/v1/echo.js'
import { Neighbours } from '#proto/neighbours/v1/neighbours.js'
import { createNeighbours } from '../../plugins/relay/neighbours.js'
import { createRelay } from '../../plugins/relay/relay.js'
import { checkPage, failureOf, launchExample } from '../helpers/example.js'

const handshake = { cookieKey: 'TEST_PLUGIN', cookieValue: 'test' }

t.test('the page', (t) => checkPage(t, 'relay'))

/** A plugin in this process, and what its host sees of it. */
async function pair(t: Test, implementation: Partial<ServiceImplementation<typeof Echo>> = {}) {
  let broker: Broker | undefined
  const plugin = await serveTest({
    handshake,
    services: (own) => {
      broker = own
      return [implement(Echo, implementation)]
    }
  })
  const host = await attach(plugin.reattachConfig, { name: 'echo' })
  t.teardown(async () => {
    await host.close()
    await plugin.stop()
  })
  return { plugin, host, broker: broker! }
}

/** A client in one plugin of the Echo that another one implements, with a host between them. */
async function relayed(
  t: Test,
  implementation: Partial<ServiceImplementation<typeof Echo>>
): Promise<Client<typeof Echo>> {
  const caller = await pair(t)
  const called = await pair(t, implementation)
  const { broker } = caller.host
  const served = broker.accept(broker.nextId(), [createRelay(Echo, called.host, 'caller')])
  return caller.broker.dial(served.id).dispense(Echo)
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const item of items) found.push(item)
  return found
}

t.test('calls of every kind, with metadata both ways', async (t) => {
  const seen: unknown[] = []
  const answer = ({ metadata, sendHeader, trailer }: CallContext): void => {
    seen.push(metadata.get('calling-plugin'), metadata.get('note'), metadata.get('raw-bin'))
    sendHeader({ begins: 'yes' })
    trailer.set('ends', 'yes')
  }
  const echo = await relayed(t, {
    echo: ({ text }, context) => (answer(context), { text }),
    async *repeat({ text }, context) {
      answer(context)
      yield { text }
      yield { text }
    },
    collect: async (requests, context) => (answer(context), { count: (await all(requests)).length }),
    async *chat(requests, context) {
      answer(context)
      for await (const { text } of requests) yield { text }
    }
  })
  const calls = {
    echo: async (options: object) => [await echo.echo({ text: 'a' }, options)],
    repeat: (options: object) => all(echo.repeat({ text: 'a' }, options)),
    collect: async (options: object) => [await echo.collect([{}, {}], options)],
    chat: (options: object) => all(echo.chat([{ text: 'a' }, { text: 'b' }], options))
  }
  const answers: unknown[] = []
  for (const call of Object.values(calls)) {
    const metadata = new Metadata()
    metadata.set('note', 'one')
    metadata.set('raw-bin', Buffer.from([0, 255]))
    metadata.set('calling-plugin', 'another')
    let header: unknown
    let trailer: unknown
    answers.push(
      await call({
        metadata,
        onHeader: (received: Metadata) => (header = received.get('begins')),
        onTrailer: (received: Metadata) => (trailer = received.get('ends'))
      })
    )
    t.same(seen.splice(0), [['caller'], ['one'], [Buffer.from([0, 255])]])
    t.same([header, trailer], [['yes'], ['yes']])
  }
  t.match(answers, [
    [{ text: 'a' }],
    [{ text: 'a' }, { text: 'a' }],
    [{ count: 2 }],
    [{ text: 'a' }, { text: 'b' }]
  ])
})

t.test('errors come with status, details and trailers, each of them once', async (t) => {
  const metadata = new Metadata()
  metadata.set('reason', 'closed')
  const fail = (): never => {
    throw callError(status.FAILED_PRECONDITION, 'not today', { metadata })
  }
  const echo = await relayed(t, {
    fail,
    async *repeat() {
      yield { text: 'first' }
      fail()
    }
  })
  const expected = { code: 'ERR_CALL_FAILED', status: status.FAILED_PRECONDITION, details: 'not today' }
  for (const call of [() => echo.fail({}), () => all(echo.repeat({}))]) {
    const error = await failureOf(call())
    t.match(error, expected)
    t.same((error.metadata as Metadata).get('reason'), ['closed'])
  }
  t.match(await failureOf(echo.sleep({})), { status: status.UNIMPLEMENTED })
})

t.test(
  'the deadline is that of the caller, and a call that is cancelled is cancelled for both',
  async (t) => {
    const begun: CallContext[] = []
    const ended: Promise<void>[] = []
    let told = (): void => {}
    const wait = async (_request: unknown, context: CallContext): Promise<never> => {
      begun.push(context)
      const over = new Promise<void>((resolve) => context.signal.addEventListener('abort', () => resolve()))
      ended.push(over)
      told()
      await over
      throw context.signal.reason
    }
    const echo = await relayed(t, {
      sleep: wait,
      async *repeat(request, context) {
        yield { text: 'first' }
        await wait(request, context)
      }
    })

    const deadline = Date.now() + 500
    t.match(await failureOf(echo.sleep({}, { deadline })), { status: status.DEADLINE_EXCEEDED })
    await ended[0]
    t.not(begun[0]?.deadline, Infinity)

    const controller = new AbortController()
    const reached = new Promise<void>((resolve) => (told = resolve))
    const call = echo.sleep({}, { signal: controller.signal })
    await reached
    controller.abort(new Error('enough'))
    await t.rejects(call, new Error('enough'))
    await ended[1]
    t.equal(begun[1]!.deadline, Infinity)

    for await (const { text } of echo.repeat({})) {
      t.equal(text, 'first')
      break
    }
    while (ended.length < 3) await new Promise<void>((resolve) => (told = resolve))
    await ended[2]
  }
)

t.test('a plugin reaches what it may call of its neighbours, and nothing else', async (t) => {
  const caller = await pair(t)
  const [one, other] = [await launchExample(t, 'echo', { name: 'one' }), await pair(t)]
  const allowed = [{ plugin: one, services: [Echo] }]
  const { id } = caller.host.broker.serve(Neighbours, createNeighbours(caller.host, allowed))
  const neighbours = caller.broker.dial(id).dispense(Neighbours)
  const found = await neighbours.find({ plugin: 'one', service: Echo.typeName })
  t.same(
    await neighbours.find({ plugin: 'one', service: Echo.typeName }),
    found,
    'one ID, asked once or twice'
  )
  t.match(await caller.broker.dial(found.id).dispense(Echo).echo({ text: 'a' }), { text: 'a' })
  for (const wanted of [
    { plugin: 'one', service: 'grpc.health.v1.Health' },
    { plugin: other.host.name, service: Echo.typeName }
  ]) {
    t.match(await failureOf(neighbours.find(wanted)), { status: status.NOT_FOUND }, wanted.service)
  }
})

const gone = { code: 'ERR_CALL_FAILED', status: status.UNAVAILABLE, details: 'plugin echo is gone' }

t.test('when the other plugin dies, calls in flight fail and say so', async (t) => {
  const called = await launchExample(t, 'echo')
  const caller = await pair(t)
  const { broker } = caller.host
  const served = broker.accept(broker.nextId(), [createRelay(Echo, called, 'caller')])
  const echo = caller.broker.dial(served.id).dispense(Echo)
  const endless = echo.repeat({ text: 'la', count: 2 ** 32 - 1 })[Symbol.asyncIterator]()
  t.match(await endless.next(), { value: { text: 'la' } })
  const sleeping = failureOf(echo.sleep({ ms: 60_000 }))
  process.kill(called.pid, 'SIGKILL')
  t.match(await sleeping, gone)
  const listen = async (): Promise<never> => {
    // What had left before it died comes first.
    for (;;) await endless.next()
  }
  t.match(await failureOf(listen()), gone)
})

t.test('when the calling plugin dies, its calls are cancelled on the other one', async (t) => {
  let began = (_signal: AbortSignal): void => {}
  const reached = new Promise<AbortSignal>((resolve) => (began = resolve))
  const called = await pair(t, {
    async *repeat(_request, { signal }) {
      began(signal)
      for (;;) yield { text: 'la' }
    }
  })
  const relay = await launchExample(t, 'relay')
  const allowed = [{ plugin: called.host, services: [Echo] }]
  const neighbours = relay.broker.serve(Neighbours, createNeighbours(relay, allowed)).id
  const song = failureOf(relay.dispense(Chorus).sing({ neighbours, text: 'la', times: 1 }))
  const signal = await reached
  const cancelled = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
  process.kill(relay.pid, 'SIGKILL')
  await cancelled
  t.match(signal.reason, { status: status.CANCELLED })
  t.match(await song, { code: 'ERR_PROCESS_EXITED' })
})

for (const transport of ['stream', 'socket', 'socket-mux'] as const) {
  t.test(
    `${transport}: when the other plugin dies, calls fail and say so, and the caller lives`,
    async (t) => {
      const echo = await launchExample(t, 'echo', { transport })
      const relay = await launchExample(t, 'relay', { transport })
      const allowed = [{ plugin: echo, services: [Echo] }]
      const neighbours = relay.broker.serve(Neighbours, createNeighbours(relay, allowed)).id
      const { sing } = relay.dispense(Chorus)
      t.same(await sing({ neighbours, text: 'la', times: 2 }), { lines: ['la', 'la'] })

      process.kill(echo.pid, 'SIGKILL')
      t.match(await failureOf(sing({ neighbours, text: 'la', times: 1 })), gone)
      await t.resolves(relay.ping())
    }
  )
}
