import { getEventListeners, once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { noMainServer } from '../../lib/broker/errors.js'
import { type SocketRouteOptions, createSocketRoute } from '../../lib/broker/on-socket.js'
import { PluginError } from '../../lib/errors.js'
import { silentLogger } from '../../lib/log.js'
import { createCertificate, tlsOptions } from '../../lib/security/certificate.js'
import { dialTls } from '../../lib/security/tls.js'
import {
  type SocketAddress,
  type SocketListener,
  connectSocket,
  listenSocket
} from '../../lib/stream/socket.js'
import { createPair } from '../helpers/pair.js'
import { type FakeLink, fakeLink } from '../helpers/control-link.js'

function setUp(t: Test, options: Partial<SocketRouteOptions> = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'sock-'))
  const link = fakeLink()
  const warnings: unknown[] = []
  const route = createSocketRoute({
    link: () => link,
    listen: (onConnection) => listenSocket({ kind: 'unix', dir, onConnection }),
    connect: (address, signal) => connectSocket({ ...address, signal }),
    logger: { ...silentLogger, warn: (fields) => warnings.push(fields) },
    ...options
  })
  t.teardown(async () => {
    route.close()
    await route.closed
    rmSync(dir, { recursive: true })
  })
  return { dir, link, route, warnings }
}

function greet(connection: Duplex): void {
  connection.on('error', () => {}).end('hello')
}

const place = (address: string) => ({ network: 'unix', address }) as const

/** Connects to nothing: what is dialled says where it leads, and ends. */
async function sayWhere({ address }: SocketAddress): Promise<Duplex> {
  const [near, far] = createPair()
  far.end(address)
  return near
}

const where = async (dialling: Promise<Duplex>) => text(await dialling)

function cannotConnect(code: string): PluginError {
  return new PluginError('ERR_SOCKET_CONNECT', `cannot connect: ${code}`, {
    cause: Object.assign(new Error(code), { code })
  })
}

/** Lets the link's messages be read. */
const turn = () => new Promise(setImmediate)

/** Where the link was told that `id` is to be reached. */
function toldPlace(link: FakeLink, id: number): SocketAddress {
  const info = link.sent.findLast(({ serviceId }) => serviceId === id)
  if (info === undefined) throw new Error(`nothing was said of ${id}`)
  return place(info.address)
}

t.test('accepting an ID listens on a socket of its own and says where', async (t) => {
  const { dir, link, route } = setUp(t)
  const acceptances = [route.accept(7, greet), route.accept(8, greet)]
  await Promise.all(acceptances.map(({ ready }) => ready))
  t.same(
    link.sent.map(({ serviceId, network }) => ({ serviceId, network })),
    [
      { serviceId: 7, network: 'unix' },
      { serviceId: 8, network: 'unix' }
    ]
  )
  t.same(
    link.sent.map(({ address }) => address).sort(),
    readdirSync(dir)
      .map((name) => join(dir, name))
      .sort()
  )
  for (const { address } of link.sent) {
    t.equal(await text(await connectSocket(place(address))), 'hello')
    t.equal(await text(await connectSocket(place(address))), 'hello', 'any number of times')
  }
})

t.test('an ID is ready only once its address is on its way', async (t) => {
  const { link, route } = setUp(t)
  link.hold()
  let isReady = false
  const { id, ready } = route.accept(1, greet)
  const waiting = ready.then(() => {
    isReady = true
  })
  await turn()
  t.equal(id, 1)
  t.equal(isReady, false)
  link.open()
  await waiting
})

t.test('the link may be made after the route, from a connection of it', async (t) => {
  let link: FakeLink | undefined
  const { route } = setUp(t, { link: () => link! })
  link = fakeLink()
  const { ready } = route.accept(1, greet)
  await ready
  t.equal(link.sent.length, 1)
})

