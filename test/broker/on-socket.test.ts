import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import type { ConnInfo, ControlLink } from '../../lib/broker/control.js'
import { type SocketRoute, type SocketRouteOptions, createSocketRoute } from '../../lib/broker/on-socket.js'
import { PluginError } from '../../lib/errors.js'
import { silentLogger } from '../../lib/log.js'
import { createCertificate, tlsOptions } from '../../lib/security/certificate.js'
import { createTlsAcceptor, dialTls } from '../../lib/security/tls.js'
import { connectSocket, listenSocket } from '../../lib/stream/socket.js'

/** One end of a link in memory. */
interface FakeLink extends ControlLink {
  readonly sent: ConnInfo[]
  /** What the other side sends. */
  hear(info: ConnInfo): void
  /** Messages sent from now on wait until `open()`. */
  hold(): void
  open(): void
  lose(reason?: Error): void
  readonly isClosed: boolean
}

function fakeLink(): FakeLink {
  const heard: ConnInfo[] = []
  const sent: ConnInfo[] = []
  let wake = (): void => {}
  let gate = Promise.resolve()
  let open = (): void => {}
  let over: { reason: Error | undefined } | undefined
  let settle: (reason: Error | undefined) => void = () => {}
  const closed = new Promise<Error | undefined>((resolve) => {
    settle = resolve
  })
  const end = (reason?: Error): void => {
    over ??= { reason }
    settle(reason)
    wake()
  }
  async function* infos(): AsyncGenerator<ConnInfo> {
    for (;;) {
      if (over !== undefined) return
      const next = heard.shift()
      if (next === undefined) await new Promise<void>((resolve) => (wake = resolve))
      else yield next
    }
  }
  return {
    sent,
    hear(info) {
      heard.push(info)
      wake()
    },
    hold() {
      gate = new Promise((resolve) => {
        open = resolve
      })
    },
    open: () => open(),
    lose: end,
    get isClosed() {
      return over !== undefined
    },
    async send(info, { signal } = {}) {
      const aborted = new Promise<never>((_resolve, reject) => {
        // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- the reason, whatever it is
        signal?.addEventListener('abort', () => reject(signal.reason))
      })
      const gone = closed.then(() => {
        throw new PluginError('ERR_BROKER_CLOSED', 'closed')
      })
      await Promise.race([gate, aborted, gone])
      sent.push(info)
    },
    infos: infos(),
    close: () => end(),
    closed
  }
}

function setUp(t: Test, options: Partial<SocketRouteOptions> = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'sock-'))
  const link = fakeLink()
  const route: SocketRoute = createSocketRoute(link, {
    listen: (onConnection) => listenSocket({ kind: 'unix', dir, onConnection }),
    ...options
  })
  t.teardown(async () => {
    await route.close()
    rmSync(dir, { recursive: true })
  })
  return { dir, link, route }
}

function greet(connection: Duplex): void {
  connection.on('error', () => {}).end('hello')
}

const place = (address: string) => ({ network: 'unix', address }) as const

/** Lets the link's messages be read. */
const turn = () => new Promise(setImmediate)

t.test('accepting an ID listens on a socket of its own and says where', async (t) => {
  const { dir, link, route } = setUp(t)
  const acceptances = await Promise.all([route.accept(7, greet), route.accept(8, greet)])
  t.same(
    link.sent,
    acceptances.map(({ id, network, address }) => ({ serviceId: id, network, address }))
  )
  t.equal(readdirSync(dir).length, 2)
  for (const acceptance of acceptances) {
    t.equal(await text(await connectSocket(acceptance)), 'hello')
    t.equal(await text(await connectSocket(acceptance)), 'hello', 'any number of times')
  }
})

t.test('an accept resolves only once its address is on its way', async (t) => {
  const { link, route } = setUp(t)
  link.hold()
  let resolved = false
  const accepting = route.accept(1, greet).then((acceptance) => {
    resolved = true
    return acceptance
  })
  await turn()
  t.equal(resolved, false)
  link.open()
  t.equal((await accepting).id, 1)
})

t.test('an ID that is accepted cannot be accepted again before it is closed', async (t) => {
  const { route, dir } = setUp(t)
  const [first, second] = await Promise.allSettled([route.accept(1, greet), route.accept(1, greet)])
  t.match(second, { status: 'rejected', reason: { code: 'ERR_BROKER_ID_TAKEN', id: 1 } })
  if (first.status === 'rejected') throw first.reason
  await first.value.close()
  t.same(readdirSync(dir), [], 'with its file')
  const again = await route.accept(1, greet)
  await first.value.close()
  t.ok(existsSync(again.address), 'closing the first once more leaves the second')
  await t.rejects(route.accept(1, greet), { code: 'ERR_BROKER_ID_TAKEN' })
})

