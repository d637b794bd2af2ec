import '../helpers/plain-children.js'
import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { mkdir, mkdtemp, open, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { status } from '@grpc/grpc-js'
import t, { type Test } from 'tap'
import {
  type DirEntry,
  FileType,
  HostService,
  LogRequest,
  type ReadFileRequest
} from '#proto/hostserve/v1/hostserve.js'
import type { PluginError } from '../../lib/errors.js'
import { implement } from '../../lib/grpc/handler.js'
import { openRoot } from '../../lib/security/root.js'
import { type HostServiceOptions, createHostService, limitRate } from '../../lib/services/host-service.js'
import { connectTo } from '../helpers/connection.js'
import { recordingLogger } from '../helpers/launch.js'

const { Level } = LogRequest
const linux = process.platform === 'linux'

/** A directory that may be read beside one that may not, and a client of the service for it. */
async function serveDirectory(t: Test, options: Partial<HostServiceOptions> = {}) {
  const base = await mkdtemp(join(tmpdir(), 'muxplug-test-'))
  t.teardown(() => rm(base, { recursive: true }))
  const directory = join(base, 'root')
  await mkdir(join(directory, 'sub'), { recursive: true })
  await mkdir(join(base, 'outside'))
  await writeFile(join(base, 'outside/secret'), 'SECRET')
  await writeFile(join(directory, 'file'), 'hello, plugin')
  await symlink('file', join(directory, 'link'))
  await symlink('../outside', join(directory, 'out'))
  const root = await openRoot(directory)
  t.teardown(() => root.close())
  const service = implement(HostService, createHostService({ root, ...options }))
  const files = connectTo(t, [service]).dispense(HostService)
  const read = async (request: ReadFileRequest.Init): Promise<Buffer[]> => {
    const chunks: Buffer[] = []
    for await (const { data } of files.readFile(request)) chunks.push(Buffer.from(data))
    return chunks
  }
  const stream = async (path: string): Promise<DirEntry[][]> => {
    const batches: DirEntry[][] = []
    for await (const { entries } of files.streamDir({ path })) batches.push(entries)
    return batches
  }
  return { base, directory, files, read, stream }
}

const namesOf = (entries: readonly DirEntry[]): string[] => entries.map(({ name }) => name)

function failure(code: number, details?: RegExp | string) {
  return { code: 'ERR_CALL_FAILED', status: code, ...(details === undefined ? {} : { details }) }
}

async function makeFiles(directory: string, count: number): Promise<void> {
  for (let index = 0; index < count; index += 1) await writeFile(join(directory, `f${index}`), '')
}

t.test('a directory is read at once, sorted, each entry with type, size and time', async (t) => {
  const { directory, files, stream } = await serveDirectory(t)
  await utimes(join(directory, 'file'), 1, 1234.5)
  const wanted = [
    { name: 'file', isDir: false, type: FileType.FILE_TYPE_FILE, size: 13, mtimeMs: 1_234_500 },
    { name: 'link', isDir: false, type: FileType.FILE_TYPE_SYMLINK, size: 4 },
    { name: 'out', isDir: false, type: FileType.FILE_TYPE_SYMLINK },
    { name: 'sub', isDir: true, type: FileType.FILE_TYPE_DIRECTORY }
  ]
  for (const path of ['.', '', 'sub/..']) {
    const { entries, nextPageToken } = await files.readDir({ path })
    t.match(entries, wanted)
    t.equal(entries.length, 4)
    t.equal(nextPageToken, '')
  }
  const streamed = (await stream('.')).flat()
  t.match(
    streamed.sort((a, b) => (a.name < b.name ? -1 : 1)),
    wanted
  )
  t.same((await files.readDir({ path: 'sub' })).entries, [])
  t.same(await stream('sub'), [])
})

t.test('pages tell each entry once, in order, also while entries come and go', async (t) => {
  const { directory, files } = await serveDirectory(t, { maxPageEntries: 7 })
  await makeFiles(join(directory, 'sub'), 50)
  const pages: string[][] = []
  let pageToken = ''
  do {
    const page = await files.readDir({ path: 'sub', pageSize: 1000, pageToken })
    pages.push(namesOf(page.entries))
    pageToken = page.nextPageToken
    if (pages.length === 2) {
      await rm(join(directory, 'sub', pages[0]![3]!))
      await writeFile(join(directory, 'sub', 'a-new-one-in-front'), '')
    }
  } while (pageToken !== '')
  t.ok(pages.every(({ length }) => length <= 7))
  const names = pages.flat()
  t.same(names, [...names].sort())
  t.equal(new Set(names).size, 50)
  const exact = await files.readDir({ path: 'sub', pageSize: 50 })
  t.equal(exact.entries.length, 7, 'the page is as large as the host allows')
  await t.rejects(
    files.readDir({ path: 'sub', pageSize: 5, pageToken: 'no token!' }),
    failure(status.INVALID_ARGUMENT)
  )
  await t.rejects(
    files.readDir({ path: 'sub', pageSize: 5, pageToken: 'A'.repeat(100_000) }),
    failure(status.INVALID_ARGUMENT)
  )
})

t.test('the last page has no token, also when it is full', async (t) => {
  const { directory, files } = await serveDirectory(t)
  await makeFiles(join(directory, 'sub'), 10)
  const first = await files.readDir({ path: 'sub', pageSize: 5 })
  t.equal(first.entries.length, 5)
  const second = await files.readDir({ path: 'sub', pageSize: 5, pageToken: first.nextPageToken })
  t.equal(second.entries.length, 5)
  t.equal(second.nextPageToken, '')
})

t.test('a directory too large for one response is refused whole, and can be streamed', async (t) => {
  const { directory, files, stream } = await serveDirectory(t, { maxEntries: 299 })
  await makeFiles(join(directory, 'sub'), 300)
  await t.rejects(files.readDir({ path: 'sub' }), failure(status.RESOURCE_EXHAUSTED, /more than 299 entries/))
  const batches = await stream('sub')
  t.ok(batches.length > 1)
  t.equal(new Set(namesOf(batches.flat())).size, 300)
  await rm(join(directory, 'sub/f0'))
  t.equal((await files.readDir({ path: 'sub' })).entries.length, 299)
})

t.test('a file comes in chunks of 64 KiB, or of what the plugin asks and the host allows', async (t) => {
  const { directory, read } = await serveDirectory(t, { maxChunkBytes: 100_000 })
  const content = Buffer.from(Array.from({ length: 250_000 }, (_, index) => index % 251))
  await writeFile(join(directory, 'big'), content)
  for (const [chunkBytes, lengths] of [
    [0, [65_536, 65_536, 65_536, 53_392]],
    [90_000, [90_000, 90_000, 70_000]],
    [4_000_000_000, [100_000, 100_000, 50_000]]
  ] as const) {
    const chunks = await read({ path: 'big', chunkBytes })
    t.same(
      chunks.map(({ length }) => length),
      lengths
    )
    t.ok(Buffer.concat(chunks).equals(content))
  }
})

t.test('a range is what it says, and nothing where there is nothing', async (t) => {
  const { read, directory } = await serveDirectory(t)
  const range = async (offset: number, length: number) =>
    Buffer.concat(await read({ path: 'link', offset, length, chunkBytes: 4 })).toString()
  t.equal(await range(0, 0), 'hello, plugin')
  t.equal(await range(7, 0), 'plugin')
  t.equal(await range(7, 4), 'plug')
  t.equal(await range(2, 5), 'llo, ')
  t.equal(await range(11, 100), 'in')
  t.equal(await range(13, 0), '')
  t.equal(await range(Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER), '')
  // Sparse: it takes no room.
  await truncate(join(directory, 'file'), 5 * 1024 ** 3)
  const file = await open(join(directory, 'file'), 'r+')
  await file.write('far', 4.5 * 1024 ** 3)
  await file.close()
  t.equal(await range(4.5 * 1024 ** 3, 3), 'far', 'behind 4 GiB')
})

t.test('stat follows links and opens nothing', async (t) => {
  const { directory, files } = await serveDirectory(t)
  t.match(await files.stat({ path: 'link' }), { type: FileType.FILE_TYPE_FILE, size: 13 })
  t.match(await files.stat({}), { type: FileType.FILE_TYPE_DIRECTORY })
  execFileSync('mkfifo', [join(directory, 'fifo')])
  t.match(await files.stat({ path: 'fifo' }), { type: FileType.FILE_TYPE_OTHER })
  await truncate(join(directory, 'file'), 5 * 1024 ** 3)
  t.match(await files.stat({ path: 'file' }), { size: 5 * 1024 ** 3 })
  await utimes(join(directory, 'file'), 1, new Date(-3_600_000))
  t.match(await files.stat({ path: 'file' }), { mtimeMs: -3_600_000 })
})

t.test('every method refuses what it should, by the name the plugin used', async (t) => {
  const { base, directory, files, read, stream } = await serveDirectory(t)
  execFileSync('mkfifo', [join(directory, 'fifo')])
  const calls: Readonly<Record<string, (path: string) => Promise<unknown>>> = {
    readDir: (path) => files.readDir({ path }),
    page: (path) => files.readDir({ path, pageSize: 1 }),
    streamDir: stream,
    readFile: (path) => read({ path }),
    stat: (path) => files.stat({ path })
  }
  const refusals: [path: string, code: number, except?: string][] = [
    ['../outside/secret', status.PERMISSION_DENIED],
    ['/etc/passwd', status.PERMISSION_DENIED],
    ['out', status.PERMISSION_DENIED],
    ['out/secret', status.PERMISSION_DENIED],
    ['missing', status.NOT_FOUND],
    ['file/below', status.FAILED_PRECONDITION],
    ['file', status.FAILED_PRECONDITION, 'readFile,stat'],
    ['fifo', status.FAILED_PRECONDITION, 'stat'],
    ['sub', status.FAILED_PRECONDITION, 'readDir,page,streamDir,stat'],
    ['a\0b', status.INVALID_ARGUMENT],
    ['x'.repeat(5000), status.INVALID_ARGUMENT]
  ]
  for (const [path, code, except = ''] of refusals) {
    for (const [name, call] of Object.entries(calls)) {
      if (except.split(',').includes(name)) continue
      const error = await call(path).then(
        () => t.fail(`${name} ${path} was answered`),
        (reason: unknown) => reason as PluginError
      )
      t.match(error, failure(code), `${name} ${JSON.stringify(path).slice(0, 40)}`)
      t.ok((error as PluginError).details!.startsWith(JSON.stringify(path).slice(0, 20)), 'names the path')
      t.notOk((error as PluginError).message.includes(base), "the host's own paths are not told")
    }
  }
})

t.test('a name that is not UTF-8 is listed and read by its bytes', { skip: !linux }, async (t) => {
  const { directory, files, read } = await serveDirectory(t)
  const rawName = Buffer.from([0x61, 0xff])
  await writeFile(Buffer.concat([Buffer.from(`${directory}/sub/`), rawName]), 'odd')
  const [entry] = (await files.readDir({ path: 'sub' })).entries
  t.match(entry, { name: 'a\\xff', size: 3 })
  t.ok(rawName.equals(entry!.rawName))
  const rawPath = Buffer.concat([Buffer.from('sub/'), entry!.rawName])
  t.equal(Buffer.concat(await read({ rawPath })).toString(), 'odd')
  t.match(await files.stat({ rawPath }), { size: 3 })
  await t.rejects(files.stat({ rawPath, path: 'sub' }), failure(status.INVALID_ARGUMENT))
  await t.rejects(
    files.stat({ rawPath: Buffer.concat([rawName, rawName]) }),
    failure(status.NOT_FOUND, '"a\\\\xffa\\\\xff" does not exist')
  )
})

t.test('a call that is given up leaves no file open', { skip: !linux }, async (t) => {
  const { directory, files } = await serveDirectory(t)
  await writeFile(join(directory, 'big'), Buffer.alloc(8 * 1024 * 1024))
  await makeFiles(join(directory, 'sub'), 600)
  const descriptors = () => readdirSync('/proc/self/fd').length
  const before = descriptors()
  for await (const { data } of files.readFile({ path: 'big' })) {
    t.equal(data.length, 65_536)
    break
  }
  for await (const { entries } of files.streamDir({ path: 'sub' })) {
    t.ok(entries.length > 0)
    break
  }
  const controller = new AbortController()
  const reason = new Error('enough')
  const aborted = (async () => {
    for await (const _ of files.readFile({ path: 'big' }, { signal: controller.signal }))
      controller.abort(reason)
  })()
  await t.rejects(aborted, reason)
  // The server hears of it a moment later.
  while (descriptors() > before) await new Promise((resolve) => setTimeout(resolve, 1))
})

t.test('records of the log come at their level, and cannot pass for the host', async (t) => {
  const logger = recordingLogger()
  const { files } = await serveDirectory(t, { logger })
  await files.log({ message: 'plain' })
  await files.log({ level: Level.LEVEL_ERROR, message: 'bad', fields: { pid: '1', colour: 'red' } })
  await files.log({ level: Level.LEVEL_TRACE, message: 'fine\n\u001b[2J\u009b1m' })
  t.match(logger.records, [
    { level: 'info', message: 'plain', fields: {} },
    { level: 'error', message: 'bad', fields: { pid_: '1', colour: 'red' } },
    { level: 'trace', message: 'fine\\n\\u001b[2J\\u009b1m' }
  ])
  t.notOk('pid' in logger.records[1]!.fields)
  await t.rejects(files.log({ level: 9, message: 'x' }), failure(status.INVALID_ARGUMENT))
  t.equal(logger.records.length, 3)
})

t.test('long records are refused, and too many', async (t) => {
  const logger = recordingLogger()
  const { files } = await serveDirectory(t, { logger, maxLogBytes: 20, maxLogsPerSecond: 1 })
  await t.rejects(files.log({ message: 'é'.repeat(11) }), failure(status.INVALID_ARGUMENT, /22 bytes/))
  await t.rejects(
    files.log({ message: 'x', fields: { 'ten bytes!': 'ten bytes!' } }),
    failure(status.INVALID_ARGUMENT)
  )
  t.equal(logger.records.length, 0)
  const results = await Promise.allSettled(
    Array.from({ length: 20 }, () => files.log({ message: 'é'.repeat(10) }))
  )
  const refused = results.filter((result) => result.status === 'rejected').map(({ reason }) => reason)
  t.match(refused[0], failure(status.RESOURCE_EXHAUSTED))
  t.equal(logger.records.filter(({ level }) => level === 'info').length, 20 - refused.length)
})

t.test('so many a second pass and as many at once; what was refused is told once', (t) => {
  let now = 0
  const limit = limitRate(10, () => now)
  const takes = (count: number) => Array.from({ length: count }, () => limit.take()?.refused)
  t.same(takes(12), [...Array(10).fill(0), undefined, undefined])
  now = 50
  t.same(takes(1), [undefined])
  now = 100
  t.same(takes(2), [3, undefined])
  now = 10_000
  t.same(takes(11), [1, ...Array(9).fill(0), undefined])
  t.end()
})

t.test('limits that cannot be are refused', async (t) => {
  const root = await openRoot('.')
  t.teardown(() => root.close())
  for (const options of [
    { maxEntries: 0 },
    { maxPageEntries: 1.5 },
    { maxChunkBytes: -1 },
    { maxLogBytes: Infinity },
    { maxLogsPerSecond: NaN },
    { logger: {} as never }
  ]) {
    t.throws(() => createHostService({ root, ...options }), { code: 'ERR_CONFIG_INVALID' })
  }
})
