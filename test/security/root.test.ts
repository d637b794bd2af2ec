import '../helpers/plain-children.js'
import { execFileSync } from 'node:child_process'
import { type Server, createServer } from 'node:net'
import { once } from 'node:events'
import { readFileSync, readdirSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { status } from '@grpc/grpc-js'
import t, { type Test } from 'tap'
import { isPluginError } from '../../lib/errors.js'
import { descriptorGround, pathGround } from '../../lib/security/root-ground.js'
import { isUnsafeOnWindows, nameText } from '../../lib/security/root-path.js'
import {
  type Root,
  type RootPath,
  type WritableRoot,
  openRoot,
  openRootOn,
  typeOf
} from '../../lib/security/root.js'
import { packageRoot } from '../helpers/paths.js'
import { openArena, race } from './race.js'

type CasePath =
  string | { readonly hex: string } | { readonly repeat: readonly [string, number]; readonly then?: string }

interface Case {
  readonly path: CasePath
  readonly all?: string
  readonly read?: string
  readonly list?: string
  readonly stat?: string
  /** A platform, where others have other rules. */
  readonly only?: string
}

interface Corpus {
  readonly tree: readonly (readonly [kind: string, path: string, content?: string])[]
  readonly groups: readonly { readonly title: string; readonly cases: readonly Case[] }[]
}

const corpus = JSON.parse(readFileSync(join(packageRoot, 'test/security/escapes.json'), 'utf8')) as Corpus
const linux = process.platform === 'linux'
const skip = process.platform === 'win32' && 'Windows has other names, and links are a privilege'
const grounds = [
  ['descriptors', descriptorGround, linux ? skip : 'Linux only'],
  ['paths', pathGround, skip]
] as const

async function temporary(t: Test): Promise<string> {
  const base = await mkdtemp(join(tmpdir(), 'muxplug-test-'))
  t.teardown(() => rm(base, { recursive: true }))
  return base
}

async function plant(t: Test, base: string): Promise<void> {
  for (const [kind, path, content = ''] of corpus.tree) {
    const place = bytesOf(join(base, path))
    await mkdir(dirname(place.toString()), { recursive: true })
    if (kind === 'directory') await mkdir(place, { recursive: true })
    else if (kind === 'file') await writeFile(place, content)
    else if (kind === 'link') await symlink(content.replace('{base}', base), place)
    else if (kind === 'fifo') execFileSync('mkfifo', [place.toString()])
    else if (kind === 'socket') await listen(t, place.toString())
    else t.fail(`${kind} is no kind of file`)
  }
}

async function listen(t: Test, path: string): Promise<void> {
  const server: Server = createServer().listen(path)
  await once(server, 'listening')
  t.teardown(() => new Promise((resolve) => server.close(resolve)))
}

/** `hex:ff` at the end of a path is a name of that byte. */
function bytesOf(path: string): Buffer {
  const [, front, hex] = /^(.*)hex:(\w+)$/.exec(path) ?? []
  return front === undefined
    ? Buffer.from(path)
    : Buffer.concat([Buffer.from(front), Buffer.from(hex!, 'hex')])
}

function pathOf(path: CasePath, base: string): RootPath {
  if (typeof path === 'string') return path.replace('{base}', base)
  if ('hex' in path) return Buffer.from(path.hex.replaceAll(' ', ''), 'hex')
  return path.repeat[0].repeat(path.repeat[1]) + (path.then ?? '')
}

const operations: Readonly<
  Record<'read' | 'list' | 'stat', (root: Root, path: RootPath) => Promise<string>>
> = {
  read: async (root, path) => (await root.readFile(path)).toString(),
  list: async (root, path) =>
    (await root.readdir(path))
      .map(({ name }) => name.toString())
      .sort()
      .join(),
  stat: async (root, path) => typeOf(await root.stat(path))
}

for (const [kind, ground, skipped] of grounds) {
  t.test(`by ${kind}`, { skip: skipped }, async (t) => {
    const base = await temporary(t)
    await plant(t, base)
    const root = await openRootOn(ground, join(base, 'root'))
    t.teardown(() => root.close())
    const descriptors = () => (linux ? readdirSync('/proc/self/fd').length : 0)
    const before = descriptors()

    for (const { title, cases } of corpus.groups) {
      t.test(title, async (t) => {
        for (const { path, all, only, ...expected } of cases) {
          if (only !== undefined && only !== process.platform) continue
          const named = pathOf(path, base)
          const found: Record<string, string> = {}
          for (const [operation, run] of Object.entries(operations)) {
            found[operation] = await run(root, named).catch((error: unknown) => describe(error, base, named))
          }
          const wanted = all === undefined ? expected : { read: all, list: all, stat: all }
          t.same(found, wanted, JSON.stringify(path).slice(0, 60))
        }
      })
    }

    t.test('every descriptor is closed again, however the call went', async (t) => {
      t.equal(descriptors(), before)
    })
  })
}

/** The name of the status, of an error that tells the caller's words and nothing of the host. */
function describe(error: unknown, base: string, path: RootPath): string {
  if (!isPluginError(error, 'ERR_SECURITY_PATH')) throw error
  const { message, details, status: code } = error
  const tells = !String(path).includes(base) && message.includes(base)
  if (tells || message.includes('/proc/self/fd/') || message.length > 400 || details !== message)
    return message
  return status[code!]!
}

t.test(
  'while another process replaces what is inside, no read gets anything from outside',
  { skip: !linux && 'Linux only' },
  async (t) => {
    await using arena = await openArena()
    // The attack is one only if both sides of it were met.
    const { leaked } = await race(arena, ({ reads, inside, refused }) => {
      return reads < 2000 || inside === 0 || refused === 0
    })
    t.equal(leaked, 0)
  }
)

async function smallRoot(t: Test, ground = linux ? descriptorGround : pathGround) {
  const base = await temporary(t)
  const directory = join(base, 'root')
  await mkdir(join(directory, 'sub'), { recursive: true })
  await mkdir(join(base, 'outside'))
  await writeFile(join(directory, 'file'), 'inside')
  await writeFile(join(base, 'outside/secret'), 'SECRET')
  for (const [name, target] of [
    ['out', '../outside'],
    ['out-file', '../outside/secret'],
    ['out-new', '../outside/new'],
    ['to-file', 'sub/../file'],
    ['to-new', 'sub/new']
  ] as const) {
    await symlink(target, join(directory, name))
  }
  const root = (await openRootOn(ground, directory, { writable: true })) as WritableRoot
  t.teardown(() => root.close())
  return { base, directory, root }
}

const denied = { code: 'ERR_SECURITY_PATH', status: status.PERMISSION_DENIED }
const failed = { code: 'ERR_SECURITY_PATH', status: status.FAILED_PRECONDITION }
const invalid = { code: 'ERR_SECURITY_PATH', status: status.INVALID_ARGUMENT }
const missing = { code: 'ERR_SECURITY_PATH', status: status.NOT_FOUND }

t.test('a root that was not granted writing has no means to write', async (t) => {
  const { directory } = await smallRoot(t)
  await using root = await openRoot(directory)
  t.same(Object.keys(root).sort(), ['close', 'entries', 'lstat', 'open', 'readFile', 'readdir', 'stat'])
  await using file = await root.open('file')
  await t.rejects(file.write('x'), { code: 'EBADF' })
})

for (const [kind, ground, skipped] of grounds) {
  t.test(`writing stays inside, by ${kind}`, { skip: skipped }, async (t) => {
    const { base, directory, root } = await smallRoot(t, ground)
    const content = (path: string) => readFile(join(directory, path), 'utf8')

    await root.writeFile('new', 'one')
    await root.writeFile('new', 'a')
    t.equal(await content('new'), 'a', 'a file that is there is emptied first')
    await root.writeFile('to-file', 'through')
    t.equal(await content('file'), 'through', 'links are followed while they stay inside')
    await root.writeFile('to-new', 'made')
    t.equal(await content('sub/new'), 'made', 'also to a file that is not there yet')
    await root.mkdir('sub/made/')
    await root.rename('new', 'sub/made/moved')
    t.equal(await content('sub/made/moved'), 'a')
    await root.rename('out', 'sub/still-out')
    await t.rejects(root.readFile('sub/still-out/secret'), missing, 'a link is renamed, not followed')
    await root.remove('sub/still-out')
    await root.remove('sub/made/moved')
    await root.remove('sub/made')
    t.same(await readdir(join(directory, 'sub')), ['new'])

    await symlink('../outside', join(directory, 'out'))
    for (const path of ['../new', 'out/new', 'out-file', 'out-new', '/tmp/new', 'sub/../../outside/secret']) {
      await t.rejects(root.writeFile(path, 'x'), denied, path)
    }
    for (const path of ['../new', 'out/new', '/tmp/new']) {
      await t.rejects(root.mkdir(path), denied, path)
      await t.rejects(root.remove(path), denied, path)
      await t.rejects(root.rename('file', path), denied, path)
      await t.rejects(root.rename(path, 'file'), denied, path)
    }
    for (const path of ['.', '', 'sub/.', 'sub/..', 'sub/', 'sub/../sub/..']) {
      await t.rejects(root.remove(path), invalid, path)
      await t.rejects(root.rename(path, 'other'), invalid, path)
    }
    await t.rejects(root.remove('sub'), failed, 'a directory that is not empty')
    await t.rejects(root.writeFile('sub', 'x'), failed)
    const exists = { code: 'ERR_SECURITY_PATH', status: status.ALREADY_EXISTS }
    for (const path of ['sub', 'file', 'out', 'out-new']) await t.rejects(root.mkdir(path), exists, path)
    execFileSync('mkfifo', [join(directory, 'fifo')])
    await t.rejects(root.writeFile('fifo', 'x'), failed, 'a FIFO is not opened')
    t.same(await readdir(join(base, 'outside')), ['secret'])
    t.equal(await readFile(join(base, 'outside/secret'), 'utf8'), 'SECRET')
  })
}

t.test('the permissions of what is made are those asked for, and no more than permissions', async (t) => {
  const { root } = await smallRoot(t)
  await root.writeFile('script', '', { mode: 0o4700 })
  await root.mkdir('private', { mode: 0o1700 })
  t.equal((await root.stat('script')).mode & 0o7777, 0o700)
  t.equal((await root.stat('private')).mode & 0o7777, 0o700)
})

t.test(
  'renaming the directory that is shared changes nothing',
  { skip: !linux && 'Linux only' },
  async (t) => {
    const { base, directory, root } = await smallRoot(t)
    await rename(directory, join(base, 'renamed'))
    await mkdir(directory)
    await writeFile(join(directory, 'file'), 'another')
    t.equal((await root.readFile('file')).toString(), 'inside')
  }
)

t.test('entries tell type, size and time, links as links; a listing may be left', async (t) => {
  const { root } = await smallRoot(t)
  const found: Record<string, unknown> = {}
  for await (const { name, type, stats } of root.entries('.')) found[name.toString()] = [type, stats?.size]
  t.match(found, { file: ['file', 6], sub: ['directory', Number], out: ['symlink', '../outside'.length] })
  t.equal(Object.keys(found).length, 7)

  const before = linux ? readdirSync('/proc/self/fd').length : 0
  for await (const _ of root.entries('.')) break
  t.equal(linux ? readdirSync('/proc/self/fd').length : 0, before, 'and leaves nothing open')
  await t.rejects(root.entries('out').next(), denied)
  t.match(await root.lstat('out'), { size: '../outside'.length })
  t.ok((await root.lstat('.')).isDirectory())
})

t.test('what disappears while it is listed is left out', async (t) => {
  const { directory, root } = await smallRoot(t)
  for (let index = 0; index < 100; index += 1) await root.writeFile(`sub/${index}`, '')
  const names: string[] = []
  for await (const { name } of root.entries('sub')) {
    // The first batch has been looked at, the rest has not.
    if (names.length === 0) await rm(join(directory, 'sub'), { recursive: true })
    names.push(name.toString())
  }
  t.ok(names.length < 100)
  t.equal(new Set(names).size, names.length)
})

t.test(
  'as many links are followed as Linux follows, and a path costs a bounded number of steps',
  async (t) => {
    const { directory, root } = await smallRoot(t)
    await symlink('file', join(directory, 'link-1'))
    for (let index = 2; index <= 41; index += 1) {
      await symlink(`link-${index - 1}`, join(directory, `link-${index}`))
    }
    t.equal((await root.readFile('link-40')).toString(), 'inside')
    await t.rejects(root.readFile('link-41'), { ...invalid, message: /too many symbolic links/ })
    const deep = 'd/'.repeat(10)
    await mkdir(join(directory, deep), { recursive: true })
    // Each `..` goes down again from the top.
    t.ok((await root.stat(`${deep}${'../d/'.repeat(300)}`)).isDirectory())
    await t.rejects(root.stat(`${deep}${'../d/'.repeat(800)}`), { ...invalid, message: /too many steps/ })
  }
)

t.test('close lets calls under way end, and refuses later ones', async (t) => {
  const { root } = await smallRoot(t)
  const reading = root.readFile(`${'sub/../'.repeat(300)}file`)
  await using file = await root.open('file')
  const closing = root.close()
  t.equal(root.close(), closing)
  t.equal((await reading).toString(), 'inside')
  await closing
  const closed = { code: 'ERR_SECURITY_PATH', status: status.UNAVAILABLE }
  await t.rejects(root.readFile('file'), closed)
  await t.rejects(root.remove('file'), closed)
  t.equal((await file.readFile()).toString(), 'inside', 'what is open stays open')
})

t.test('an aborted signal rejects with its reason', async (t) => {
  const { root } = await smallRoot(t)
  const reason = new Error('enough')
  const signal = AbortSignal.abort(reason)
  for (const call of [
    root.open,
    root.readFile,
    root.readdir,
    root.stat,
    root.lstat,
    root.mkdir,
    root.remove
  ]) {
    await t.rejects(async () => void (await call('file', { signal })), reason)
  }
  await root.writeFile('large', Buffer.alloc(4 * 1024 * 1024))
  for (const transfer of [
    (signal: AbortSignal) => root.readFile('large', { signal }),
    (signal: AbortSignal) => root.writeFile('other', Buffer.alloc(4 * 1024 * 1024), { signal })
  ]) {
    const reasons = new Set<unknown>()
    // Whether it is walking, opening or in the middle of the bytes.
    for (let turns = 0; turns < 30; turns += 1) {
      const controller = new AbortController()
      const done = transfer(controller.signal).catch((error: unknown) => reasons.add(error))
      for (let turn = 0; turn < turns; turn += 1) await new Promise(setImmediate)
      controller.abort(reason)
      await done
    }
    t.same([...reasons], [reason])
  }

  const controller = new AbortController()
  const listing = root.entries('.', { signal: controller.signal })
  await listing.next()
  const walking = root.readFile('sub/../'.repeat(500), { signal: controller.signal })
  controller.abort(reason)
  await t.rejects(walking, reason)
  await listing.return()
})

t.test('what cannot be shared is told before anything is', async (t) => {
  const { directory } = await smallRoot(t)
  for (const path of [join(directory, 'missing'), join(directory, 'file')]) {
    await t.rejects(openRoot(path), { code: 'ERR_CONFIG_INVALID', hint: String, message: new RegExp(path) })
  }
})

t.test('names that mean something else to Windows are known', (t) => {
  for (const name of [
    'a\\b',
    'C:',
    'file:stream',
    'con',
    'NUL.txt',
    'com1',
    'LPT¹'.replace('¹', '\u00c2\u00b9')
  ]) {
    t.ok(isUnsafeOnWindows(name), name)
  }
  for (const name of ['dot.', 'space ', 'what?', 'a*', '"', '\u0001', 'aux .c', 'conin$']) {
    t.ok(isUnsafeOnWindows(name), name)
  }
  for (const name of ['..', 'console', 'com10', 'file.txt', '.hidden', 'a b', 'nul-']) {
    t.notOk(isUnsafeOnWindows(name), name)
  }
  t.end()
})

t.test('a name that is not UTF-8 is shown with its odd bytes in hexadecimal', (t) => {
  t.equal(nameText(Buffer.from('é')), 'é')
  t.equal(nameText(Buffer.from([0x61, 0xff, 0xc3, 0xa9, 0xe2, 0x82])), 'a\\xffé\\xe2\\x82')
  t.end()
})
