import { execFile, execFileSync } from 'node:child_process'
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { readManifest } from '../../lib/manifest/read.js'
import { handshake } from '../../plugins/filelister/handshake.js'
import { packageRoot } from '../helpers/paths.js'

const head = 'name: x\nversion: 1.0.0\nhandshake: { cookieKey: K, cookieValue: v }\n'

async function writeManifest(t: Test, text: string | Uint8Array): Promise<{ dir: string; path: string }> {
  const dir = await mkdtemp(join(tmpdir(), 'muxplug-test-'))
  t.teardown(() => rm(dir, { recursive: true }))
  const path = join(dir, 'manifest.yaml')
  await writeFile(path, text)
  return { dir, path }
}

t.test(
  "the filelister's manifest says what the plugin does, and has the handshake of its code",
  async (t) => {
    const path = join(packageRoot, 'plugins/filelister/manifest.yaml')
    t.match(await readManifest(path), {
      path,
      name: 'filelister',
      command: [join(packageRoot, 'plugins/filelister/filelister')],
      handshake,
      offers: ['filelister.v1.FileLister'],
      asks: [{ service: 'hostserve.v1.HostService', scopes: ['files.read'] }]
    })
  }
)

t.test('what is left out has its default, or stays out', async (t) => {
  const { path } = await writeManifest(t, `${head}command: [node, a/b.js]\nasks: [{ service: a.B }]`)
  t.strictSame(await readManifest(path), {
    path,
    name: 'x',
    version: '1.0.0',
    handshake: { cookieKey: 'K', cookieValue: 'v', protocolVersion: 1 },
    protocolVersions: [1],
    command: ['node', 'a/b.js'],
    offers: [],
    asks: [{ service: 'a.B', scopes: [] }]
  })
})

t.test('of several protocol versions none is in the handshake', async (t) => {
  const { path } = await writeManifest(t, `${head}command: [x]\nprotocolVersions: [1, 2]`)
  const manifest = await readManifest(path)
  t.strictSame(manifest.handshake, { cookieKey: 'K', cookieValue: 'v' })
  t.strictSame(manifest.protocolVersions, [1, 2])
})

t.test('an entry runs on the same Node.js, from where the manifest is', async (t) => {
  const { dir, path } = await writeManifest(t, `${head}entry: dist/main.js`)
  t.same((await readManifest(path)).command, [process.execPath, join(dir, 'dist/main.js')])
})

t.test('the folder of a manifest stands for it', async (t) => {
  const { dir, path } = await writeManifest(t, `${head}command: [x]`)
  t.equal((await readManifest(dir)).path, path)
})

t.test('problems are told with the file, the first five in full', async (t) => {
  const { path } = await writeManifest(t, 'name: X\nversion: v1\nlicence: 1\nwires: 1\noffers: 1')
  await t.rejects(readManifest(path), {
    code: 'ERR_CONFIG_INVALID',
    message:
      /\/manifest\.yaml:1:1: handshake is .*; 1:1: .*; 1:7: name is "X".*; 2:10: .*; 3:10: .*; and 2 more$/,
    hint: /docs\/manifest\.md/
  })
})

t.test('at most 64 KiB are read', async (t) => {
  const most = `${head}command: [x]\n#`
  const { path } = await writeManifest(t, most.padEnd(64 * 1024, '.'))
  t.equal((await readManifest(path)).name, 'x')
  await truncate(path, 64 * 1024 + 1)
  await t.rejects(readManifest(path), { code: 'ERR_CONFIG_INVALID', message: /has 65537 bytes/ })
})

t.test('what is no text file is refused with its path', async (t) => {
  const { dir, path } = await writeManifest(t, Uint8Array.of(0x6e, 0xff))
  await t.rejects(readManifest(path), { code: 'ERR_CONFIG_INVALID', message: `${path} is not UTF-8` })
  const fifo = join(dir, 'fifo')
  execFileSync('mkfifo', [fifo])
  await t.rejects(readManifest(fifo), { code: 'ERR_CONFIG_INVALID', message: `${fifo} is not a file` })
  await t.rejects(readManifest(join(dir, 'missing')), {
    code: 'ERR_CONFIG_INVALID',
    message: /missing cannot be read: ENOENT/,
    cause: { code: 'ENOENT' }
  })
})

t.test('no YAML, no schema and not all of grpc-js is loaded before a manifest is read', async (t) => {
  // Prints the URL of every module that is imported.
  const hooks = `export async function resolve(name, context, next) {
    const found = await next(name, context)
    process._rawDebug(found.url)
    return found
  }`
  const register = `import { register } from 'node:module'
    register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(hooks)}`)})`
  const code = `const { readManifest } = await import('muxplug/host')
    process._rawDebug('reading')
    await readManifest('plugins/filelister')`
  const preload = `data:text/javascript,${encodeURIComponent(register)}`
  const { NODE_OPTIONS: _loaders, ...env } = process.env
  const args = ['--import', preload, '--input-type=module', '--eval', code]
  const { stderr } = await promisify(execFile)(process.execPath, args, { cwd: packageRoot, env })
  const [before, after] = stderr.split('reading\n')
  t.match(before, /dist\/bundle\/host\/index\.js/)
  t.notMatch(before, /node_modules\/(yaml|valibot)\/|@grpc\/grpc-js\/build\/src\/index\.js/)
  t.match(after, /node_modules\/yaml\//)
  t.match(after, /node_modules\/valibot\//)
})
