import { getEventListeners, once } from 'node:events'
import { Duplex, duplexPair } from 'node:stream'
import { text as readAll } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import type { ConnInfo, Knock } from '../../lib/broker/control.js'
import { type KnockRoute, type KnockRouteOptions, createKnockRoute } from '../../lib/broker/on-knock.js'
import { PluginError } from '../../lib/errors.js'
import { type Logger, silentLogger } from '../../lib/log.js'
import { createLibp2pMuxer } from '../../lib/mux/libp2p.js'
import { createCertificate, tlsOptions } from '../../lib/security/certificate.js'
import { createPair } from '../helpers/pair.js'
import { type FakeLink, fakeLink } from '../helpers/control-link.js'

// What waits inside a route does not keep a process running, and in memory nothing else does.
const alive = setInterval(() => {}, 1000)
t.teardown(() => clearInterval(alive))

/** A list that can be waited for. */
interface Journal<T> {
  readonly items: readonly T[]
  add(item: T): void
  /** Resolves with the item at `index`, once there. */
  at(index: number): Promise<T>
}

function journal<T>(): Journal<T> {
  const items: T[] = []
  const wakers = new Set<() => void>()
  return {
    items,
    add(item) {
      items.push(item)
      for (const wake of wakers) wake()
    },
    async at(index) {
      while (items.length <= index) {
        await new Promise<void>((resolve) => {
          const wake = (): void => {
            wakers.delete(wake)
            resolve()
          }
          wakers.add(wake)
        })
      }
      return items[index]!
    }
  }
}

const question = (serviceId: number): ConnInfo => ({
  serviceId,
  network: '',
  address: '',
  knock: { knock: true, ack: false, error: '' }
})
const answer = (serviceId: number, knock: Partial<Knock> = {}): ConnInfo => ({
  serviceId,
  network: '',
  address: '',
  knock: { knock: true, ack: true, error: '', ...knock }
})

/** Lets messages be read and promises settle. */
const turn = () => new Promise(setImmediate)

const quiet = <T extends Duplex>(stream: T): T => stream.on('error', () => {})

/** A route whose other side is played by the test, message by message and stream by stream. */
function alone(t: Test, options: Partial<KnockRouteOptions> = {}) {
  const sent = journal<ConnInfo>()
  /** The other side's ends of what the route has opened. */
  const opened = journal<Duplex>()
  const warnings = journal<unknown>()
  /** The order in which things left. */
  const events: string[] = []
  const all: Duplex[] = []
  const pair = (): [Duplex, Duplex] => {
    const [near, far] = duplexPair()
    // A session passes a reset on; a pair does not.
    far.on('close', () => near.destroy())
    near.on('close', () => far.destroy())
    all.push(near, far)
    return [near, quiet(far)]
  }
  const link = fakeLink((info) => {
    const { ack, error } = info.knock!
    events.push(`${ack ? (error === '' ? 'yes' : 'no') : 'knock'} ${info.serviceId}`)
    sent.add(info)
  })
  const logger: Logger = { ...silentLogger, warn: (fields) => warnings.add(fields) }
  const route: KnockRoute = createKnockRoute({
    role: 'host',
    muxer: () => ({
      open() {
        const [near, far] = pair()
        events.push('stream')
        opened.add(far)
        return near
      }
    }),
    link: () => link,
    logger,
    ...options
  })
  t.teardown(() => {
    route.close()
    for (const stream of all) quiet(stream).destroy()
  })
  /** A stream that the other side opens. */
  const arrive = (): Duplex => {
    const [near, far] = pair()
    route.receive(near)
    return far
  }
  return { route, link, sent, opened, warnings, events, arrive }
}

/** A host's and a plugin's route, joined by a session and a link. */
function joined(t: Test, options: Partial<KnockRouteOptions> = {}, plugin: Partial<KnockRouteOptions> = {}) {
  const ends = createPair()
  const links: [FakeLink, FakeLink] = [
    fakeLink((info) => links[1].hear(info)),
    fakeLink((info) => links[0].hear(info))
  ]
  for (const [index, link] of links.entries()) void link.closed.then(() => links[1 - index]?.close())
  const [host, other] = (['host', 'plugin'] as const).map((role, index) => {
    const route: KnockRoute = createKnockRoute({
      role,
      muxer: () => muxer,
      link: () => links[index]!,
      ...options,
      ...(role === 'plugin' ? plugin : {})
    })
    const muxer = createLibp2pMuxer(ends[index]!, {
      role: role === 'host' ? 'client' : 'server',
      onSubstream: (substream) => route.receive(substream)
    })
    t.teardown(async () => {
      route.close()
      muxer.abort(new Error('the test is over'))
      await muxer.closed
    })
    return route
  }) as [KnockRoute, KnockRoute]
  return { host, plugin: other }
}

