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
  symlinkSync,
  utimesSync,
  writeFileSync
} from 'node:fs'
import { type Server, createServer } from 'node:net'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { longestPathBytes, processSpace } from '../../lib/stream/socket-path.js'
import { removeStaleSocket, sweepSockets } from '../../lib/stream/socket-sweep.js'
import { shortDir } from '../helpers/short-dir.js'

/** A process ID that was one and is none now. */
const deadPid = await (async () => {
  const child = spawn(process.execPath, ['-e', '0'], { stdio: 'ignore' })
  await once(child, 'exit')
  return child.pid!
})()

/** The name of something that a killed process left, with one thing changed for each refusal. */
function leftName({ pid = deadPid, space = processSpace() } = {}): string {
  const random = Math.floor(Math.random() * 2 ** 40).toString(16)
  return `plugin-mx-${space}-${pid}-${random.padStart(12, '0')}`
}

const otherSpace = processSpace() === '000000' ? '000001' : '000000'

const anHourAgo = new Date(Date.now() - 3_600_000)

function age(path: string): string {
  utimesSync(path, anHourAgo, anHourAgo)
  return path
}

async function bind(t: Test, path: string): Promise<Server> {
  const server = createServer((connection) => connection.destroy()).listen(path)
  t.teardown(() => server.close())
  await once(server, 'listening')
  return server
}

/** A socket that nobody listens on any more. */
async function deadSocket(t: Test, path: string): Promise<string> {
  const server = await bind(t, `${path}~`)
  // Closing would remove it by its first name.
  renameSync(`${path}~`, path)
  server.close()
  await once(server, 'close')
  return age(path)
}

/** A directory left behind with a dead socket in it. */
async function deadDir(t: Test, path: string): Promise<string> {
  mkdirSync(path)
  await deadSocket(t, join(path, 'plugin1'))
  return age(path)
}