t.test('without a link everything ends, for the reason why there is none', async (t) => {
  const cause = new Error('no main server')
  const { route, dir } = setUp(t, {
    link: () => {
      throw cause
    }
  })
  const { ready } = route.accept(1, greet)
  await t.rejects(route.dial(2), { code: 'ERR_BROKER_CLOSED', id: 2, cause })
  await t.rejects(ready, { code: 'ERR_BROKER_CLOSED', id: 1, cause })
  await route.closed
  t.same(readdirSync(dir), [])
})

t.test('an ID that is accepted cannot be accepted again before it is closed', async (t) => {
  const { route, dir, link } = setUp(t)
  const first = route.accept(1, greet)
  t.throws(() => route.accept(1, greet), { code: 'ERR_BROKER_ID_TAKEN', id: 1 })
  await first.ready
  t.throws(() => route.accept(1, greet), { code: 'ERR_BROKER_ID_TAKEN' })
  first.close()
  await turn()
  t.same(readdirSync(dir), [], 'its file is gone')
  const again = route.accept(1, greet)
  await again.ready
  first.close()
  await turn()
  t.equal(
    await text(await connectSocket(toldPlace(link, 1))),
    'hello',
    'closing the first again does nothing'
  )
  t.throws(() => route.accept(1, greet), { code: 'ERR_BROKER_ID_TAKEN' })
})

t.test('an accept that fails leaves nothing, is logged, and nobody has to look', async (t) => {
  const broken = new Error('broken')
  let fails = true
  const { route: deaf, warnings } = setUp(t, {
    listen: async (take) => {
      if (fails) throw broken
      return listenSocket({ kind: 'unix', onConnection: take })
    }
  })
  deaf.accept(2, greet)
  await t.rejects(deaf.accept(1, greet).ready, broken)
  t.match(warnings, [
    { brokerId: 2, err: broken },
    { brokerId: 1, err: broken }
  ])
  fails = false
  await t.resolves(deaf.accept(1, greet).ready, 'and the ID is free')
  const { route, link, dir } = setUp(t)
  link.send = () => Promise.reject(broken)
  await t.rejects(route.accept(1, greet).ready, broken)
  await turn()
  t.same(readdirSync(dir), [])
})

t.test('an ID closed before it is ready is not offered, and nothing stays behind', async (t) => {
  let open = (): void => {}
  const gate = new Promise<void>((resolve) => {
    open = resolve
  })
  const opened: SocketListener[] = []
  const { route, link, dir, warnings } = setUp(t, {
    async listen(onConnection) {
      await gate
      opened.push(await listenSocket({ kind: 'unix', dir, onConnection }))
      return opened.at(-1)!
    }
  })
  const early = route.accept(1, greet)
  early.close()
  early.close()
  const next = route.accept(1, greet)
  await t.rejects(early.ready, { code: 'ERR_BROKER_CLOSED', id: 1 }, 'while it is not listening yet')
  open()
  await next.ready
  t.same(
    link.sent.map(({ serviceId }) => serviceId),
    [1],
    'only the second was announced'
  )
  t.equal(opened.length, 2)
  t.equal(readdirSync(dir).length, 1)

  link.hold()
  const late = route.accept(2, greet)
  while (opened.length < 3) await turn()
  late.close()
  await t.rejects(late.ready, { code: 'ERR_BROKER_CLOSED', id: 2 }, 'while the link does not take it')
  link.open()
  await turn()
  t.equal(link.sent.length, 1, 'nor is it said later')
  t.equal(readdirSync(dir).length, 1)
  t.same(warnings, [])
})

t.test('IDs are checked', async (t) => {
  const { route } = setUp(t)
  for (const id of [-1, 1.5, 2 ** 32, Number.NaN]) {
    t.throws(() => route.accept(id, greet), { code: 'ERR_CONFIG_INVALID' })
    await t.rejects(route.dial(id), { code: 'ERR_CONFIG_INVALID' })
  }
})