/** What the other side says. Newer releases of Node leave this side's half open then, until the test is over. */
function text(connection: Duplex): Promise<string> {
  return readAll(quiet(connection))
}

function say(words: string) {
  return (connection: Duplex): void => void quiet(connection).end(words)
}

/** Sends back what it gets, in capitals; speaks first, as gRPC servers do. */
function shout(connection: Duplex): void {
  let words = ''
  quiet(connection).write('> ')
  connection.on('data', (chunk: Buffer) => (words += chunk.toString()))
  connection.on('end', () => connection.end(words.toUpperCase()))
}

const failure = (dialling: Duplex | Promise<Duplex>) =>
  Promise.resolve(dialling).then(
    () => undefined,
    (error: unknown) => error
  )

t.test('a dial reaches the ID that is accepted, both ways', async (t) => {
  const { host, plugin } = joined(t)
  for (const [from, to] of [
    [host, plugin],
    [plugin, host]
  ] as const) {
    const acceptance = to.accept(3, shout)
    await acceptance.ready
    const connection = await from.dial(3)
    connection.end('hello')
    t.equal(await text(connection), '> HELLO')
    t.equal(from.waiting + to.waiting, 0)
  }
})

t.test('a dial before its accept waits for it', async (t) => {
  const { host, plugin } = joined(t)
  const dialling = host.dial(9)
  await turn()
  await turn()
  t.equal(host.waiting, 1)
  t.equal(plugin.waiting, 1)
  plugin.accept(9, say('early'))
  t.equal(plugin.waiting, 0)
  t.equal(await text(await dialling), 'early')
  t.equal(host.waiting, 0)
})

t.test('IDs of the two sides have nothing to do with each other', async (t) => {
  const { host, plugin } = joined(t)
  host.accept(1, say('host'))
  plugin.accept(1, say('plugin'))
  t.equal(await text(await host.dial(1)), 'plugin')
  t.equal(await text(await plugin.dial(1)), 'host')
})

t.test('200 dials at once in each direction each find their own', async (t) => {
  const { host, plugin } = joined(t)
  const ids = Array.from({ length: 200 }, (_, index) => index + 1)
  for (const id of ids.toReversed()) {
    host.accept(id, say(`host ${id}`))
    plugin.accept(id, say(`plugin ${id}`))
  }
  const got = (from: KnockRoute) => Promise.all(ids.map(async (id) => text(await from.dial(id))))
  const [atPlugin, atHost] = await Promise.all([got(host), got(plugin)])
  t.same(
    atPlugin,
    ids.map((id) => `plugin ${id}`)
  )
  t.same(
    atHost,
    ids.map((id) => `host ${id}`)
  )
  t.equal(host.waiting + plugin.waiting, 0)
})

t.test('one accepted ID takes any number of connections, until it is closed', async (t) => {
  const { host, plugin } = joined(t, { acceptTimeoutMs: 20 })
  const acceptance = plugin.accept(5, say('again'))
  const words = await Promise.all([5, 5, 5].map(async (id) => text(await host.dial(id))))
  t.same(words, ['again', 'again', 'again'])
  t.equal(await text(await host.dial(5)), 'again')
  acceptance.close()
  t.match(await failure(host.dial(5)), { code: /^ERR_BROKER_(?:TIMEOUT|REFUSED)$/, id: 5 })
  const second = plugin.accept(5, say('second'))
  acceptance.close()
  t.throws(() => plugin.accept(5, shout), { code: 'ERR_BROKER_ID_TAKEN', id: 5 }, 'closed once only')
  t.equal(await text(await host.dial(5)), 'second')
  second.close()
})

t.test('the main server is dialled without a knock, before the link is there', async (t) => {
  const { host, plugin } = joined(t)
  const early = host.dial(0)
  t.ok(early instanceof Duplex, 'at once')
  const first = text(await early)
  plugin.accept(0, say('main'))
  t.throws(() => plugin.accept(0, shout), { code: 'ERR_BROKER_ID_TAKEN' })
  t.equal(await first, 'main')
  plugin.accept(1, say('one'))
  const [one, main] = await Promise.all([host.dial(1), host.dial(0)])
  t.equal(await text(one), 'one')
  t.equal(await text(main), 'main')
})

