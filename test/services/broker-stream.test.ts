import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { GRPCBroker } from '#proto/goplugin/goplugin.js'
import type { ConnInfo, ControlLink } from '../../lib/broker/control.js'
import { createSocketRoute } from '../../lib/broker/on-socket.js'
import type { ConnectionListener } from '../../lib/broker/route.js'
import { implement } from '../../lib/grpc/handler.js'
import { brokerStreamService, openBrokerStream } from '../../lib/services/broker-stream.js'
import { type SocketAddress, connectSocket, listenSocket } from '../../lib/stream/socket.js'
import { connectTo } from '../helpers/connection.js'

const info = (serviceId: number): ConnInfo => ({ serviceId, network: 'unix', address: `/${serviceId}` })

function pair(t: Test) {
  const { binding, link: plugin } = brokerStreamService()
  const connection = connectTo(t, [binding])
  const host = openBrokerStream(connection)
  t.teardown(() => [host, plugin].forEach((link) => link.close()))
  return { binding, connection, host, plugin }
}

/** The next message of a link. */
async function next(link: ControlLink): Promise<ConnInfo | undefined> {
  const result = await link.infos[Symbol.asyncIterator]().next()
  return result.done === true ? undefined : result.value
}

t.test('both sides send, in order, and neither waits for the other to begin', async (t) => {
  for (const first of ['host', 'plugin'] as const) {
    const { [first]: from, [first === 'host' ? 'plugin' : 'host']: to } = pair(t)
    await Promise.all([from.send(info(1)), from.send(info(2))])
    t.match(await next(to), info(1))
    t.match(await next(to), info(2))
    await to.send({ serviceId: 3, network: '', address: '', knock: { knock: true, ack: true, error: '' } })
    t.match(await next(from), { serviceId: 3, knock: { knock: true, ack: true, error: '' } })
  }
})

t.test('the plugin waits for the host to open the stream', async (t) => {
  const { binding, link } = brokerStreamService()
  t.equal(binding.background, true, 'an open stream is no call in flight')
  let sent = false
  const sending = Promise.all([link.send(info(1)), link.send(info(2))]).then(() => (sent = true))
  const connection = connectTo(t, [binding])
  await new Promise(setImmediate)
  t.equal(sent, false)
  const host = openBrokerStream(connection)
  t.teardown(() => host.close())
  await sending
  t.match([await next(host), await next(host)], [info(1), info(2)])
})

t.test('what is not sent any more when its signal aborts is never sent', async (t) => {
  const { binding, link } = brokerStreamService()
  const controller = new AbortController()
  const reason = new Error('enough')
  const sending = link.send(info(1), { signal: controller.signal })
  const after = link.send(info(2))
  controller.abort(reason)
  await t.rejects(sending, reason)
  await t.rejects(link.send(info(3), { signal: controller.signal }), reason)
  const host = openBrokerStream(connectTo(t, [binding]))
  t.teardown(() => host.close())
  await after
  t.match(await next(host), info(2))
})

t.test('the host that closes ends the stream, and a later one finds the broker alive', async (t) => {
  const { binding, host, plugin } = pair(t)
  await host.send(info(1))
  t.match(await next(plugin), info(1))
  host.close()
  t.equal(await host.closed, undefined)
  t.equal(await next(host), undefined)
  await t.rejects(host.send(info(2)), { code: 'ERR_BROKER_CLOSED' })

  const later = openBrokerStream(connectTo(t, [binding]))
  t.teardown(() => later.close())
  await later.send(info(3))
  t.match(await next(plugin), info(3))
})

t.test('what is sent after a host has left goes to the next one', async (t) => {
  const { binding, link } = brokerStreamService()
  const leaving = connectTo(t, [binding])
  const host = openBrokerStream(leaving)
  await host.send(info(1))
  t.match(await next(link), info(1), 'its stream is open')
  leaving.abort(new Error('the host died'))
  await host.closed
  // The plugin's end learns of it within a few turns.
  for (let turns = 0; turns < 50; turns += 1) await new Promise(setImmediate)
  const sending = link.send(info(2))
  const later = openBrokerStream(connectTo(t, [binding]))
  t.teardown(() => [later, link].forEach((end) => end.close()))
  await sending
  t.match(await next(later), info(2))
})