t.test('an accept that fails leaves nothing', async (t) => {
  const { link, route, dir } = setUp(t)
  const reason = new Error('enough')
  const controller = new AbortController()
  link.hold()
  const accepting = route.accept(1, greet, { signal: controller.signal })
  await turn()
  controller.abort(reason)
  await t.rejects(accepting, reason)
  t.same(readdirSync(dir), [])
  link.open()
  t.equal((await route.accept(1, greet)).id, 1, 'the ID is free')
  await t.rejects(route.accept(2, greet, { signal: controller.signal }), reason)

  const broken = new Error('no sockets left')
  const other = setUp(t, { listen: () => Promise.reject(broken) })
  await t.rejects(other.route.accept(1, greet), broken)
  await t.rejects(other.route.accept(1, greet), broken, 'and the ID was not kept')
})

t.test('IDs are checked', async (t) => {
  const { route } = setUp(t)
  for (const id of [-1, 1.5, 2 ** 32, Number.NaN]) {
    await t.rejects(route.accept(id, greet), { code: 'ERR_CONFIG_INVALID' })
    await t.rejects(route.dial(id), { code: 'ERR_CONFIG_INVALID' })
  }
})

t.test('a dial gets the address that was heard before or comes after', async (t) => {
  const { link, route } = setUp(t)
  link.hear({ serviceId: 1, ...place('/a'), knock: null })
  await turn()
  t.same(await route.dial(1), place('/a'))
  const dialling = [route.dial(2), route.dial(2)]
  t.equal(route.waiting, 2)
  link.hear({ serviceId: 3, ...place('/c') })
  link.hear({ serviceId: 2, network: 'tcp', address: '127.0.0.1:1' })
  const expected = { network: 'tcp', address: '127.0.0.1:1' }
  t.same(await Promise.all(dialling), [expected, expected])
  t.equal(route.waiting, 0)
})

t.test('an address serves every dial until another one replaces it', async (t) => {
  const { link, route } = setUp(t)
  link.hear({ serviceId: 1, ...place('/a') })
  await turn()
  t.same([await route.dial(1), await route.dial(1)], [place('/a'), place('/a')])
  link.hear({ serviceId: 1, ...place('/b') })
  await turn()
  t.same(await route.dial(1), place('/b'))
})

t.test('an address that is given up is waited for anew', async (t) => {
  const { link, route } = setUp(t)
  link.hear({ serviceId: 1, ...place('/b') })
  await turn()
  route.forget(1, place('/a'))
  t.same(await route.dial(1), place('/b'), 'but only the one that was meant')
  route.forget(1, place('/b'))
  const dialling = route.dial(1)
  t.equal(route.waiting, 1)
  link.hear({ serviceId: 1, ...place('/c') })
  t.same(await dialling, place('/c'))
})

t.test('a dial that hears nothing fails in time, each with an error of its own', async (t) => {
  const { route, link } = setUp(t, { acceptTimeoutMs: 20 })
  const failures = await Promise.all([9, 9].map((id) => route.dial(id).catch((error: unknown) => error)))
  for (const failure of failures) t.match(failure, { code: 'ERR_BROKER_TIMEOUT', id: 9, hint: /ID 9/ })
  t.not(failures[0], failures[1])
  t.equal(route.waiting, 0)
  link.hear({ serviceId: 9, ...place('/late') })
  await turn()
  t.same(await route.dial(9), place('/late'), 'what comes late is not lost')
})

t.test('a dial ends with its signal', async (t) => {
  const { route } = setUp(t)
  const reason = new Error('enough')
  const controller = new AbortController()
  const dialling = route.dial(1, { signal: controller.signal })
  controller.abort(reason)
  await t.rejects(dialling, reason)
  t.equal(route.waiting, 0)
  await t.rejects(route.dial(1, { signal: controller.signal }), reason)
})

t.test('the dials that wait are bounded', async (t) => {
  const { route, link } = setUp(t, { maxWaitingDials: 1 })
  const dialling = route.dial(1)
  await t.rejects(route.dial(2), { code: 'ERR_BROKER_REFUSED', id: 2 })
  link.hear({ serviceId: 1, ...place('/a') })
  await dialling
})