t.test('only plugins have a main server', async (t) => {
  const { host, plugin } = joined(t)
  t.throws(() => host.accept(0, shout), { code: 'ERR_BROKER_REFUSED', id: 0, hint: /nextId/ })
  t.match(await failure(plugin.dial(0)), { code: 'ERR_BROKER_REFUSED', id: 0, hint: /nextId/ })
})

t.test('streams for a main server that is not accepted are bounded, in number and in time', async (t) => {
  const { route, arrive, warnings } = alone(t, { role: 'plugin', maxWaitingDials: 2, acceptTimeoutMs: 20 })
  const streams = [arrive(), arrive()]
  t.equal(route.waiting, 2)
  const third = arrive()
  await once(third, 'close')
  t.equal(route.waiting, 2)
  await Promise.all(streams.map((stream) => once(stream, 'close')))
  t.equal(route.waiting, 0)
  t.same(warnings.items, [
    { brokerId: 0, refusal: 'busy' },
    { brokerId: 0, refusal: 'timeout' },
    { brokerId: 0, refusal: 'timeout' }
  ])
})

t.test('no time limit is no limit', async (t) => {
  const { route, arrive, opened, link, sent } = alone(t, { role: 'plugin', acceptTimeoutMs: Infinity })
  const stream = arrive()
  const dialling = route.dial(1)
  await sent.at(0)
  // A timer that overflows fires after 1 ms.
  await new Promise((resolve) => setTimeout(resolve, 10))
  t.equal(route.waiting, 2)
  route.accept(0, say('main'))
  t.equal(await text(stream), 'main')
  link.hear(answer(1))
  ;(await opened.at(0)).end('one')
  t.equal(await text(await dialling), 'one')
})

t.test('numbers that are no broker IDs are refused before anything is sent', async (t) => {
  const { route, events } = alone(t)
  for (const id of [-1, 1.5, Number.NaN, 2 ** 32]) {
    t.match(await failure(route.dial(id)), { code: 'ERR_CONFIG_INVALID' })
    t.throws(() => route.accept(id, shout), { code: 'ERR_CONFIG_INVALID' })
  }
  await turn()
  t.same(events, [])
})

t.test('with TLS every connection is mutual TLS, the main one too', async (t) => {
  const [a, b, c] = await Promise.all([1, 2, 3].map(() => createCertificate({ curve: 'P-256' })))
  const { host, plugin } = joined(
    t,
    { tls: tlsOptions(a!, b!.certDer), acceptTimeoutMs: 2000 },
    { tls: tlsOptions(b!, a!.certDer) }
  )
  plugin.accept(0, say('main'))
  t.equal(await text(await host.dial(0)), 'main')
  for (const [from, to] of [
    [host, plugin],
    [plugin, host]
  ] as const) {
    const protocols: unknown[] = []
    to.accept(4, (connection) => {
      protocols.push((connection as { alpnProtocol?: unknown }).alpnProtocol)
      shout(connection)
    })
    const connection = await from.dial(4)
    connection.end('hello')
    t.equal(await text(connection), '> HELLO')
    t.same(protocols, ['h2'], 'after the handshake')
  }

  const { host: stranger, plugin: guarded } = joined(
    t,
    { tls: tlsOptions(c!, b!.certDer) },
    { tls: tlsOptions(b!, a!.certDer) }
  )
  guarded.accept(1, () => t.fail('a stranger came in'))
  const connection = quiet(await stranger.dial(1))
  // Not once(): that rejects with the error, which comes first.
  await new Promise((resolve) => connection.resume().once('close', resolve))
})

t.test('a dialler knocks, and opens its stream only when the answer is yes', async (t) => {
  const { route, link, sent, events, opened } = alone(t)
  const dialling = route.dial(7)
  t.same(await sent.at(0), question(7))
  await turn()
  t.same(events, ['knock 7'])
  link.hear(answer(7))
  ;(await opened.at(0)).end('hello')
  t.equal(await text(await dialling), 'hello')
  t.same(events, ['knock 7', 'stream'])
})