t.test('a call that was over before it began takes nothing with it', async (t) => {
  const { binding, link } = brokerStreamService()
  const sending = link.send(info(1))
  const connection = connectTo(t, [binding])
  const gone = openBrokerStream(connection)
  gone.close()
  await gone.closed
  const host = openBrokerStream(connection)
  t.teardown(() => [host, link].forEach((end) => end.close()))
  t.match(await next(host), info(1))
  await sending
})

t.test('two hosts at once are both told, and both heard', async (t) => {
  const { binding, host, plugin } = pair(t)
  const other = openBrokerStream(connectTo(t, [binding]))
  t.teardown(() => other.close())
  await Promise.all([host.send(info(1)), other.send(info(2))])
  const heard = [await next(plugin), await next(plugin)].map((message) => message?.serviceId)
  t.same(new Set(heard), new Set([1, 2]))
  await plugin.send(info(3))
  t.match([await next(host), await next(other)], [info(3), info(3)])
})

t.test('the plugin that closes ends every stream, and the host knows', async (t) => {
  const { host, plugin } = pair(t)
  await host.send(info(1))
  t.match(await next(plugin), info(1))
  plugin.close()
  plugin.close()
  t.equal(await plugin.closed, undefined)
  t.match(await host.closed, { code: 'ERR_BROKER_CLOSED' })
  await t.rejects(plugin.send(info(2)), { code: 'ERR_BROKER_CLOSED', id: 2 })
  await t.rejects(host.send(info(2)), { code: 'ERR_BROKER_CLOSED' })
  t.equal(await next(plugin), undefined)
})

t.test('what waits for a host is rejected when the plugin closes', async (t) => {
  const { link } = brokerStreamService()
  const sending = link.send(info(1))
  link.close()
  await t.rejects(sending, { code: 'ERR_BROKER_CLOSED', id: 1 })
})

t.test(
  'a plugin without a broker, and the loss of the connection, end the link with the reason',
  async (t) => {
    const none = openBrokerStream(connectTo(t, []))
    t.match(await none.closed, { status: 12 })
    const { connection, host } = pair(t)
    connection.abort(new Error('the plugin died'))
    t.match(await host.closed, { status: 14, message: /the plugin died/ })
  }
)

t.test('a peer that does not answer at all hears the host none the less', async (t) => {
  const heard: number[] = []
  let told = (): void => {}
  const silent = implement(GRPCBroker, {
    // No response and no header, as go-plugin before its first message.
    // oxlint-disable-next-line require-yield
    async *startStream(requests) {
      for await (const { serviceId } of requests) {
        heard.push(serviceId)
        told()
      }
    }
  })
  const arrived = new Promise<void>((resolve) => {
    told = resolve
  })
  const host = openBrokerStream(connectTo(t, [silent]))
  t.teardown(() => host.close())
  await host.send(info(5))
  await arrived
  t.same(heard, [5])
})

t.test('the two ends join the routes of two processes', async (t) => {
  const { host, plugin } = pair(t)
  const listen = (onConnection: ConnectionListener) => listenSocket({ kind: 'unix', onConnection })
  const connect = (address: SocketAddress, signal: AbortSignal | undefined) =>
    connectSocket({ ...address, signal })
  const [a, b] = [host, plugin].map((link) => createSocketRoute({ link: () => link, listen, connect }))
  t.teardown(async () => {
    for (const route of [a!, b!]) {
      route.close()
      await route.closed
    }
  })
  for (const [acceptor, dialler] of [
    [a!, b!],
    [b!, a!]
  ] as const) {
    const dialling = dialler.dial(1)
    await acceptor.accept(1, (connection) => connection.end('hello')).ready
    t.equal(await text(await dialling), 'hello')
  }
})