t.test('a dial connects to the address that was heard before or comes after', async (t) => {
  const { link, route } = setUp(t, { connect: sayWhere })
  link.hear({ serviceId: 1, ...place('/a'), knock: null })
  await turn()
  t.equal(await where(route.dial(1)), '/a')
  const dialling = [route.dial(2), route.dial(2)]
  t.equal(route.waiting, 2)
  link.hear({ serviceId: 3, ...place('/c') })
  link.hear({ serviceId: 2, network: 'tcp', address: '127.0.0.1:1' })
  t.same(await Promise.all(dialling.map(where)), ['127.0.0.1:1', '127.0.0.1:1'])
  t.equal(route.waiting, 0)
})

t.test('an address serves every dial until another one replaces it', async (t) => {
  const { link, route } = setUp(t, { connect: sayWhere })
  link.hear({ serviceId: 1, ...place('/a') })
  await turn()
  t.same([await where(route.dial(1)), await where(route.dial(1))], ['/a', '/a'])
  link.hear({ serviceId: 1, ...place('/b') })
  await turn()
  t.equal(await where(route.dial(1)), '/b')
})

t.test('when nobody listens at an address any more, a dial waits for another', async (t) => {
  for (const code of ['ECONNREFUSED', 'ENOENT']) {
    const { link, route } = setUp(t, {
      connect: (address) =>
        address.address === '/gone' ? Promise.reject(cannotConnect(code)) : sayWhere(address)
    })
    link.hear({ serviceId: 1, ...place('/gone') })
    await turn()
    const dialling = route.dial(1)
    await turn()
    t.equal(route.waiting, 1, code)
    link.hear({ serviceId: 1, ...place('/there') })
    t.equal(await where(dialling), '/there')
  }
})

t.test('an address that came while another one failed is tried at once', async (t) => {
  const { link, route } = setUp(t, {
    async connect(address) {
      if (address.address !== '/gone') return sayWhere(address)
      link.hear({ serviceId: 1, ...place('/there') })
      await turn()
      throw cannotConnect('ENOENT')
    }
  })
  link.hear({ serviceId: 1, ...place('/gone') })
  t.equal(await where(route.dial(1)), '/there')
})

t.test('a dial of what was closed and is accepted again finds it', async (t) => {
  const { link, route } = setUp(t)
  const { link: farLink, route: far } = setUp(t)
  const tell = (): void => link.hear(farLink.sent.at(-1)!)
  const first = far.accept(1, greet)
  await first.ready
  tell()
  t.equal(await where(route.dial(1)), 'hello')
  first.close()
  await turn()
  const dialling = route.dial(1)
  while (route.waiting === 0) await turn()
  await far.accept(1, greet).ready
  tell()
  t.equal(await where(dialling), 'hello')
})

t.test('a dial that finds nobody fails in time and says why', async (t) => {
  const { link, route } = setUp(t, { acceptTimeoutMs: 20 })
  link.hear({ serviceId: 1, ...place('/no/such/socket') })
  await t.rejects(route.dial(1), {
    code: 'ERR_BROKER_TIMEOUT',
    id: 1,
    message: /no\/such\/socket.*no other address/,
    cause: { code: 'ERR_SOCKET_CONNECT', cause: { code: 'ENOENT' } }
  })
})

t.test('a dial whose time is over tries no further address', async (t) => {
  let dials = 0
  const { link, route } = setUp(t, {
    acceptTimeoutMs: 1,
    async connect() {
      dials += 1
      link.hear({ serviceId: 1, ...place(`/${dials}`) })
      await new Promise((resolve) => {
        setTimeout(resolve, 5)
      })
      throw cannotConnect('ECONNREFUSED')
    }
  })
  link.hear({ serviceId: 1, ...place('/0') })
  await turn()
  await t.rejects(route.dial(1), { code: 'ERR_BROKER_TIMEOUT', cause: { code: 'ERR_SOCKET_CONNECT' } })
  t.equal(dials, 1)
})

t.test('any other failure to connect is what the dial fails with, and the address stays', async (t) => {
  let failure: Error | undefined = cannotConnect('EACCES')
  const { link, route } = setUp(t, {
    connect: (address) => (failure === undefined ? sayWhere(address) : Promise.reject(failure))
  })
  link.hear({ serviceId: 1, ...place('/a') })
  await turn()
  await t.rejects(route.dial(1), { code: 'ERR_SOCKET_CONNECT', cause: { code: 'EACCES' } })
  failure = undefined
  t.equal(await where(route.dial(1)), '/a')
})

