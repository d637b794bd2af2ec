import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import { buffer, text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import type { BrokerOptions } from '../../lib/broker/options.js'
import type { PluginError } from '../../lib/errors.js'
import type { Muxer } from '../../lib/mux/muxer.js'
import { createPair } from '../helpers/pair.js'
import { routeBesideBare, startRoute } from '../helpers/route.js'

/** Two routes on the two ends of a session. */
function joined(t: Test, options: BrokerOptions = {}) {
  const [a, b] = createPair()
  const host = startRoute(a, 'client', options)
  const plugin = startRoute(b, 'server', options)
  t.teardown(() => host.muxer.abort(new Error('test is over')))
  return { host: host.route, plugin: plugin.route, sessions: [host.muxer, plugin.muxer] }
}

/** Resolves once the other end has seen what was written until now. */
async function settle([session]: Muxer[]): Promise<void> {
  // A substream's first bytes leave after this tick.
  await new Promise(setImmediate)
  await session!.ping()
}

/** Sends back what it gets, in capitals. */
function shout(connection: Duplex): void {
  // Not by iterating: that would destroy the stream at its end, before the reply.
  let words = ''
  connection.on('data', (chunk: Buffer) => (words += chunk.toString()))
  connection.on('end', () => connection.end(words.toUpperCase()))
}

async function failure(connection: Duplex): Promise<PluginError> {
  const [error] = (await once(connection.resume(), 'error')) as [PluginError]
  return error
}

t.test(
  'a dial after the accept reaches it, both ways, with no byte of the preamble or answer left',
  async (t) => {
    const { host, plugin } = joined(t)
    for (const [from, to] of [
      [host, plugin],
      [plugin, host]
    ] as const) {
      to.accept(3, shout)
      const connection = from.dial(3)
      connection.end('hello')
      t.equal(await text(connection), 'HELLO')
    }
  }
)

t.test('a dial before its accept waits for it', async (t) => {
  const { host, plugin } = joined(t)
  const connection = host.dial(9)
  connection.end('early')
  await new Promise(setImmediate)
  t.equal(plugin.waiting, 1)
  plugin.accept(9, shout)
  t.equal(plugin.waiting, 0)
  t.equal(await text(connection), 'EARLY')
})

t.test('IDs of the two sides have nothing to do with each other', async (t) => {
  const { host, plugin } = joined(t)
  host.accept(1, (connection) => connection.end('host'))
  plugin.accept(1, (connection) => connection.end('plugin'))
  t.equal(await text(host.dial(1)), 'plugin')
  t.equal(await text(plugin.dial(1)), 'host')
})

t.test('many dials of many IDs at once, accepted in another order, each find their own', async (t) => {
  const { host, plugin } = joined(t)
  const ids = Array.from({ length: 200 }, (_, index) => index + 1)
  const replies = ids.map((id) => text(host.dial(id).end(String(id))))
  await new Promise(setImmediate)
  for (const id of ids.toReversed()) plugin.accept(id, (connection) => connection.end(`id ${id}`))
  t.same(
    await Promise.all(replies),
    ids.map((id) => `id ${id}`)
  )
})

t.test('one accepted ID takes any number of connections', async (t) => {
  const { host, plugin } = joined(t)
  plugin.accept(5, shout)
  const words = await Promise.all(['a', 'b', 'c'].map((word) => text(host.dial(5).end(word))))
  t.same(words, ['A', 'B', 'C'])
})

t.test('a dial that nobody accepts in time fails naming the ID and what to check', async (t) => {
  const { host, plugin } = joined(t, { acceptTimeoutMs: 20 })
  // The waiting timer does not keep a process running; this test has nothing else that would.
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => clearInterval(alive))
  const error = await failure(host.dial(77))
  t.match(error, { code: 'ERR_BROKER_TIMEOUT', id: 77, message: /broker ID 77/, hint: /ID 77/ })
  t.equal(plugin.waiting, 0)
})

t.test('a dial waits for ever where there is no time-out', async (t) => {
  const { host, plugin } = joined(t, { acceptTimeoutMs: Infinity })
  const early = host.dial(77).end()
  // A timer set to Infinity would have fired before this one.
  await new Promise((resolve) => setTimeout(resolve, 2))
  plugin.accept(77, (connection) => connection.end('at last'))
  t.equal(await text(early), 'at last')
})

t.test('dials that wait are bounded: one more is refused at once, the others are not harmed', async (t) => {
  const { host, plugin } = joined(t, { maxWaitingDials: 3 })
  const early = [1, 2, 3].map((id) => host.dial(id).end())
  const error = await failure(host.dial(4))
  t.match(error, { code: 'ERR_BROKER_REFUSED', id: 4, message: /too many dials/ })
  for (const id of [1, 2, 3]) plugin.accept(id, (connection) => connection.end('ok'))
  t.same(await Promise.all(early.map((connection) => text(connection))), ['ok', 'ok', 'ok'])
})

