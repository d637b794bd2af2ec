import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { grantHostServices } from '../../lib/cli/grants.js'
import { type Choice, choosePlugin, formatPlugins } from '../../lib/cli/plugins.js'
import { discoverPlugins, openRoot, readManifest } from '../../lib/host/index.js'
import { packageRoot, runCli } from '../helpers/cli.js'
import { recordingLogger } from '../helpers/launch.js'

const filelister = {
  name: 'lister',
  version: '1.0.0',
  handshake: { cookieKey: 'FILELISTER_PLUGIN', cookieValue: 'd3b07384-list-a-directory' },
  command: [join(packageRoot, 'plugins/filelister/filelister')],
  offers: ['filelister.v1.FileLister'],
  asks: [{ service: 'hostserve.v1.HostService', scopes: ['files.read'] }]
}

/** A folder of plugins with these manifests (JSON is YAML), by folder. */
async function pluginFolder(t: Test, manifests: Readonly<Record<string, object>>): Promise<string> {
  const root = await realpath(await mkdtemp(join(tmpdir(), 'muxplug-test-')))
  t.teardown(() => rm(root, { recursive: true }))
  for (const [folder, manifest] of Object.entries(manifests)) {
    await mkdir(join(root, folder))
    await writeFile(join(root, folder, 'manifest.yaml'), JSON.stringify(manifest))
  }
  return root
}

t.test('plugins: lists those of the package and of the folders given, with what is wrong', async (t) => {
  const root = await pluginFolder(t, { a: filelister, b: { ...filelister, name: 'filelister' }, c: {} })
  const { code, stdout, stderr } = await runCli(['plugins', '--json', '--plugins-in', root])
  t.equal(code, 0)
  t.equal(stderr, '')
  const own = join(packageRoot, 'plugins/filelister/manifest.yaml')
  const found = JSON.parse(stdout) as { path: string }[]
  const at = (path: string) => found.find((one) => one.path === path)
  t.match(at(own), {
    state: 'conflict',
    name: 'filelister',
    reason: `the same name as ${root}/b/manifest.yaml`
  })
  t.match(at(join(root, 'a/manifest.yaml')), { state: 'usable', name: 'lister', asks: filelister.asks })
  t.match(at(join(root, 'b/manifest.yaml')), {
    state: 'conflict',
    name: 'filelister',
    reason: `the same name as ${own}`
  })
  t.match(at(join(root, 'c/manifest.yaml')), {
    state: 'broken',
    reason: /c\/manifest\.yaml:1:1: name is missing/
  })
})

t.test('the list for people has all of it, and no control characters of others', async (t) => {
  const root = await pluginFolder(t, {
    a: { ...filelister, description: 'Lists.\u001b[31m' },
    b: { ...filelister, name: 'twin' },
    c: { ...filelister, name: 'twin', asks: [{ service: 'a.B' }] },
    d: []
  })
  const found = await discoverPlugins({ folders: [root] })
  t.equal(
    formatPlugins(found, 'text').replaceAll(root, 'ROOT'),
    `lister 1.0.0
  ROOT/a/manifest.yaml
  Lists.\\x1b[31m
  offers filelister.v1.FileLister
  asks for hostserve.v1.HostService: files.read
twin 1.0.0 (conflict: the same name as ROOT/c/manifest.yaml)
  ROOT/b/manifest.yaml
  offers filelister.v1.FileLister
  asks for hostserve.v1.HostService: files.read
twin 1.0.0 (conflict: the same name as ROOT/b/manifest.yaml)
  ROOT/c/manifest.yaml
  offers filelister.v1.FileLister
  asks for a.B
broken
  ROOT/d/manifest.yaml:1:1: it is not a mapping of fields to values
`
  )
  t.equal(formatPlugins(found, 'names'), 'lister\n')
})

/** What the command line has by default, as far as a plugin is chosen by it. */
const defaults: Choice = { plugin: undefined, pluginsIn: [], stream: undefined, wire: undefined }