t.test('the next knock leaves once the last stream was taken', async (t) => {
  const { route, link, sent, events, opened } = alone(t)
  const dials = [1, 2, 3, 4].map((id) => route.dial(id))
  t.equal(route.waiting, 4)
  await sent.at(0)
  link.hear(answer(1))
  const first = await opened.at(0)
  await dials[0]
  await turn()
  t.same(events, ['knock 1', 'stream'], 'not when it is only open')
  first.write('x')
  await turn()
  t.equal(sent.items.length, 2, 'but with its first byte')
  link.hear(answer(2))
  const second = await opened.at(1)
  await turn()
  t.equal(sent.items.length, 2)
  second.destroy()
  await turn()
  t.equal(sent.items.length, 3, 'or with its end')
  link.hear(answer(3))
  await opened.at(2)
  // Neither a byte nor an end: in a second.
  await sent.at(3)
  t.same(events, ['knock 1', 'stream', 'knock 2', 'stream', 'knock 3', 'stream', 'knock 4'])
  const connection = await dials[0]
  t.equal(String((await once(connection!, 'data'))[0]), 'x', 'and the byte is still there')
  link.hear(answer(4, { error: 'enough' }))
  t.match(await failure(dials[3]!), { code: 'ERR_BROKER_REFUSED' })
})

t.test('a knock without an answer holds up the others for a moment only', async (t) => {
  const { route, link, sent, events, opened } = alone(t)
  const [slow, quick, third] = [route.dial(1), route.dial(2), route.dial(3)]
  await sent.at(0)
  await turn()
  t.same(events, ['knock 1'])
  await sent.at(1)
  link.hear(answer(2))
  link.hear(answer(1))
  // The order of the answers is the order of the grants, so it has to be that of the streams.
  const streams = [await opened.at(0), await opened.at(1)]
  t.same(events, ['knock 1', 'knock 2', 'stream', 'stream'])
  streams[0]!.end('for 2')
  t.equal(await text(await quick), 'for 2')
  await turn()
  t.equal(sent.items.length, 2, 'the stream for 1 was not taken yet')
  streams[1]!.end('for 1')
  t.equal(await text(await slow), 'for 1')
  await sent.at(2)
  link.hear(answer(3, { error: 'no' }))
  await failure(third)
})

t.test('one knock for an ID at a time', async (t) => {
  const { route, link, sent, events, opened } = alone(t)
  const dials = [1, 1, 2].map((id) => route.dial(id))
  await sent.at(1)
  t.same(events, ['knock 1', 'knock 2'], 'although the first is not answered')
  link.hear(answer(1))
  ;(await opened.at(0)).end('a')
  t.equal(await text(await dials[0]!), 'a')
  await sent.at(2)
  t.same(events, ['knock 1', 'knock 2', 'stream', 'knock 1'])
  link.hear(answer(1, { error: 'no' }))
  link.hear(answer(2, { error: 'no' }))
  await Promise.all(dials.map(failure))
})

t.test(
  'a dial that is not answered fails in time; a late yes still gets its stream, and no other',
  async (t) => {
    const { route, link, sent, events, opened, warnings } = alone(t, { acceptTimeoutMs: 20 })
    t.match(await failure(route.dial(9)), {
      code: 'ERR_BROKER_TIMEOUT',
      id: 9,
      message: /20 ms/,
      hint: /ID 9/
    })
    t.equal(route.waiting, 0)
    link.hear(answer(9))
    const stale = await opened.at(0)
    await once(stale.resume(), 'end')
    const dialling = route.dial(2)
    await turn()
    t.equal(sent.items.length, 1, 'and taken before the next knock')
    stale.end()
    await sent.at(1)
    link.hear(answer(9))
    link.hear(answer(2))
    ;(await opened.at(1)).end('two')
    t.equal(await text(await dialling), 'two')
    t.same(events, ['knock 9', 'stream', 'knock 2', 'stream'])
    t.same(warnings.items, [{ brokerId: 9 }], 'a second yes is one too many')
  }
)

t.test('a stream that nobody wants is cut when the other side does not end it', async (t) => {
  const { route, link, opened } = alone(t, { acceptTimeoutMs: 20 })
  await failure(route.dial(9))
  link.hear(answer(9))
  await once((await opened.at(0)).resume(), 'close')
  t.pass()
})

t.test('a no fails the dial with what the other side says, quoted and bounded', async (t) => {
  const { route, link, sent, events } = alone(t)
  const dialling = route.dial(6)
  await sent.at(0)
  link.hear(answer(6, { error: `no listener\n${'x'.repeat(10_000)}` }))
  const error = await failure(dialling)
  t.match(error, { code: 'ERR_BROKER_REFUSED', id: 6, message: /"no listener\\nx+\.\.\."/, hint: /ID 6/ })
  t.ok((error as Error).message.length < 400)
  t.same(events, ['knock 6'])
  t.equal(route.waiting, 0)
})

