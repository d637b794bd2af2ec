import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { type Discovered, discoverPlugins, findPlugin } from '../../lib/manifest/discover.js'

/** A directory with these files; their folders come with them. */
async function tree(t: Test, files: Readonly<Record<string, string>>): Promise<string> {
  const root = await realpath(await mkdtemp(join(tmpdir(), 'muxplug-test-')))
  t.teardown(() => rm(root, { recursive: true }))
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, name)), { recursive: true })
    await writeFile(join(root, name), text)
  }
  return root
}

function manifest(name: string): string {
  return `name: ${name}\nversion: 1.0.0\nhandshake: { cookieKey: K, cookieValue: v }\ncommand: [x]\n`
}

/** A package.json that names a manifest. */
function packageJson(path: unknown = 'manifest.yaml'): string {
  return JSON.stringify({ name: 'p', muxplug: { manifest: path } })
}

/** `state name path`, with the path below `root`. */
function told(found: readonly Discovered[], root: string): string[] {
  return found.map((one) => {
    const name = one.state === 'broken' ? one.error.code : one.manifest.name
    return `${one.state} ${name} ${one.path.slice(root.length + 1)}`
  })
}

t.test('a folder of plugins has one in each subfolder with a manifest', async (t) => {
  const root = await tree(t, {
    'plugins/b/manifest.yaml': manifest('beta'),
    'plugins/a/manifest.yaml': manifest('alpha'),
    'plugins/c/readme.md': 'no plugin',
    'plugins/manifest.yaml': manifest('too-high'),
    'plugins/d/e/manifest.yaml': manifest('too-deep'),
    'more/f/manifest.yaml': manifest('gamma')
  })
  await symlink(join(root, 'more/f'), join(root, 'plugins/link'))
  t.same(told(await discoverPlugins({ folders: [join(root, 'plugins')] }), root), [
    'usable alpha plugins/a/manifest.yaml',
    'usable beta plugins/b/manifest.yaml',
    'usable gamma plugins/link/manifest.yaml'
  ])
  const both = await discoverPlugins({ folders: [join(root, 'more'), join(root, 'plugins')] })
  t.equal(both.filter((one) => one.state === 'usable').length, 3, 'once, however often it is reached')
  t.same(await discoverPlugins({}), [])
})

t.test(
  'a broken manifest and a missing folder are listed with the reason, and the others are found',
  async (t) => {
    const root = await tree(t, {
      'plugins/a/manifest.yaml': manifest('alpha'),
      'plugins/b/manifest.yaml': 'name: [',
      'plugins/c/manifest.yaml': manifest('Gamma')
    })
    const found = await discoverPlugins({ folders: [join(root, 'plugins'), join(root, 'missing')] })
    t.same(told(found, root), [
      'broken ERR_CONFIG_INVALID missing',
      'usable alpha plugins/a/manifest.yaml',
      'broken ERR_CONFIG_INVALID plugins/b/manifest.yaml',
      'broken ERR_CONFIG_INVALID plugins/c/manifest.yaml'
    ])
    const reasons = found.flatMap((one) => (one.state === 'broken' ? [one.error.message] : []))
    t.match(reasons[0], /missing cannot be looked into: ENOENT/)
    t.match(reasons[1], /b\/manifest\.yaml:1:8: /)
    t.match(reasons[2], /c\/manifest\.yaml:1:7: name is "Gamma"/)
  }
)

t.test('plugins of one name are in conflict, each with where the others are', async (t) => {
  const root = await tree(t, {
    'one/a/manifest.yaml': manifest('twin'),
    'two/a/manifest.yaml': manifest('twin'),
    'two/b/manifest.yaml': manifest('other')
  })
  const found = await discoverPlugins({ folders: [join(root, 'one'), join(root, 'two')] })
  t.same(told(found, root), [
    'conflict twin one/a/manifest.yaml',
    'conflict twin two/a/manifest.yaml',
    'usable other two/b/manifest.yaml'
  ])
  t.match(found[0], { others: [join(root, 'two/a/manifest.yaml')] })
  t.match(found[1], { others: [join(root, 'one/a/manifest.yaml')] })
  t.throws(() => findPlugin(found, 'twin'), {
    code: 'ERR_CONFIG_CONFLICT',
    message: `2 plugins are named "twin": ${root}/one/a/manifest.yaml, ${root}/two/a/manifest.yaml`
  })
  t.equal(findPlugin(found, 'other').path, join(root, 'two/b/manifest.yaml'))
})