t.test('a plugin is chosen by its name, or by a path, which has a slash', async (t) => {
  const root = await pluginFolder(t, {
    a: filelister,
    b: { ...filelister, name: 'twin' },
    c: { ...filelister, name: 'twin' }
  })
  const choose = async (plugin: string) => {
    return (await choosePlugin(packageRoot, { ...defaults, plugin, pluginsIn: [root] })).path
  }
  t.equal(await choose('lister'), join(root, 'a/manifest.yaml'))
  t.equal(await choose(join(root, 'b')), join(root, 'b/manifest.yaml'))
  t.equal(await choose(join(root, 'c/manifest.yaml')), join(root, 'c/manifest.yaml'))
  await t.rejects(choose('twin'), { code: 'ERR_CONFIG_CONFLICT', message: /2 plugins are named "twin"/ })
  await t.rejects(choose('a'), { code: 'ERR_CONFIG_INVALID', message: 'no plugin is named "a"' })
  await t.rejects(choose('./a'), { code: 'ERR_CONFIG_INVALID', message: /a cannot be read: ENOENT/ })
  t.equal(
    (await choosePlugin(packageRoot, defaults)).name,
    'filelister',
    'without any, the one of the package'
  )
})

t.test('a plugin that does not fit the command line is not chosen', async (t) => {
  const root = await pluginFolder(t, {
    service: { ...filelister, offers: ['a.B'] },
    version: { ...filelister, protocolVersions: [2] },
    stream: { ...filelister, streams: ['stdio'] },
    wire: { ...filelister, wires: ['other'] },
    unsaid: filelister
  })
  const choose = (folder: string) => {
    return choosePlugin(packageRoot, { ...defaults, stream: 'fd', wire: 'h2', plugin: join(root, folder) })
  }
  for (const [folder, what] of [
    ['service', 'does not offer filelister.v1.FileLister, which this program calls'],
    ['version', 'does not speak version 1 of the protocol'],
    ['stream', 'cannot use the stream fd'],
    ['wire', 'cannot use the wire h2']
  ] as const) {
    await t.rejects(choose(folder), { code: 'ERR_CONFIG_CONFLICT', message: `plugin "lister" ${what}` })
  }
  t.equal((await choose('unsaid')).name, 'lister')
})

t.test('--plugin runs it, on the one form of the stream that it can use', async (t) => {
  const root = await pluginFolder(t, { a: { ...filelister, streams: ['stdio'] } })
  const flags = ['--log-format', 'json', '--plugins-in', root, '--plugin', 'lister']
  const { code, stdout, stderr } = await runCli([...flags, root])
  t.equal(code, 0)
  t.equal(stdout, 'a-d\n')
  t.match(stderr, /"stream":"stdio","wires".*"msg":"handshake"/)
})

t.test('a plugin gets no host service that its manifest does not ask for, and reads why', async (t) => {
  const root = await pluginFolder(t, { a: { ...filelister, asks: [] } })
  const { code, stdout, stderr } = await runCli(['-q', '--plugin', join(root, 'a'), root])
  t.equal(code, 1)
  t.equal(stdout, '')
  t.match(stderr, /PERMISSION_DENIED/)
  t.match(stderr, /not granted: the manifest of plugin "lister" does not ask for hostserve\.v1\.HostService/)
})

t.test('what a manifest asks for and does not get is a warning', async (t) => {
  const folder = await pluginFolder(t, {
    a: { ...filelister, asks: [{ service: 'hostserve.v1.HostService', scopes: ['files.read', 'files.eat'] }] }
  })
  const logger = recordingLogger()
  await using root = await openRoot(folder)
  const services = grantHostServices(await readManifest(join(folder, 'a')), root, logger)
  t.match(services, [{ typeName: 'hostserve.v1.HostService' }])
  t.match(logger.records, [
    {
      level: 'warn',
      fields: { plugin: 'lister', service: 'hostserve.v1.HostService', scopes: ['files.eat'] },
      message: /^not granted: plugin "lister" asks for .* with files\.eat/
    }
  ])
})