t.test('an answer that is neither yes nor no fails the dial', async (t) => {
  const { route, link, sent, events, opened } = alone(t)
  for (const [index, flags] of [
    { knock: false, ack: true },
    { knock: false, ack: false }
  ].entries()) {
    const dialling = route.dial(6)
    await sent.at(index)
    link.hear(answer(6, flags))
    t.match(await failure(dialling), { code: 'ERR_BROKER_REFUSED', id: 6, message: /no sense/ })
  }
  t.same(events, ['knock 6', 'knock 6'])
  link.hear(answer(6))
  await opened.at(0)
})

t.test('messages that make no sense are passed over with a warning', async (t) => {
  const { route, link, sent, events, opened, warnings } = alone(t)
  const dialling = route.dial(1)
  await sent.at(0)
  link.hear({ serviceId: 1, network: 'unix', address: '/a' })
  link.hear({ serviceId: 1, network: '', address: '', knock: null })
  link.hear(answer(2))
  link.hear(answer(2, { error: 'no' }))
  link.hear(answer(2, { knock: false }))
  link.hear(answer(2, { knock: false, ack: false }))
  await warnings.at(5)
  t.same(events, ['knock 1'])
  link.hear(answer(1))
  ;(await opened.at(0)).end('one')
  t.equal(await text(await dialling), 'one')
})

t.test('a signal ends a dial that waits its turn, which then never knocks', async (t) => {
  const { route, link, sent, events, opened } = alone(t)
  const reason = new Error('enough')
  const controller = new AbortController()
  const first = route.dial(1)
  const second = route.dial(2, controller.signal)
  const third = route.dial(3)
  controller.abort(reason)
  t.equal(await failure(second), reason)
  t.equal(route.waiting, 2)
  t.equal(await failure(route.dial(4, controller.signal)), reason)
  link.hear(answer(1))
  ;(await opened.at(0)).end()
  await first
  await sent.at(1)
  t.same(events, ['knock 1', 'stream', 'knock 3'])
  link.hear(answer(3, { error: 'no' }))
  await failure(third)
})

t.test(
  'a signal ends a dial that has knocked; the next one goes on, a late yes gets its stream',
  async (t) => {
    const { route, link, sent, events, opened } = alone(t)
    const reason = new Error('enough')
    const controller = new AbortController()
    const dialling = route.dial(1, controller.signal)
    const other = route.dial(2)
    await sent.at(0)
    controller.abort(reason)
    t.equal(await failure(dialling), reason)
    await sent.at(1)
    link.hear(answer(1))
    link.hear(answer(2))
    t.equal(await text(await opened.at(0)), '')
    ;(await opened.at(1)).end('two')
    t.equal(await text(await other), 'two')
    t.same(events, ['knock 1', 'knock 2', 'stream', 'stream'])
  }
)

t.test('a signal has no effect once the connection is there', async (t) => {
  const { route, link, sent, opened } = alone(t)
  const controller = new AbortController()
  const dialling = route.dial(1, controller.signal)
  await sent.at(0)
  link.hear(answer(1))
  const far = await opened.at(0)
  t.same(getEventListeners(controller.signal, 'abort'), [])
  controller.abort()
  far.end('one')
  t.equal(await text(await dialling), 'one')
})

t.test('a knock that has not left is taken back, and then nothing is owed', async (t) => {
  const { route, link, events, warnings } = alone(t)
  link.hold()
  const controller = new AbortController()
  const dialling = route.dial(1, controller.signal)
  await turn()
  controller.abort()
  t.match(await failure(dialling), { name: 'AbortError' })
  await turn()
  link.open()
  link.hear(answer(1))
  t.same(await warnings.at(0), { brokerId: 1 })
  t.same(events, [])
})

t.test('a late no belongs to the knock that was given up', async (t) => {
  const { route, link, sent, opened } = alone(t)
  const controller = new AbortController()
  const first = route.dial(1, controller.signal)
  await sent.at(0)
  controller.abort()
  await failure(first)
  const second = route.dial(1)
  await sent.at(1)
  link.hear(answer(1, { error: 'not accepted in time' }))
  link.hear(answer(1))
  ;(await opened.at(0)).end('one')
  t.equal(await text(await second), 'one')
})