t.test('a name that nobody has is told with those that there are', async (t) => {
  const root = await tree(t, { 'p/a/manifest.yaml': manifest('alpha'), 'p/b/manifest.yaml': '' })
  t.throws(() => findPlugin([], 'x'), { code: 'ERR_CONFIG_INVALID', hint: 'No plugin was found.' })
  const found = await discoverPlugins({ folders: [join(root, 'p')] })
  t.throws(() => findPlugin(found, 'x'), {
    code: 'ERR_CONFIG_INVALID',
    message: 'no plugin is named "x"',
    hint: 'There are: alpha. Of 1 more the manifest is broken.'
  })
})

t.test('a package is a plugin when its package.json names a manifest', async (t) => {
  const root = await tree(t, {
    'node_modules/plain/package.json': '{ "name": "plain" }',
    'node_modules/plain/manifest.yaml': manifest('not-named'),
    'node_modules/uses/package.json': '{ "dependencies": { "muxplug": "1" } }',
    'node_modules/garbled/package.json': '{ "muxplug": ',
    'node_modules/greeter/package.json': packageJson(),
    'node_modules/greeter/manifest.yaml': manifest('greeter'),
    'node_modules/@scope/deep/package.json': packageJson('./plugin/manifest.yaml'),
    'node_modules/@scope/deep/plugin/manifest.yaml': manifest('deep'),
    'node_modules/odd/package.json': packageJson(3),
    'node_modules/gone/package.json': packageJson('gone.yaml'),
    'node_modules/.bin/tool': ''
  })
  t.same(told(await discoverPlugins({ nodeModules: root }), root), [
    'usable deep node_modules/@scope/deep/plugin/manifest.yaml',
    'broken ERR_CONFIG_INVALID node_modules/gone/gone.yaml',
    'usable greeter node_modules/greeter/manifest.yaml',
    'broken ERR_CONFIG_INVALID node_modules/odd/package.json'
  ])
})

t.test('of two packages of one name the nearer counts, as for an import', async (t) => {
  const root = await tree(t, {
    'node_modules/greeter/package.json': packageJson(),
    'node_modules/greeter/manifest.yaml': manifest('greeter'),
    'node_modules/far/package.json': packageJson(),
    'node_modules/far/manifest.yaml': manifest('far'),
    'app/node_modules/greeter/package.json': packageJson(),
    'app/node_modules/greeter/manifest.yaml': manifest('greeter'),
    'app/src/index.js': ''
  })
  t.same(told(await discoverPlugins({ nodeModules: join(root, 'app/src') }), root), [
    'usable greeter app/node_modules/greeter/manifest.yaml',
    'usable far node_modules/far/manifest.yaml'
  ])
})

t.test('a linked package is found once, where it is linked', async (t) => {
  const root = await tree(t, {
    'work/greeter/package.json': packageJson(),
    'work/greeter/manifest.yaml': manifest('greeter'),
    'app/node_modules/other/package.json': '{}'
  })
  await symlink(join(root, 'work/greeter'), join(root, 'app/node_modules/greeter'))
  const found = await discoverPlugins({ folders: [join(root, 'work')], nodeModules: join(root, 'app') })
  t.same(told(found, root), ['usable greeter work/greeter/manifest.yaml'])
})

t.test('of a folder with too many folders the rest is left out, and that is told', async (t) => {
  const root = await tree(t, {
    'plugins/a/manifest.yaml': manifest('alpha'),
    'plugins/b/manifest.yaml': manifest('beta'),
    'plugins/file': ''
  })
  const within = await discoverPlugins({ folders: [join(root, 'plugins')], maxFolders: 2 })
  t.same(
    within.map(({ state }) => state),
    ['usable', 'usable']
  )
  const [told, ...rest] = await discoverPlugins({ folders: [join(root, 'plugins')], maxFolders: 1 })
  t.match(told, {
    state: 'broken',
    error: { message: `${root}/plugins holds more than 1 folders; the rest is left out` }
  })
  t.equal(rest.length, 1)
})