t.test('what a killed process left is swept', async (t) => {
  const dir = shortDir(t)
  const path = join(dir, leftName())
  const child = spawn(
    process.execPath,
    [
      '-e',
      `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
    ],
    { stdio: 'ignore' }
  )
  await once(child, 'exit')
  const paths = [age(path), await deadSocket(t, join(dir, leftName()))].sort()
  t.same((await sweepSockets(dir)).sort(), paths)
  t.same(readdirSync(dir), [])
  t.same(await sweepSockets(join(dir, 'none')), [])
})

t.test('no other socket is', async (t) => {
  const dir = shortDir(t)
  const inDir = (name: string) => join(dir, name)
  const listening = inDir(leftName())
  await bind(t, listening)
  const file = inDir(leftName())
  writeFileSync(file, '')
  const young = await deadSocket(t, inDir(leftName()))
  utimesSync(young, new Date(), new Date())
  const link = inDir(leftName())
  symlinkSync(await deadSocket(t, inDir('target')), link)
  const kept = {
    'of go-plugin': await deadSocket(t, inDir('plugin1234567890')),
    'with an addition to its name': await deadSocket(t, `${inDir(leftName())}c`),
    'of another machine or container': await deadSocket(t, inDir(leftName({ space: otherSpace }))),
    'of a process that lives': await deadSocket(t, inDir(leftName({ pid: process.pid }))),
    'of a process that lives under another user': await deadSocket(t, inDir(leftName({ pid: 1 }))),
    'that is young': young,
    'that somebody listens on': age(listening),
    'that is no socket': age(file),
    'that a link of such a name leads to': join(dir, 'target')
  }
  t.same(await sweepSockets(dir), [])
  for (const [name, path] of Object.entries(kept)) t.ok(existsSync(path), name)
  t.ok(lstatSync(link).isSymbolicLink(), 'nor the link')
})

t.test('a directory that a killed process left is swept with its sockets', async (t) => {
  const dir = shortDir(t)
  const full = await deadDir(t, join(dir, leftName()))
  await deadSocket(t, join(full, 'plugin-mx-any'))
  const empty = join(dir, leftName())
  mkdirSync(empty)
  const paths = [age(full), age(empty)].sort()
  t.same((await sweepSockets(dir)).sort(), paths)
  t.same(readdirSync(dir), [])
})

t.test('no other directory is, nor anything in it', async (t) => {
  const dir = shortDir(t)
  const path = (options?: { pid?: number; space?: string }) => join(dir, leftName(options))
  const foreign = await deadDir(t, path())
  writeFileSync(join(foreign, 'zz-notes'), '')
  const nested = await deadDir(t, path())
  mkdirSync(join(nested, 'zz-more'))
  const linking = await deadDir(t, path())
  symlinkSync(join(linking, 'plugin1'), join(linking, 'zz-link'))
  const listening = await deadDir(t, path())
  await bind(t, join(listening, 'zz-alive'))
  const young = await deadDir(t, path())
  utimesSync(young, new Date(), new Date())
  const target = await deadDir(t, join(dir, 'target'))
  const link = path()
  symlinkSync(target, link)
  const kept = {
    'with a file in it': age(foreign),
    'with a directory in it': age(nested),
    'with a link in it': age(linking),
    'with a socket that somebody listens on': age(listening),
    'that is young': young,
    'with an addition to its name': await deadDir(t, `${path()}c`),
    'of another machine or container': await deadDir(t, path({ space: otherSpace })),
    'of a process that lives': await deadDir(t, path({ pid: process.pid })),
    'of a process that lives under another user': await deadDir(t, path({ pid: 1 })),
    'that a link of such a name leads to': target
  }
  t.same(await sweepSockets(dir), [])
  for (const [name, left] of Object.entries(kept)) t.ok(existsSync(join(left, 'plugin1')), name)
  t.ok(lstatSync(link).isSymbolicLink(), 'nor the link')
})

/** Makes this process think that it is another user's, until what is returned is called. */
function asAnotherUser(t: Test): () => void {
  const { getuid } = process
  const restore = (): void => void Object.assign(process, { getuid })
  t.teardown(restore)
  Object.assign(process, { getuid: () => (getuid?.() ?? 0) + 1 })
  return restore
}

t.test('what belongs to another user is left', async (t) => {
  const dir = shortDir(t)
  const paths = [await deadSocket(t, join(dir, leftName())), await deadDir(t, join(dir, leftName()))].sort()
  const restore = asAnotherUser(t)
  t.same(await sweepSockets(dir), [])
  restore()
  t.same((await sweepSockets(dir)).sort(), paths)
})

t.test('a process that may not be asked whether it lives does', async (t) => {
  const dir = shortDir(t)
  const path = await deadSocket(t, join(dir, leftName()))
  const { kill } = process
  t.teardown(() => Object.assign(process, { kill }))
  Object.assign(process, {
    kill() {
      throw Object.assign(new Error('kill EPERM'), { code: 'EPERM' })
    }
  })
  t.same(await sweepSockets(dir), [])
  Object.assign(process, { kill })
  t.same(await sweepSockets(dir), [path])
})

t.test('what may not be removed does not stop the sweep', async (t) => {
  if (process.getuid?.() === 0) return t.comment('root may remove everything')
  const dir = shortDir(t)
  await deadSocket(t, join(dir, leftName()))
  await deadDir(t, join(dir, leftName()))
  chmodSync(dir, 0o500)
  t.teardown(() => chmodSync(dir, 0o700))
  t.same(await sweepSockets(dir), [])
})

t.test('the socket of a plugin that has ended is removed, whatever its name', async (t) => {
  const path = await deadSocket(t, join(shortDir(t), 'plugin1234567890'))
  t.equal(await removeStaleSocket(path), true)
  t.same(readdirSync(dirname(path)), [])
  t.equal(await removeStaleSocket(path), false)
})

t.test('but not what a plugin could have named instead', async (t) => {
  const dir = shortDir(t)
  const dead = await deadSocket(t, join(dir, 'dead'))
  const listening = join(dir, 'listening')
  await bind(t, listening)
  const file = join(dir, 'file')
  writeFileSync(file, '')
  const link = join(dir, 'link')
  symlinkSync(dead, link)
  for (const path of [listening, file, link, dir, '', join(dir, 'none'), `${dead}\0`]) {
    t.equal(await removeStaleSocket(path), false, JSON.stringify(path))
  }
  t.same(readdirSync(dir), ['dead', 'file', 'link', 'listening'])
  const restore = asAnotherUser(t)
  t.equal(await removeStaleSocket(dead), false, 'nor a socket of another user')
  restore()
  t.equal(await removeStaleSocket(dead), true)
})

t.test('a path too long to connect to is not taken for the shorter one', async (t) => {
  const base = shortDir(t)
  const dir = join(base, 'd'.repeat(longestPathBytes - base.length - '/d/dead'.length + 1))
  mkdirSync(dir)
  const dead = await deadSocket(t, join(dir, 'dea'))
  renameSync(dead, join(dir, 'dead'))
  t.equal(join(dir, 'dead').length, longestPathBytes)
  const alive = join(dir, 'deadx')
  const before = process.cwd()
  process.chdir(dir)
  try {
    await bind(t, 'deadx')
  } finally {
    process.chdir(before)
  }
  t.equal(await removeStaleSocket(alive), false)
  t.ok(existsSync(alive))
  t.equal(await removeStaleSocket(join(dir, 'dead')), true)
})
