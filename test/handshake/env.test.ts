import t from 'tap'
import {
  checkCookieConfig,
  clearEnvironment,
  hostVariables,
  readEnvironment,
  variables
} from '../../lib/handshake/env.js'

const cookie = { cookieKey: 'BASIC_PLUGIN', cookieValue: 'hello' }

/** What an empty environment says. */
const nothing = {
  cookie: undefined,
  versions: [],
  badVersions: [],
  stream: undefined,
  badStream: undefined,
  wires: ['h2'],
  ports: { min: 0, max: 0 },
  badPorts: undefined,
  multiplex: undefined,
  badMultiplex: undefined,
  clientCertificate: undefined,
  badClientCertificate: false,
  socketDir: undefined,
  socketGroup: undefined
}

await t.test('the names are those of go-plugin, and two of ours', async (t) => {
  t.strictSame(Object.values(variables).sort(), [
    'PLUGIN_CLIENT_CERT',
    'PLUGIN_MAX_PORT',
    'PLUGIN_MIN_PORT',
    'PLUGIN_MULTIPLEX_GRPC',
    'PLUGIN_PROTOCOL_VERSIONS',
    'PLUGIN_STREAM',
    'PLUGIN_UNIX_SOCKET_DIR',
    'PLUGIN_UNIX_SOCKET_GROUP',
    'PLUGIN_WIRES'
  ])
})

await t.test('the host names cookie, versions in order, and stream', async (t) => {
  t.strictSame(hostVariables({ ...cookie, versions: [10, 9, 1], stream: 'fd', wires: ['direct', 'h2'] }), {
    BASIC_PLUGIN: 'hello',
    PLUGIN_PROTOCOL_VERSIONS: '1,9,10',
    PLUGIN_STREAM: 'fd:3',
    PLUGIN_WIRES: 'direct,h2'
  })
  t.equal(hostVariables({ ...cookie, versions: [1], stream: 'stdio' })['PLUGIN_STREAM'], 'stdio')
})

await t.test('the plugin reads what the host wrote', async (t) => {
  for (const kind of ['fd', 'stdio'] as const) {
    const found = readEnvironment(
      hostVariables({ ...cookie, versions: [3, 2], stream: kind }),
      cookie.cookieKey
    )
    t.strictSame(found, {
      ...nothing,
      cookie: 'hello',
      versions: [2, 3],
      stream: kind === 'fd' ? { kind, fd: 3 } : { kind }
    })
  }
})

await t.test('an empty environment has nothing', async (t) => {
  t.strictSame(readEnvironment({}, 'KEY'), nothing)
  const empty = Object.fromEntries(['KEY', ...Object.values(variables)].map((name) => [name, '']))
  t.strictSame(readEnvironment(empty, 'KEY'), nothing)
})

await t.test('items that are no versions are told apart', async (t) => {
  const { versions, badVersions } = readEnvironment(
    { PLUGIN_PROTOCOL_VERSIONS: '5,x,, 2,+1,-1,1e3,0,9007199254740993,3' },
    'KEY'
  )
  t.strictSame(versions, [5, 0, 3])
  t.strictSame(badVersions, ['x', '', ' 2', '+1', '-1', '1e3', '9007199254740993'])
})

await t.test('a stream that cannot be is given back as it was', async (t) => {
  for (const text of ['fd', 'fd:', 'fd:x', 'fd:2', 'fd:-3', 'fd:3:', 'fd:999999', 'STDIO', 'pipe']) {
    const { stream, badStream } = readEnvironment({ PLUGIN_STREAM: text }, 'KEY')
    t.strictSame([stream, badStream], [undefined, text])
  }
  t.strictSame(readEnvironment({ PLUGIN_STREAM: 'fd:12' }, 'KEY').stream, { kind: 'fd', fd: 12 })
})

await t.test('clearing leaves the variables of others', async (t) => {
  const env: NodeJS.ProcessEnv = { KEY: '1', PATH: '/bin', PLUGIN_HOME: '/p' }
  for (const name of Object.values(variables)) env[name] = 'x'
  clearEnvironment(env, 'KEY')
  t.strictSame(env, { PATH: '/bin', PLUGIN_HOME: '/p' })
})

await t.test('a cookie needs a key that is a name, and a value', async (t) => {
  t.doesNotThrow(() => checkCookieConfig(cookie))
  t.doesNotThrow(() => checkCookieConfig({ cookieKey: '_k9', cookieValue: ' ' }))
  for (const cookieKey of ['', '9A', 'A B', 'A=B', 'Ä', 'A\n', 'PLUGIN_STREAM', 'PLUGIN_CLIENT_CERT']) {
    t.throws(() => checkCookieConfig({ ...cookie, cookieKey }), { code: 'ERR_CONFIG_INVALID' }, cookieKey)
  }
  for (const cookieValue of ['', 'a\0b', undefined as unknown as string]) {
    t.throws(() => checkCookieConfig({ ...cookie, cookieValue }), { code: 'ERR_CONFIG_INVALID' })
  }
})