t.test('a dial that hears nothing fails in time, each with an error of its own', async (t) => {
  const { route, link } = setUp(t, { acceptTimeoutMs: 20, connect: sayWhere })
  const failures = await Promise.all([9, 9].map((id) => route.dial(id).catch((error: unknown) => error)))
  for (const failure of failures) t.match(failure, { code: 'ERR_BROKER_TIMEOUT', id: 9, hint: /ID 9/ })
  t.not(failures[0], failures[1])
  t.equal(route.waiting, 0)
  link.hear({ serviceId: 9, ...place('/late') })
  await turn()
  t.equal(await where(route.dial(9)), '/late', 'what comes late is not lost')
})

t.test('a dial ends with its signal', async (t) => {
  const reason = new Error('enough')
  const begun: AbortSignal[] = []
  const { route, link } = setUp(t, {
    connect: (_address, signal) => {
      begun.push(signal)
      return new Promise((_resolve, reject) => {
        // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- the reason, whatever it is
        signal.addEventListener('abort', () => reject(signal.reason))
      })
    }
  })
  const early = new AbortController()
  const waiting = route.dial(1, early.signal)
  t.equal(route.waiting, 1)
  early.abort(reason)
  await t.rejects(waiting, reason, 'while it waits')
  t.equal(route.waiting, 0)
  await t.rejects(route.dial(1, early.signal), reason, 'before it begins')

  const late = new AbortController()
  link.hear({ serviceId: 1, ...place('/a') })
  const connecting = route.dial(1, late.signal)
  while (begun.length === 0) await turn()
  late.abort(reason)
  await t.rejects(connecting, reason, 'while it connects')
})

t.test('the signal has no effect on a connection that is made', async (t) => {
  const { route, link } = setUp(t, { connect: sayWhere })
  link.hear({ serviceId: 1, ...place('/a') })
  const controller = new AbortController()
  const connection = await route.dial(1, controller.signal)
  t.same(getEventListeners(controller.signal, 'abort'), [])
  controller.abort()
  t.equal(await text(connection), '/a')
})

t.test('a connection that comes when nobody wants it any more is destroyed', async (t) => {
  for (const [name, giveUp, error] of [
    ['signal', (_route, controller) => controller.abort(new Error('enough')), { message: 'enough' }],
    ['close', (route) => route.close(), { code: 'ERR_BROKER_CLOSED', id: 1 }]
  ] as [string, (route: { close(): void }, controller: AbortController) => void, object][]) {
    const [near] = createPair()
    const begun: (() => void)[] = []
    const { route, link } = setUp(t, {
      connect: () =>
        new Promise((resolve) => {
          begun.push(() => resolve(near))
        })
    })
    link.hear({ serviceId: 1, ...place('/a') })
    const controller = new AbortController()
    const dialling = route.dial(1, controller.signal)
    while (begun.length === 0) await turn()
    giveUp(route, controller)
    begun[0]?.()
    t.match(await dialling.catch((reason: unknown) => reason), error, name)
    t.equal(near.destroyed, true)
  }
})

t.test('the dials that wait are bounded', async (t) => {
  const { route, link } = setUp(t, { maxWaitingDials: 1, connect: sayWhere })
  const dialling = route.dial(1)
  await t.rejects(route.dial(2), { code: 'ERR_BROKER_REFUSED', id: 2 })
  link.hear({ serviceId: 1, ...place('/a') })
  await dialling
})

t.test('what is no address is passed over with a warning', async (t) => {
  const { route, link, warnings } = setUp(t, { connect: sayWhere })
  link.hear({ serviceId: 1, network: 'udp', address: '/a' })
  link.hear({ serviceId: 1, network: 'unix', address: '' })
  link.hear({ serviceId: 1, network: '', address: '', knock: { knock: true, ack: false, error: '' } })
  const dialling = route.dial(1)
  link.hear({ serviceId: 1, ...place('/good') })
  t.equal(await where(dialling), '/good')
  t.equal(warnings.length, 3)
})