t.test('each knock that was given up gets the stream that it is granted', async (t) => {
  const { route, link, sent, opened, warnings } = alone(t)
  for (let count = 0; count < 2; count++) {
    const controller = new AbortController()
    const dialling = failure(route.dial(1, controller.signal))
    await sent.at(count)
    controller.abort()
    await dialling
  }
  for (let count = 0; count < 3; count++) link.hear(answer(1))
  t.same(await warnings.at(0), { brokerId: 1 })
  t.equal(opened.items.length, 2)
})

t.test('the knocks given up that are remembered are bounded', async (t) => {
  const { route, link, sent, opened, warnings } = alone(t)
  for (let id = 1; id <= 1025; id++) {
    const controller = new AbortController()
    const dialling = failure(route.dial(id, controller.signal))
    await sent.at(id - 1)
    controller.abort()
    await dialling
  }
  link.hear(answer(1))
  link.hear(answer(2))
  await opened.at(0)
  t.same(warnings.items, [{ brokerId: 1 }])
  t.equal(opened.items.length, 1)
})

t.test('the dials that wait are bounded', async (t) => {
  const { route, link, sent, opened } = alone(t, { maxWaitingDials: 2 })
  const dials = [route.dial(1), route.dial(2)]
  t.match(await failure(route.dial(3)), { code: 'ERR_BROKER_REFUSED', id: 3, message: /too many/ })
  await sent.at(0)
  link.hear(answer(1))
  ;(await opened.at(0)).end()
  await dials[0]
  await sent.at(1)
  link.hear(answer(2, { error: 'no' }))
  await failure(dials[1]!)
})

t.test(
  'a granted stream that cannot be opened fails its dial, and is made up for before the next',
  async (t) => {
    let full: Error | undefined = new PluginError('ERR_SESSION_LIMIT', 'full')
    const streams = journal<Duplex>()
    const { route, link, sent } = alone(t, {
      muxer: () => ({
        open() {
          if (full !== undefined) throw full
          const [near, far] = duplexPair()
          streams.add(quiet(far))
          return near
        }
      })
    })
    const dialling = route.dial(1)
    await sent.at(0)
    link.hear(answer(1))
    t.equal(await failure(dialling), full)
    t.equal(await failure(route.dial(2)), full, 'no knock for what cannot be opened')
    t.equal(sent.items.length, 1)
    full = undefined
    const next = route.dial(3)
    const owed = await streams.at(0)
    await once(owed.resume(), 'end')
    t.equal(sent.items.length, 1)
    owed.end()
    await sent.at(1)
    link.hear(answer(3))
    ;(await streams.at(1)).end('three')
    t.equal(await text(await next), 'three')
  }
)

t.test('a dial of the main server does not cross a knock', async (t) => {
  const { route, link, sent, events, opened } = alone(t)
  const dialling = route.dial(1)
  await sent.at(0)
  const main = route.dial(0)
  t.ok(main instanceof Promise)
  await turn()
  t.same(events, ['knock 1'])
  link.hear(answer(1))
  ;(await opened.at(0)).end('one')
  ;(await opened.at(1)).end('main')
  t.equal(await text(await dialling), 'one')
  t.equal(await text(await main), 'main')
  const controller = new AbortController()
  const other = route.dial(2)
  await sent.at(1)
  const aborted = failure(route.dial(0, controller.signal))
  controller.abort()
  t.match(await aborted, { name: 'AbortError' })
  link.hear(answer(2, { error: 'no' }))
  await failure(other)
  t.same(events, ['knock 1', 'stream', 'stream', 'knock 2'])
})

t.test('streams are announced in the order of the answers, also where TLS writes at once', async (t) => {
  const [own, peer] = await Promise.all([1, 2].map(() => createCertificate({ curve: 'P-256' })))
  const announced = journal<number>()
  let opened = 0
  const { route, link, sent } = alone(t, {
    tls: tlsOptions(own!, peer!.certDer),
    muxer: () => ({
      open() {
        const index = opened++
        // As the engines do: in a microtask, or with the first bytes.
        const announce = (): void => {
          if (!announced.items.includes(index)) announced.add(index)
        }
        queueMicrotask(announce)
        return new Duplex({
          read() {},
          write(_chunk, _encoding, callback) {
            announce()
            callback()
          }
        })
      }
    })
  })
  const one = route.dial(1)
  await sent.at(0)
  const main = route.dial(0)
  link.hear(answer(1))
  for (const connection of [await one, await main]) quiet(connection).destroy()
  t.same(announced.items, [0, 1])
})