t.test('the addresses are bounded: those dialled go first, then the oldest', async (t) => {
  const { route, link } = setUp(t, { maxAddresses: 2, acceptTimeoutMs: 20 })
  link.hear({ serviceId: 1, ...place('/1') })
  link.hear({ serviceId: 2, ...place('/2') })
  await turn()
  await route.dial(2)
  link.hear({ serviceId: 3, ...place('/3') })
  await turn()
  await t.rejects(route.dial(2), { code: 'ERR_BROKER_TIMEOUT' })
  link.hear({ serviceId: 4, ...place('/4') })
  await turn()
  await t.rejects(route.dial(1), { code: 'ERR_BROKER_TIMEOUT' })
  t.same([await route.dial(3), await route.dial(4)], [place('/3'), place('/4')])
})

t.test('what is no address is passed over with a warning', async (t) => {
  const warnings: unknown[] = []
  const { route, link } = setUp(t, {
    fromPeer: (address) => {
      if (address.address === '/bad') throw new Error('outside')
      return address
    },
    logger: { ...silentLogger, warn: (fields) => warnings.push(fields) }
  })
  link.hear({ serviceId: 1, network: 'udp', address: '/a' })
  link.hear({ serviceId: 1, network: 'unix', address: '' })
  link.hear({ serviceId: 1, network: '', address: '', knock: { knock: true, ack: false, error: '' } })
  link.hear({ serviceId: 1, ...place('/bad') })
  const dialling = route.dial(1)
  link.hear({ serviceId: 1, ...place('/good') })
  t.same(await dialling, place('/good'))
  t.equal(warnings.length, 4)
})

t.test('addresses are translated both ways', async (t) => {
  const { route, link } = setUp(t, {
    toPeer: ({ network, address }) => ({ network, address: `/guest${address}` }),
    fromPeer: ({ network, address }) => ({ network, address: `/host${address}` })
  })
  const { address } = await route.accept(1, greet)
  t.equal(link.sent[0]?.address, `/guest${address}`)
  link.hear({ serviceId: 1, ...place('/a') })
  await turn()
  t.same(await route.dial(1), place('/host/a'))
})

t.test('accepted connections can be put under TLS', async (t) => {
  const [own, peer] = await Promise.all([
    createCertificate({ curve: 'P-256' }),
    createCertificate({ curve: 'P-256' })
  ])
  const { route } = setUp(t, {
    secure: (onConnection) => createTlsAcceptor(tlsOptions(own, peer.certDer), onConnection)
  })
  const acceptance = await route.accept(1, greet)
  const connection = dialTls(await connectSocket(acceptance), tlsOptions(peer, own.certDer))
  t.equal(await text(connection), 'hello')
  const plain = await connectSocket(acceptance)
  plain.end('GET / HTTP/1.1\r\n\r\n')
  t.notMatch(await text(plain).catch(() => ''), 'hello')
})

t.test('closing removes every socket, ends what waits, and the link; connections stay', async (t) => {
  const { route, link, dir } = setUp(t)
  const accepted: Duplex[] = []
  const acceptance = await route.accept(1, (connection) => accepted.push(connection))
  const connection = await connectSocket(acceptance)
  connection.write('x')
  while (accepted.length === 0) await turn()
  const dialling = route.dial(2)
  const accepting = route.accept(3, greet)
  const closing = Promise.all([route.close(), route.close()])
  await t.rejects(dialling, { code: 'ERR_BROKER_CLOSED', id: 2 })
  await t.rejects(accepting, { code: 'ERR_BROKER_CLOSED', id: 3 })
  await closing
  t.same(readdirSync(dir), [])
  t.ok(link.isClosed)
  await t.rejects(route.dial(1), { code: 'ERR_BROKER_CLOSED' })
  await t.rejects(route.accept(1, greet), { code: 'ERR_BROKER_CLOSED' })
  accepted[0]?.end('still here')
  t.equal(await text(connection), 'still here')
  await acceptance.close()
})

t.test('the loss of the link is the cause of what fails by it', async (t) => {
  const { route, link, dir } = setUp(t)
  await route.accept(1, greet)
  const waiting = [route.dial(2), route.dial(3)].map((dialling) => dialling.catch((error: unknown) => error))
  link.hold()
  const accepting = route.accept(4, greet)
  await turn()
  const cause = new Error('the plugin died')
  link.lose(cause)
  await t.rejects(accepting, { code: 'ERR_BROKER_CLOSED', id: 4, cause })
  const [a, b] = await Promise.all(waiting)
  t.match(a, { code: 'ERR_BROKER_CLOSED', id: 2, cause })
  t.not(a, b)
  await t.rejects(route.dial(1), { code: 'ERR_BROKER_CLOSED', cause })
  await turn()
  t.same(readdirSync(dir), [], 'and nothing listens any more')
})