t.test('a dialler that hangs up while it waits is forgotten', async (t) => {
  const { host, plugin, sessions } = joined(t)
  const connection = host.dial(8)
  await settle(sessions)
  t.equal(plugin.waiting, 1)
  connection.destroy()
  await settle(sessions)
  t.equal(plugin.waiting, 0)
  plugin.accept(8, () => t.fail('nobody is there'))
})

t.test('accepting an ID twice fails; after it is closed it can be accepted again', async (t) => {
  const { host, plugin } = joined(t)
  const first = plugin.accept(2, (connection) => connection.end('first'))
  t.throws(() => plugin.accept(2, shout), { code: 'ERR_BROKER_ID_TAKEN', id: 2 })
  first.close()
  plugin.accept(2, (connection) => connection.end('second'))
  // Safe to repeat, and no business of the new one.
  first.close()
  t.equal(await text(host.dial(2)), 'second')
})

t.test('closing refuses what waits, what comes, and what is asked for afterwards', async (t) => {
  const { host, plugin, sessions } = joined(t)
  const waiting = host.dial(1)
  await settle(sessions)
  const told = failure(waiting)
  plugin.close()
  plugin.close()
  t.match(await told, { code: 'ERR_BROKER_CLOSED', id: 1 })
  t.match(await failure(host.dial(2)), { code: /^ERR_STREAM_(?:RESET|CLOSED)$/ })
  t.throws(() => plugin.dial(3), { code: 'ERR_BROKER_CLOSED' })
  t.throws(() => plugin.accept(3, shout), { code: 'ERR_BROKER_CLOSED' })
})

t.test('a number that is no broker ID is refused before anything is sent', (t) => {
  const { host, sessions } = joined(t)
  for (const id of [-1, 1.5, Number.NaN, 2 ** 32]) {
    t.throws(() => host.dial(id), { code: 'ERR_CONFIG_INVALID' })
    t.throws(() => host.accept(id, shout), { code: 'ERR_CONFIG_INVALID' })
  }
  t.same(
    sessions.map((session) => session.stats().opened),
    [0, 0]
  )
  t.end()
})

t.test('the preamble may come in any pieces', async (t) => {
  const whole = Buffer.from('010000000668656c6c6f', 'hex')
  for (let cut = 1; cut < whole.length; cut++) {
    const { route, bare } = routeBesideBare(t)
    const got = new Promise<Buffer>((resolve) => {
      route.accept(6, (connection) => resolve(buffer(connection)))
    })
    const near = bare.muxer.open()
    near.write(whole.subarray(0, cut))
    await settle([bare.muxer])
    near.end(whole.subarray(cut))
    t.equal((await got).toString(), 'hello', `cut at ${cut}`)
    t.equal(route.waiting, 0)
  }
})

t.test(
  'an unknown kind is answered with `unsupported`, and so is a call where nobody takes calls',
  async (t) => {
    const { route, bare } = routeBesideBare(t)
    route.accept(1, shout)
    for (const preamble of ['7f00000001', '0200000001']) {
      const near = bare.muxer.open()
      near.write(Buffer.from(preamble, 'hex'))
      t.same(await buffer(near), Buffer.of(4))
    }
  }
)

t.test('a substream that ends inside its preamble, or never sends one, is dropped', async (t) => {
  const { route, bare } = routeBesideBare(t, { acceptTimeoutMs: 20 })
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => clearInterval(alive))
  const cut = bare.muxer.open()
  cut.end(Buffer.from('0100', 'hex'))
  await t.rejects(buffer(cut), { code: 'ERR_STREAM_RESET' })
  const silent = bare.muxer.open()
  await settle([bare.muxer])
  t.equal(route.waiting, 1)
  await t.rejects(buffer(silent), { code: 'ERR_STREAM_RESET' })
  t.equal(route.waiting, 0)
})

t.test('an ID whose service was closed is refused at once, until it is accepted again', async (t) => {
  const { host, plugin } = joined(t)
  const acceptance = plugin.accept(4, shout)
  t.equal(await text(host.dial(4).end('a')), 'A')
  acceptance.close()
  t.match(await failure(host.dial(4)), { code: 'ERR_STREAM_CLOSED', id: 4 })
  plugin.accept(4, shout)
  t.equal(await text(host.dial(4).end('b')), 'B')
})

t.test('an answer that is none of ours fails the dial', async (t) => {
  for (const [answer, code] of [
    [Buffer.of(9), 'ERR_BROKER_REFUSED'],
    [null, 'ERR_STREAM_CLOSED']
  ] as const) {
    const { route, bare } = routeBesideBare(t)
    const connection = route.dial(1)
    const far = await bare.accept()
    if (answer === null) far.end()
    else far.write(answer)
    t.match(await failure(connection), { code, id: 1 })
  }
})

t.test('the answer is taken off although it comes alone, and the rest flows on', async (t) => {
  const { route, bare } = routeBesideBare(t)
  const connection = route.dial(1)
  const got = text(connection)
  const far = await bare.accept()
  far.write(Buffer.of(0))
  await settle([bare.muxer])
  far.write('first ')
  await settle([bare.muxer])
  far.end('second')
  t.equal(await got, 'first second')
})
