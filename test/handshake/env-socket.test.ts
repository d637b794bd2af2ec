import { X509Certificate } from 'node:crypto'
import t from 'tap'
import { hostVariables, readEnvironment } from '../../lib/handshake/env.js'
import { createCertificate } from '../../lib/security/certificate.js'

const host = { cookieKey: 'BASIC_PLUGIN', cookieValue: 'hello', versions: [1] }

t.test('a host of sockets says what go-plugin does, and nothing of a stream', async (t) => {
  t.strictSame(hostVariables(host), { BASIC_PLUGIN: 'hello', PLUGIN_PROTOCOL_VERSIONS: '1' })
  t.strictSame(
    hostVariables({
      ...host,
      ports: { min: 0, max: 0 },
      multiplex: true,
      clientCertificate: 'PEM\n',
      socketDir: '/run/plugins',
      socketGroup: 'plugins'
    }),
    {
      BASIC_PLUGIN: 'hello',
      PLUGIN_PROTOCOL_VERSIONS: '1',
      PLUGIN_MIN_PORT: '10000',
      PLUGIN_MAX_PORT: '25000',
      PLUGIN_MULTIPLEX_GRPC: 'true',
      PLUGIN_CLIENT_CERT: 'PEM\n',
      PLUGIN_UNIX_SOCKET_DIR: '/run/plugins',
      PLUGIN_UNIX_SOCKET_GROUP: 'plugins'
    }
  )
})

t.test('the default ports come only when both are zero', async (t) => {
  for (const [min, max] of [
    [5, 9],
    [5, 0],
    [0, 9]
  ] as const) {
    t.match(hostVariables({ ...host, ports: { min, max } }), {
      PLUGIN_MIN_PORT: String(min),
      PLUGIN_MAX_PORT: String(max)
    })
  }
})

t.test('no multiplexing is said by leaving the variable out', async (t) => {
  t.notOk('PLUGIN_MULTIPLEX_GRPC' in hostVariables({ ...host, multiplex: false }))
})

t.test('ports are read as Go reads them', async (t) => {
  const read = (min?: string, max?: string) =>
    readEnvironment(
      {
        ...(min !== undefined && { PLUGIN_MIN_PORT: min }),
        ...(max !== undefined && { PLUGIN_MAX_PORT: max })
      },
      'KEY'
    )
  for (const [min, max, ports] of [
    ['10000', '25000', { min: 10_000, max: 25_000 }],
    ['0', '0', { min: 0, max: 0 }],
    ['', '', { min: 0, max: 0 }],
    [undefined, '9', { min: 0, max: 9 }],
    ['+7', '0065535', { min: 7, max: 65_535 }],
    ['7', '7', { min: 7, max: 7 }]
  ] as const) {
    const found = read(min, max)
    t.strictSame([found.ports, found.badPorts], [ports, undefined], `${min}..${max}`)
  }
  for (const [min, max, bad] of [
    ['2', '1', '2..1'],
    ['10000', undefined, '10000..'],
    ['x', '5', 'x..5'],
    [' 1', '5', ' 1..5'],
    ['1', '65536', '1..65536'],
    ['-1', '5', '-1..5'],
    ['1e3', '5000', '1e3..5000'],
    ['1', '99999999999999999999', '1..99999999999999999999']
  ] as const) {
    const found = read(min, max)
    t.strictSame([found.ports, found.badPorts], [{ min: 0, max: 0 }, bad], bad)
  }
})

t.test('multiplexing is a Go bool, and one that is set differs from one that is not', async (t) => {
  const read = (text: string) => readEnvironment({ PLUGIN_MULTIPLEX_GRPC: text }, 'KEY')
  for (const text of ['1', 't', 'T', 'TRUE', 'true', 'True']) t.equal(read(text).multiplex, true, text)
  for (const text of ['0', 'f', 'F', 'FALSE', 'false', 'False']) t.equal(read(text).multiplex, false, text)
  t.equal(read('').multiplex, undefined)
  t.equal(read('false').badMultiplex, undefined)
  for (const text of ['yes', 'tRUE', ' true', '2']) {
    t.match(read(text), { multiplex: false, badMultiplex: text })
  }
})

t.test('the certificate of the host is PEM', async (t) => {
  const { certPem, certDer, keyPem } = await createCertificate({ curve: 'P-256' })
  const read = (text: string) => {
    const { clientCertificate, badClientCertificate } = readEnvironment({ PLUGIN_CLIENT_CERT: text }, 'KEY')
    return [clientCertificate, badClientCertificate]
  }
  t.strictSame(read(certPem), [new X509Certificate(certDer).raw, false])
  t.strictSame(read(certPem.trimEnd()), [certDer, false])
  t.strictSame(read(certPem.replaceAll('\n', '\r\n')), [certDer, false])
  const variables = hostVariables({ ...host, clientCertificate: certPem })
  t.strictSame(readEnvironment(variables, 'KEY').clientCertificate, certDer)
  t.strictSame(read(''), [undefined, false])
  for (const bad of [
    'x',
    certPem.replaceAll('CERTIFICATE', 'X509 CERTIFICATE'),
    keyPem,
    certPem.slice(0, 200),
    certDer.toString('base64'),
    certDer.toString('latin1')
  ]) {
    t.strictSame(read(bad), [undefined, true])
  }
})

t.test('directory and group are given as they are', async (t) => {
  t.match(readEnvironment({ PLUGIN_UNIX_SOCKET_DIR: '/a b', PLUGIN_UNIX_SOCKET_GROUP: '1000' }, 'KEY'), {
    socketDir: '/a b',
    socketGroup: '1000'
  })
})
