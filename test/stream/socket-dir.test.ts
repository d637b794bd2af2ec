import '../helpers/plain-children.js'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { createSocketDir } from '../../lib/stream/socket-dir.js'
import { longestPathBytes, parseSocketName, processSpace } from '../../lib/stream/socket-path.js'
import { listenSocket } from '../../lib/stream/socket.js'
import { shortDir } from '../helpers/short-dir.js'

async function bind(t: Test, path: string): Promise<void> {
  const server = createServer().listen(path)
  t.teardown(() => server.close())
  await once(server, 'listening')
}

t.test('it is this user alone who may use it, whatever the umask', async (t) => {
  const before = process.umask(0)
  t.teardown(() => process.umask(before))
  const dir = shortDir(t)
  const { path, remove } = await createSocketDir({ dir })
  t.equal(dirname(path), dir)
  t.same(parseSocketName(basename(path)), { space: processSpace(), pid: process.pid })
  t.equal(lstatSync(path).mode & 0o777, 0o700)
  t.same(remove(), [])
  t.same(readdirSync(dir), [])
})

t.test('without a place of its own it is in the temporary directory', async (t) => {
  const { path, remove } = await createSocketDir()
  t.teardown(remove)
  t.equal(dirname(path), tmpdir())
})

t.test('a group may use it too when it is named, whatever the umask', async (t) => {
  const before = process.umask(0o077)
  t.teardown(() => process.umask(before))
  const dir = shortDir(t)
  const gid = process.getgid?.() ?? 0
  const { path } = await createSocketDir({ dir, group: String(gid) })
  t.equal(lstatSync(path).mode & 0o777, 0o770)
  t.equal(lstatSync(path).gid, gid)
  if (process.getuid?.() !== 0) return
  const other = await createSocketDir({ dir, group: '54321' })
  t.equal(lstatSync(other.path).gid, 54_321)
})

t.test('where it cannot be made, nothing is left behind', async (t) => {
  const dir = shortDir(t)
  await t.rejects(createSocketDir({ dir: join(dir, 'none') }), {
    code: 'ERR_SOCKET_LISTEN',
    message: /none/,
    cause: { code: 'ENOENT' }
  })
  await t.rejects(createSocketDir({ dir, group: 'no such group' }), { code: 'ERR_CONFIG_INVALID' })
  t.same(readdirSync(dir), [])
  if (process.getuid?.() === 0) return
  await t.rejects(createSocketDir({ dir, group: '0' }), {
    code: 'ERR_SOCKET_LISTEN',
    cause: { code: 'EPERM' }
  })
  t.same(readdirSync(dir), [])
})

t.test("a path that leaves no room for a Go plugin's socket is refused, nothing being made", async (t) => {
  const base = shortDir(t)
  const { path, remove } = await createSocketDir({ dir: base })
  const own = basename(path).length
  remove()
  const room = longestPathBytes - '/plugin0123456789'.length - own - 1
  const inDir = (bytes: number) => {
    const dir = join(base, 'd'.repeat(bytes - base.length - 1))
    mkdirSync(dir)
    return dir
  }
  const [fits, tooLong] = [inDir(room), inDir(room + 1)]
  const { path: there } = await createSocketDir({ dir: fits })
  const go = join(there, 'plugin0123456789')
  t.equal(go.length, longestPathBytes)
  await bind(t, go)
  const listener = await listenSocket({ kind: 'unix', dir: there, onConnection: () => {} })
  await listener.close()
  await t.rejects(createSocketDir({ dir: tooLong }), { code: 'ERR_CONFIG_INVALID' })
  t.same(readdirSync(tooLong), [])
})

t.test('removing it takes the sockets in it along, also those that somebody listens on', async (t) => {
  const { path, remove } = await createSocketDir({ dir: shortDir(t) })
  await bind(t, join(path, 'plugin1'))
  await bind(t, join(path, 'anything'))
  t.same(remove(), [])
  t.notOk(existsSync(path))
  t.same(remove(), [], 'again')
})

t.test('what is no socket stays, and so does the directory until that is gone', async (t) => {
  const dir = shortDir(t)
  const { path, remove } = await createSocketDir({ dir })
  const outside = join(dir, 'outside')
  await bind(t, outside)
  await bind(t, join(path, 'plugin1'))
  writeFileSync(join(path, 'file'), '')
  mkdirSync(join(path, 'nested'))
  await bind(t, join(path, 'nested/plugin2'))
  symlinkSync(outside, join(path, 'link'))
  symlinkSync(dir, join(path, 'linked'))
  const rest = ['file', 'link', 'linked', 'nested']
  t.same(
    remove(),
    rest.map((name) => join(path, name))
  )
  t.same(readdirSync(path), rest)
  t.ok(existsSync(outside), 'where a link leads, too')
  t.ok(existsSync(join(path, 'nested/plugin2')))
  for (const name of rest) rmSync(join(path, name), { recursive: true })
  t.same(remove(), [])
  t.same(readdirSync(dir), ['outside'])
})

t.test('what has taken its place is left alone', async (t) => {
  const dir = shortDir(t)
  const { path, remove } = await createSocketDir({ dir })
  renameSync(path, `${path}-moved`)
  const other = join(dir, 'other')
  mkdirSync(other)
  await bind(t, join(other, 'plugin1'))
  symlinkSync(other, path)
  t.same(remove(), [])
  t.ok(lstatSync(path).isSymbolicLink())
  t.ok(existsSync(join(other, 'plugin1')))
})

t.test('what the system does not let go is told of', async (t) => {
  if (process.getuid?.() === 0) return t.comment('root may remove everything')
  const dir = shortDir(t)
  const { path, remove } = await createSocketDir({ dir })
  await bind(t, join(path, 'plugin1'))
  chmodSync(path, 0o500)
  t.same(remove(), [join(path, 'plugin1')])
  chmodSync(path, 0o700)
  chmodSync(dir, 0o500)
  t.teardown(() => chmodSync(dir, 0o700))
  t.same(remove(), [path])
})

t.test('it goes with the process, but for what was put into it', async (t) => {
  const dir = shortDir(t)
  const module = (name: string) => JSON.stringify(join(import.meta.dirname, `../../lib/stream/${name}.js`))
  writeFileSync(
    join(dir, 'run.mjs'),
    `import { writeFileSync } from 'node:fs'
     import { createServer } from 'node:net'
     import { createSocketDir } from ${module('socket-dir')}
     import { listenSocket } from ${module('socket')}
     const dir = ${JSON.stringify(dir)}
     const [kept, gone] = [await createSocketDir({ dir }), await createSocketDir({ dir })]
     for (const { path } of [kept, gone]) {
       await listenSocket({ kind: 'unix', dir: path, onConnection: () => {} })
       await new Promise((resolve) => createServer().listen(path + '/plugin1', resolve))
     }
     writeFileSync(kept.path + '/notes', '')
     kept.remove()
     process.stdout.write(kept.path)
     process.exit(3)`
  )
  const child = spawn(process.execPath, [join(dir, 'run.mjs')], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(() => child.kill('SIGKILL'))
  const exited = once(child, 'exit')
  const [kept] = (await once(child.stdout, 'data')) as [Buffer]
  t.same(await exited, [3, null])
  t.same(readdirSync(dir).sort(), [basename(String(kept)), 'run.mjs'])
  t.same(readdirSync(String(kept)), ['notes'])
})
