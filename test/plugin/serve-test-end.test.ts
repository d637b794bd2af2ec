import { existsSync } from 'node:fs'
import t from 'tap'
import { attach } from '../../lib/host/index.js'
import { serveTest } from '../../lib/plugin/index.js'
import { echoHandshake } from '../helpers/launch.js'
import { watchTraces } from '../helpers/traces.js'

const traces = watchTraces(t)
const services = () => []

t.test('a plugin of a test listens until it is stopped', async (t) => {
  const plugin = await serveTest({ handshake: echoHandshake, services })
  const { reattachConfig: config } = plugin
  t.ok(existsSync(config.Addr.String))
  const first = await attach(config)
  const second = await attach(config)
  await second.close()
  t.ok(existsSync(config.Addr.String), 'a host that goes leaves it to others')
  await first.ping()
  await plugin.stop()
  t.notOk(existsSync(config.Addr.String))
  await t.rejects(attach(config), { code: 'ERR_SOCKET_CONNECT', message: /ENOENT/ })
  await first.close()
  await traces.gone()
})

t.test('one that cannot make its services does not listen', async () => {
  const failure = new Error('no services')
  const serving = serveTest({
    handshake: echoHandshake,
    services() {
      throw failure
    }
  })
  await t.rejects(serving, failure)
  await traces.gone()
})
