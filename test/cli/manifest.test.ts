import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { readManifest } from '../../lib/cli/manifest.js'
import { handshake } from '../../plugins/filelister/handshake.js'
import { packageRoot } from '../helpers/cli.js'

t.test("the filelister's manifest says what the plugin does", async (t) => {
  const manifest = await readManifest(join(packageRoot, 'plugins/filelister/manifest.yaml'))
  t.same(manifest, {
    name: 'filelister',
    command: [join(packageRoot, 'plugins/filelister/filelister')],
    handshake
  })
})

t.test('a broken manifest is refused with its path and what is wrong', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'muxplug-test-'))
  t.teardown(() => rm(dir, { recursive: true }))
  const path = join(dir, 'manifest.yaml')
  const cookie = 'handshake: { cookieKey: K, cookieValue: v, protocolVersion: 1 }'
  for (const [text, wrong] of [
    ['', /name/],
    ['name: 3', /name/],
    ['name: x', /command/],
    ['name: x\ncommand: []', /command/],
    ['name: x\ncommand: [1]', /command/],
    ['name: x\ncommand: [node]', /handshake/],
    ['name: x\ncommand: [node]\nhandshake: { cookieKey: K }', /handshake/],
    ['name: [', /line 1/]
  ] as const) {
    await writeFile(path, text)
    await t.rejects(readManifest(path), { code: 'ERR_CONFIG_INVALID', message: wrong, hint: String })
  }
  await writeFile(path, `name: x\ncommand: [node, a/b.js]\n${cookie}\n`)
  t.same(
    (await readManifest(path)).command,
    ['node', 'a/b.js'],
    'a program without a slash is looked up in PATH'
  )
  await t.rejects(readManifest(join(dir, 'missing.yaml')), { code: 'ERR_CONFIG_INVALID' })
})