t.test('an acceptor is ready for the stream before it answers', async (t) => {
  const accepted: string[] = []
  const link = fakeLink((info) => {
    t.same(info, answer(7))
    // The stream may be there before `send` has returned.
    const [near] = duplexPair()
    route.receive(near)
    accepted.push('sent')
  })
  const route = createKnockRoute({
    role: 'host',
    muxer: () => ({ open: () => new Duplex() }),
    link: () => link
  })
  t.teardown(() => route.close())
  route.accept(7, (connection) => {
    accepted.push('stream')
    t.equal(connection.listenerCount('error'), 0, 'whose failures are from now on those of the listener')
  })
  link.hear(question(7))
  await turn()
  t.same(accepted, ['stream', 'sent'])
})

t.test('streams go to the IDs in the order of their knocks, each to one', async (t) => {
  const { route, link, sent, arrive, warnings } = alone(t)
  for (const id of [1, 2, 3]) route.accept(id, say(`id ${id}`))
  for (const id of [2, 1, 1, 3]) link.hear(question(id))
  await sent.at(3)
  const words = await Promise.all([1, 2, 3, 4].map(() => text(arrive())))
  t.same(words, ['id 2', 'id 1', 'id 1', 'id 3'])
  const unannounced = arrive()
  t.equal(route.waiting, 0)
  await once(unannounced, 'close')
  t.equal(warnings.items.length, 1, 'a host has no main server')
})

t.test('in a plugin a stream without a knock is for the main server', async (t) => {
  const { route, link, sent, arrive } = alone(t, { role: 'plugin' })
  route.accept(0, say('main'))
  route.accept(1, say('one'))
  t.equal(await text(arrive()), 'main')
  link.hear(question(1))
  await sent.at(0)
  t.equal(await text(arrive()), 'one')
  t.equal(await text(arrive()), 'main')
})

t.test('a knock that nobody accepts is answered with no, in time', async (t) => {
  const { route, link, sent } = alone(t, { acceptTimeoutMs: 20 })
  link.hear(question(1))
  t.match(await sent.at(0), answer(1, { error: 'not accepted within 20 ms' }))
  t.equal(route.waiting, 0)
  route.accept(1, shout)
  await turn()
  t.equal(sent.items.length, 1, 'and not with yes afterwards')
})

t.test('a knock waits for less than the 5 s of go-plugin, whatever the limit here', async (t) => {
  const { link, sent } = alone(t, { acceptTimeoutMs: 60_000 })
  link.hear(question(1))
  t.match(await sent.at(0), answer(1, { error: 'not accepted within 4500 ms' }))
})

t.test('the knocks that wait are bounded: one more is answered with no at once', async (t) => {
  const { route, link, sent } = alone(t, { maxWaitingDials: 2 })
  for (const id of [1, 1, 2]) link.hear(question(id))
  t.same(await sent.at(0), answer(2, { error: 'too many dials wait for an accept' }))
  t.equal(route.waiting, 2)
  route.accept(1, shout)
  await sent.at(2)
  t.same(sent.items.slice(1), [answer(1), answer(1)])
})

t.test('the stream for an ID closed meanwhile is reset; the others are not shifted', async (t) => {
  const { route, link, sent, arrive } = alone(t, { role: 'plugin' })
  route.accept(0, () => t.fail('not for the main server'))
  const acceptance = route.accept(1, () => t.fail('closed'))
  route.accept(2, say('two'))
  link.hear(question(1))
  link.hear(question(2))
  await sent.at(1)
  acceptance.close()
  const [first, second] = [arrive(), arrive()]
  await once(first, 'close')
  t.equal(await text(second), 'two')
})

t.test('a stream that does not come is forgotten and shifts no other', async (t) => {
  const { route, link, sent, arrive, warnings } = alone(t, { acceptTimeoutMs: 20 })
  route.accept(1, () => t.fail('it was forgotten'))
  route.accept(2, say('two'))
  link.hear(question(1))
  t.same(await warnings.at(0), { brokerId: 1, ms: 20 })
  link.hear(question(2))
  await sent.at(1)
  t.equal(await text(arrive()), 'two')
})