/** The two ends of the connections that a plugin's main listener takes. */
async function mainConnections(t: Test, take: (connection: Duplex) => void) {
  const dir = mkdtempSync(join(tmpdir(), 'main-'))
  const taken: Socket[] = []
  const listener = await listenSocket({
    kind: 'unix',
    dir,
    onConnection: (connection) => {
      taken.push(connection)
      take(connection)
    }
  })
  t.teardown(async () => {
    for (const connection of taken) connection.destroy()
    await listener.close()
    rmSync(dir, { recursive: true })
  })
  return listener
}

t.test('ID 0 is the main server of a plugin: a host dials it where the plugin said', async (t) => {
  const { route: plugin } = setUp(t)
  const main = await mainConnections(t, plugin.receive)
  const { route: host } = setUp(t, { main })
  const early = await host.dial(0)
  while (plugin.waiting === 0) await turn()
  const acceptance = plugin.accept(0, greet)
  await acceptance.ready
  t.equal(await text(early), 'hello', 'also one that came first')
  t.equal(plugin.waiting, 0)
  t.equal(await where(host.dial(0)), 'hello')
  t.throws(() => plugin.accept(0, greet), { code: 'ERR_BROKER_ID_TAKEN', id: 0 })
  acceptance.close()
  const next = await host.dial(0)
  while (plugin.waiting === 0) await turn()
  plugin.accept(0, (connection) => connection.end('next'))
  t.equal(await text(next), 'next')
  acceptance.close()
  t.equal(await where(host.dial(0)), 'next', 'closing the first again does nothing')
})

t.test('a main connection that nobody takes in time is destroyed', async (t) => {
  const { route } = setUp(t, { acceptTimeoutMs: 20 })
  const main = await mainConnections(t, route.receive)
  const connection = await connectSocket(main)
  connection.resume()
  await once(connection, 'close')
  t.equal(route.waiting, 0)
})

t.test('the main connections that wait are bounded', async (t) => {
  const { route } = setUp(t, { maxWaitingDials: 1 })
  const [[first], [second]] = [createPair(), createPair()]
  route.receive(first)
  route.receive(second)
  t.equal(second.destroyed, true)
  t.equal(first.destroyed, false)
  t.equal(route.waiting, 1)
  first.destroy(new Error('gone'))
  await new Promise((resolve) => first.once('close', resolve))
  t.equal(route.waiting, 0, 'one that fails waits no more, and that is all')
  const [third] = createPair()
  route.receive(third)
  route.close()
  t.equal(third.destroyed, true, 'closing destroys those that wait')
  const [late] = createPair()
  route.receive(late)
  t.equal(late.destroyed, true, 'and those that come')
})

t.test('a plugin that does not listen any more says so to a dial of ID 0 at once', async (t) => {
  const { route } = setUp(t, { main: place('/no/such/socket') })
  await t.rejects(route.dial(0), { code: 'ERR_SOCKET_CONNECT', cause: { code: 'ENOENT' } })
})

t.test('a host has no ID 0', async (t) => {
  const refusal = { code: 'ERR_BROKER_REFUSED', id: 0, hint: /nextId/ }
  t.match(noMainServer(), refusal)
  const { route: host } = setUp(t, { main: place('/main') })
  t.throws(() => host.accept(0, greet), refusal)
  const { route: plugin, link } = setUp(t)
  link.hear({ serviceId: 0, ...place('/a') })
  await turn()
  await t.rejects(plugin.dial(0), refusal)
})

async function tlsPair() {
  const [own, peer] = await Promise.all([
    createCertificate({ curve: 'P-256' }),
    createCertificate({ curve: 'P-256' })
  ])
  return [tlsOptions(own, peer.certDer), tlsOptions(peer, own.certDer)] as const
}

