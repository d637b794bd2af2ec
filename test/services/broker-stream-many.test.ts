import t from 'tap'
import type { ConnInfo, ControlLink } from '../../lib/broker/control.js'
import { createSocketRoute } from '../../lib/broker/on-socket.js'
import { brokerStreamService, openBrokerStream } from '../../lib/services/broker-stream.js'
import { connectTo } from '../helpers/connection.js'

const count = 5000
const infos = Array.from({ length: count }, (_, index): ConnInfo => ({
  serviceId: index + 1,
  network: 'unix',
  address: `/${index + 1}`
}))

async function take(link: ControlLink): Promise<number[]> {
  const ids: number[] = []
  for await (const { serviceId } of link.infos) {
    if (ids.push(serviceId) === count) break
  }
  return ids
}

t.test('thousands of IDs can be told of at once, by either side', async (t) => {
  const { binding, link: plugin } = brokerStreamService()
  const early = Promise.all(infos.map((info) => plugin.send(info)))
  const host = openBrokerStream(connectTo(t, [binding]))
  t.teardown(() => [host, plugin].forEach((link) => link.close()))
  const late = Promise.all(infos.map((info) => host.send(info)))
  const expected = infos.map(({ serviceId }) => serviceId)
  t.strictSame(await take(host), expected)
  t.strictSame(await take(plugin), expected)
  await Promise.all([early, late])
})

t.test('thousands of addresses are kept until they are dialled', async (t) => {
  let end = (): void => {}
  const over = new Promise<undefined>((resolve) => {
    end = () => resolve(undefined)
  })
  const link: ControlLink = {
    send: () => Promise.resolve(),
    infos: (async function* () {
      yield* infos
      await over
    })(),
    close: () => end(),
    closed: over
  }
  const dialled: string[] = []
  const failure = new Error('no connection here')
  const route = createSocketRoute({
    link: () => link,
    listen: () => Promise.reject(failure),
    connect({ address }) {
      dialled.push(address)
      return Promise.reject(failure)
    }
  })
  t.teardown(() => route.close())
  for (const id of [count, 1, count / 2]) await t.rejects(route.dial(id), failure)
  t.strictSame(dialled, [`/${count}`, '/1', `/${count / 2}`])
})
