import t from 'tap'
import { pluginEnvironment } from '../../lib/process/environment.js'

const from = {
  PATH: '/bin',
  HOME: '/root',
  LC_ALL: 'C.UTF-8',
  LC: 'x',
  TMPDIR: '/tmp',
  NODE_OPTIONS: '--inspect',
  AWS_SECRET: 's',
  APP_A: 'a',
  APP_B: 'b',
  PLUGIN_CLIENT_CERT: 'outer',
  PLUGIN_HOME: 'outer',
  SystemRoot: 'C:\\Windows'
}
const protocol = { PLUGIN_STREAM: 'fd:3' }
const platform = 'linux'

await t.test('takes what programs need, and nothing secret', async (t) => {
  t.strictSame(pluginEnvironment({ from, protocol, platform }), {
    PATH: '/bin',
    HOME: '/root',
    LC_ALL: 'C.UTF-8',
    TMPDIR: '/tmp',
    PLUGIN_STREAM: 'fd:3'
  })
})

await t.test('takes more by name and by prefix', async (t) => {
  const names = (inherit: readonly string[] | 'all'): string[] =>
    Object.keys(pluginEnvironment({ from, inherit, protocol: {}, platform })).sort()
  const defaults = ['HOME', 'LC_ALL', 'PATH', 'TMPDIR']
  t.strictSame(names(['APP_A', 'MISSING']), ['APP_A', ...defaults])
  t.strictSame(names(['APP_*']), ['APP_A', 'APP_B', ...defaults])
  t.strictSame(names(['NODE_OPTIONS']).includes('NODE_OPTIONS'), true)
  t.strictSame(
    names('all'),
    Object.keys(from)
      .filter((name) => !name.startsWith('PLUGIN_'))
      .sort()
  )
})

await t.test('never takes what an outer host told this plugin', async (t) => {
  const env = pluginEnvironment({ from, inherit: ['PLUGIN_*', 'PLUGIN_HOME', '*'], protocol: {}, platform })
  t.strictSame(
    Object.keys(env).filter((name) => name.startsWith('PLUGIN_')),
    []
  )
})

await t.test('own beats inherited, protocol beats both', async (t) => {
  const env = pluginEnvironment({
    from,
    own: { PATH: '/own', PLUGIN_STREAM: 'own', PLUGIN_HOME: 'own' },
    protocol,
    platform
  })
  t.match(env, { PATH: '/own', PLUGIN_STREAM: 'fd:3', PLUGIN_HOME: 'own' })
})

await t.test('on Windows case makes no second variable', async (t) => {
  const env = pluginEnvironment({
    from: {
      Path: 'C:\\bin',
      SYSTEMROOT: 'C:\\Windows',
      plugin_stream: 'outer',
      Secret: 's',
      ProgramFiles: 'C:\\P'
    },
    own: { PATH: 'C:\\own' },
    protocol,
    platform: 'win32'
  })
  t.strictSame(env, {
    PATH: 'C:\\own',
    SYSTEMROOT: 'C:\\Windows',
    ProgramFiles: 'C:\\P',
    PLUGIN_STREAM: 'fd:3'
  })
})

await t.test('leaves its sources alone', async (t) => {
  const own = Object.freeze({ A: '1' })
  t.match(
    pluginEnvironment({ from: Object.freeze({ PATH: '/bin' }), own, protocol: Object.freeze({}), platform }),
    {
      A: '1'
    }
  )
})