t.test('with TLS it is on every connection, and nobody else gets in', async (t) => {
  const [hostTls, pluginTls] = await tlsPair()
  const { route: plugin, link: pluginLink } = setUp(t, { tls: pluginTls })
  const main = await mainConnections(t, plugin.receive)
  const { route: host, link: hostLink } = setUp(t, { tls: hostTls, main })
  plugin.accept(0, greet)
  t.equal(await where(host.dial(0)), 'hello')
  for (const [acceptor, heard, dialler, told] of [
    [plugin, pluginLink, host, hostLink],
    [host, hostLink, plugin, pluginLink]
  ] as const) {
    await acceptor.accept(1, greet).ready
    told.hear(heard.sent[0]!)
    t.equal(await where(dialler.dial(1)), 'hello')
  }
  const [strangerTls] = await tlsPair()
  for (const address of [main, toldPlace(pluginLink, 1)]) {
    const plain = await connectSocket(address)
    plain.end('GET / HTTP/1.1\r\n\r\n')
    t.notMatch(await text(plain).catch(() => ''), 'hello')
    const stranger = dialTls(await connectSocket(address), strangerTls)
    await t.rejects(text(stranger))
  }
})

t.test('a TLS handshake that ends after the acceptance was closed gets nobody', async (t) => {
  const [hostTls, pluginTls] = await tlsPair()
  const { route, link } = setUp(t, { tls: pluginTls })
  const taken: Duplex[] = []
  const acceptance = route.accept(1, (connection) => taken.push(connection))
  await acceptance.ready
  const socket = await connectSocket(toldPlace(link, 1))
  // Another one shows when the listener has taken the first too.
  const ready = dialTls(await connectSocket(toldPlace(link, 1)), hostTls)
  while (taken.length === 0) await turn()
  acceptance.close()
  const late = dialTls(socket, hostTls)
  late.on('error', () => {}).resume()
  await once(late, 'close')
  t.equal(taken.length, 1)
  t.equal(taken[0]?.destroyed, false, 'while those that it had stay')
  ready.destroy()
  taken[0]?.destroy()
})

t.test('closing removes every socket, ends what waits, and the link; connections stay', async (t) => {
  const { route, link, dir, warnings } = setUp(t)
  const accepted: Duplex[] = []
  const acceptance = route.accept(1, (connection) => accepted.push(connection))
  await acceptance.ready
  const connection = await connectSocket(toldPlace(link, 1))
  connection.write('x')
  while (accepted.length === 0) await turn()
  const dialling = route.dial(2)
  const { ready } = route.accept(3, greet)
  route.close()
  route.close()
  await t.rejects(dialling, { code: 'ERR_BROKER_CLOSED', id: 2 })
  await t.rejects(ready, { code: 'ERR_BROKER_CLOSED', id: 3 })
  await route.closed
  t.same(readdirSync(dir), [])
  t.ok(link.isClosed)
  await t.rejects(route.dial(1), { code: 'ERR_BROKER_CLOSED' })
  t.throws(() => route.accept(1, greet), { code: 'ERR_BROKER_CLOSED' })
  t.throws(() => route.accept(0, greet), { code: 'ERR_BROKER_CLOSED' })
  accepted[0]?.end('still here')
  t.equal(await text(connection), 'still here')
  acceptance.close()
  t.same(warnings, [])
})

t.test('the loss of the link is the cause of what fails by it', async (t) => {
  const { route, link, dir } = setUp(t)
  await route.accept(1, greet).ready
  const waiting = [route.dial(2), route.dial(3)].map((dialling) => dialling.catch((error: unknown) => error))
  link.hold()
  const { ready } = route.accept(4, greet)
  await turn()
  const cause = new Error('the plugin died')
  link.lose(cause)
  await t.rejects(ready, { code: 'ERR_BROKER_CLOSED', id: 4, cause })
  const [a, b] = await Promise.all(waiting)
  t.match(a, { code: 'ERR_BROKER_CLOSED', id: 2, cause })
  t.not(a, b)
  await t.rejects(route.dial(1), { code: 'ERR_BROKER_CLOSED', cause })
  await route.closed
  t.same(readdirSync(dir), [], 'and nothing listens any more')
})
