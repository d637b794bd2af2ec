import t from 'tap'
import { readReattachConfig, reattachConfig } from '../../lib/handshake/reattach.js'

t.test('a config survives JSON and names the place', (t) => {
  const main = { network: 'unix', address: '/tmp/plugin1' } as const
  const config = JSON.parse(JSON.stringify(reattachConfig(42, 3, main))) as unknown
  t.same(config, {
    Protocol: 'grpc',
    ProtocolVersion: 3,
    Pid: 42,
    Test: false,
    Addr: { Network: 'unix', String: '/tmp/plugin1' }
  })
  t.same(readReattachConfig(config), { pid: 42, version: 3, test: false, main })
  t.end()
})

t.test('a host of go-plugin may leave out the version and the test mode', (t) => {
  const config = { Protocol: 'grpc', Pid: 42, Addr: { Network: 'tcp', String: '127.0.0.1:1' } }
  t.match(readReattachConfig(config), { version: 0, test: false, main: { network: 'tcp' } })
  t.end()
})

t.test('anything else is refused with what to give', (t) => {
  const good = { Protocol: 'grpc', Pid: 42, Addr: { Network: 'unix', String: '/x' } }
  for (const bad of [
    undefined,
    null,
    'grpc',
    [],
    {},
    { ...good, Protocol: 'netrpc' },
    { ...good, Protocol: undefined },
    { ...good, Pid: 0 },
    { ...good, Pid: -1 },
    { ...good, Pid: 1.5 },
    { ...good, Pid: '42' },
    { ...good, ProtocolVersion: -1 },
    { ...good, ProtocolVersion: '1' },
    { ...good, Test: 'yes' },
    { ...good, Addr: undefined },
    { ...good, Addr: null },
    { ...good, Addr: { Network: 'udp', String: '/x' } },
    { ...good, Addr: { Network: 'unix', String: 7 } }
  ]) {
    t.throws(() => readReattachConfig(bad), { code: 'ERR_CONFIG_INVALID', hint: /Protocol: "grpc"/ })
  }
  t.end()
})
