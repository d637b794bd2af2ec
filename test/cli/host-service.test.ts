import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { status } from '@grpc/grpc-js'
import t, { type Test } from 'tap'
import { createHostService } from '../../lib/cli/host-service.js'
import type { PluginError } from '../../lib/host/index.js'

/** A directory that may be read, beside one that may not, with links in and out of it. */
async function prepare(t: Test) {
  const base = await mkdtemp(join(tmpdir(), 'muxplug-test-'))
  t.teardown(() => rm(base, { recursive: true }))
  const root = join(base, 'root')
  await mkdir(join(root, 'sub', 'deep'), { recursive: true })
  await mkdir(join(base, 'root-secret'))
  await writeFile(join(root, 'sub', 'file'), '')
  await symlink('sub', join(root, 'inside'))
  await symlink('../root-secret', join(root, 'outside'))
  await symlink('/', join(root, 'slash'))
  await symlink('loop', join(root, 'loop'))
  const service = createHostService(root)
  const readDir = async (path: string) => (await service.readDir({ path }, undefined as never)).entries!
  return { base, root, readDir }
}

t.test('directories below the root are read, by any path that stays inside', async (t) => {
  const { readDir } = await prepare(t)
  for (const path of ['sub', './sub', 'sub/', 'sub/deep/..', 'inside', '../root/sub']) {
    const entries = await readDir(path)
    t.same(Object.fromEntries(entries.map(({ name, isDir }) => [name, isDir])), { deep: true, file: false })
  }
  t.equal((await readDir('.')).length, 5)
  t.equal((await readDir('')).length, 5)
})

t.test(
  'paths that lead out, are missing or cannot be are refused, by the name the plugin used',
  async (t) => {
    const { base, readDir } = await prepare(t)
    for (const [path, code] of [
      ['..', status.PERMISSION_DENIED],
      ['../root-secret', status.PERMISSION_DENIED],
      ['sub/../../root-secret', status.PERMISSION_DENIED],
      ['outside', status.PERMISSION_DENIED],
      ['slash', status.PERMISSION_DENIED],
      ['slash/etc', status.PERMISSION_DENIED],
      ['/etc', status.PERMISSION_DENIED],
      ['missing', status.NOT_FOUND],
      ['sub/file', status.FAILED_PRECONDITION],
      ['sub/file/below', status.FAILED_PRECONDITION],
      ['loop', status.INVALID_ARGUMENT],
      ['x'.repeat(5000), status.INVALID_ARGUMENT],
      ['sub\0', status.INVALID_ARGUMENT]
    ] as const) {
      const error = await readDir(path).then(
        () => t.fail(`${path} was read`),
        (failure: unknown) => failure as PluginError
      )
      t.match(error, { code: 'ERR_CALL_FAILED', status: code }, path.slice(0, 50))
      t.notOk((error as PluginError).message.includes(base), "the host's own paths are not told")
    }
  }
)