t.test('an answer that cannot be sent grants nothing', async (t) => {
  const refusal = new Error('too many messages')
  let broken = true
  const sent = journal<ConnInfo>()
  const link = fakeLink((info) => {
    sent.add(info)
    if (broken) throw refusal
  })
  const { route, arrive } = alone(t, { link: () => link })
  route.accept(1, () => t.fail('not granted'))
  route.accept(2, say('two'))
  link.hear(question(1))
  await sent.at(0)
  await turn()
  t.equal(await failure(route.dial(5)), refusal, 'nor does a knock that cannot be sent')
  broken = false
  link.hear(question(2))
  await sent.at(2)
  t.equal(await text(arrive()), 'two')
})

t.test('the streams awaited are bounded', async (t) => {
  const { route, link, sent } = alone(t)
  route.accept(1, shout)
  for (let count = 0; count < 257; count++) link.hear(question(1))
  t.same(await sent.at(256), answer(1, { error: 'too many streams are awaited' }))
  t.ok(sent.items.slice(0, 256).every(({ knock }) => knock?.error === ''))
})

t.test('closing ends what waits, and the link; connections stay', async (t) => {
  const { route, link, sent, opened, arrive, warnings } = alone(t, { role: 'plugin' })
  route.accept(1, () => t.fail('closed'))
  const connected = route.dial(1)
  await sent.at(0)
  link.hear(answer(1))
  const far = await opened.at(0)
  const connection = await connected
  far.write('a')
  const waiting = [route.dial(2), route.dial(3)].map(failure)
  link.hear(question(1))
  link.hear(question(4))
  const early = turn()
  await early
  t.equal(route.waiting, 3)
  route.close()
  route.close()
  for (const [index, error] of (await Promise.all(waiting)).entries()) {
    t.match(error, { code: 'ERR_BROKER_CLOSED', id: index + 2 })
  }
  t.equal(route.waiting, 0)
  await turn()
  t.ok(link.isClosed)
  t.match(await failure(route.dial(1)), { code: 'ERR_BROKER_CLOSED' })
  t.throws(() => route.accept(1, shout), { code: 'ERR_BROKER_CLOSED' })
  t.throws(() => route.accept(0, shout), { code: 'ERR_BROKER_CLOSED' })
  await once(arrive(), 'close')
  t.same(warnings.items, [])
  far.end('b')
  t.equal(await text(connection), 'ab')

  const host = alone(t)
  await turn()
  host.link.hear(question(9))
  host.route.close()
  await turn()
  t.equal(host.route.waiting, 0, 'what was on its way is not heard')
  t.throws(() => host.route.dial(0), { code: 'ERR_BROKER_CLOSED' })
})

t.test('the loss of the link is the cause of what fails by it; the main server stays in reach', async (t) => {
  const { route, link, opened } = alone(t)
  const waiting = [route.dial(2), route.dial(3)].map(failure)
  await turn()
  const cause = new Error('the plugin died')
  link.lose(cause)
  const [a, b] = await Promise.all(waiting)
  t.match(a, { code: 'ERR_BROKER_CLOSED', id: 2, cause })
  t.match(b, { code: 'ERR_BROKER_CLOSED', id: 3, cause })
  t.match(await failure(route.dial(4)), { code: 'ERR_BROKER_CLOSED', cause })
  t.throws(() => route.accept(4, shout), { code: 'ERR_BROKER_CLOSED', cause })
  const main = route.dial(0)
  ;(await opened.at(0)).end('main')
  t.equal(await text(await main), 'main')
})

t.test('a link that cannot be had is lost', async (t) => {
  const cause = new Error('no link')
  const { route } = alone(t, {
    link: () => {
      throw cause
    }
  })
  t.match(await failure(route.dial(1)), { code: 'ERR_BROKER_CLOSED', id: 1, cause })
})

t.test('a dial that is given up costs the others nothing, between two routes', async (t) => {
  const { host, plugin } = joined(t)
  for (const [from, to] of [
    [host, plugin],
    [plugin, host]
  ] as const) {
    const controller = new AbortController()
    const dialling = failure(from.dial(1, controller.signal))
    await turn()
    await turn()
    controller.abort()
    await dialling
    const came: Duplex[] = []
    to.accept(1, (connection) => {
      came.push(connection)
      say('one')(connection)
    })
    to.accept(2, say('two'))
    t.equal(await text(await from.dial(2)), 'two')
    t.equal(await text(await from.dial(1)), 'one')
    t.equal(came.length, 2, 'the one given up had its stream')
  }
})
