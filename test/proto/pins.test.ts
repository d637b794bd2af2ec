import '../helpers/plain-children.js'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { Echo } from '#proto/echo/v1/echo.js'
import { Entry, FileLister, ListRequest, ListResponse } from '#proto/filelister/v1/filelister.js'
import { ConnInfo, GRPCBroker, GRPCController, GRPCStdio, StdioData } from '#proto/goplugin/goplugin.js'
import { Health, HealthCheckResponse } from '#proto/grpc/health/v1/health.js'
import { ServerReflection } from '#proto/grpc/reflection/v1/reflection.js'
import { ServerReflection as ServerReflectionAlpha } from '#proto/grpc/reflection/v1alpha/reflection.js'
import {
  DirEntry,
  FileType,
  HostService,
  ReadFileRequest,
  StatResponse
} from '#proto/hostserve/v1/hostserve.js'
import type { MessageCodec, ServiceDescriptor } from '../../lib/grpc/service.js'
import { packageRoot } from '../helpers/paths.js'

const root = packageRoot

/** Bytes of a message, written by hand from its .proto: `field << 3 | wire type`, length, value. */
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

await t.test('paths and kinds of the methods', async (t) => {
  const pinned: readonly [ServiceDescriptor, Record<string, string>][] = [
    [
      FileLister,
      {
        establishHostServices: '/filelister.v1.FileLister/EstablishHostServices',
        list: '/filelister.v1.FileLister/List',
        disconnectHostServices: '/filelister.v1.FileLister/DisconnectHostServices'
      }
    ],
    [
      HostService,
      {
        readDir: '/hostserve.v1.HostService/ReadDir',
        streamDir: '/hostserve.v1.HostService/StreamDir >',
        readFile: '/hostserve.v1.HostService/ReadFile >',
        stat: '/hostserve.v1.HostService/Stat',
        log: '/hostserve.v1.HostService/Log'
      }
    ],
    [GRPCBroker, { startStream: '/plugin.GRPCBroker/StartStream <>' }],
    [GRPCController, { shutdown: '/plugin.GRPCController/Shutdown' }],
    [GRPCStdio, { streamStdio: '/plugin.GRPCStdio/StreamStdio >' }],
    [
      Health,
      {
        check: '/grpc.health.v1.Health/Check',
        list: '/grpc.health.v1.Health/List',
        watch: '/grpc.health.v1.Health/Watch >'
      }
    ],
    [
      ServerReflection,
      { serverReflectionInfo: '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo <>' }
    ],
    [
      ServerReflectionAlpha,
      { serverReflectionInfo: '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo <>' }
    ],
    [
      Echo,
      {
        echo: '/echo.v1.Echo/Echo',
        repeat: '/echo.v1.Echo/Repeat >',
        collect: '/echo.v1.Echo/Collect <',
        chat: '/echo.v1.Echo/Chat <>',
        sleep: '/echo.v1.Echo/Sleep',
        fail: '/echo.v1.Echo/Fail'
      }
    ]
  ]
  for (const [service, expected] of pinned) {
    const found = Object.entries(service.methods).map(
      ([name, { path: methodPath, requestStream, responseStream }]) => {
        const arrows = (requestStream ? '<' : '') + (responseStream ? '>' : '')
        return [name, arrows === '' ? methodPath : `${methodPath} ${arrows}`]
      }
    )
    t.same(Object.fromEntries(found), expected, service.typeName)
  }
})

await t.test('field numbers and wire types', async (t) => {
  const { methods: lister } = FileLister
  const { methods: echo } = Echo
  const raw = new Uint8Array([0xff])
  t.equal(hex(lister.establishHostServices.request.encode({ hostService: 7 }).finish()), '0807')
  t.equal(hex(ListRequest.encode({ dir: '.', hostService: 7 }).finish()), '0a012e1007')
  t.equal(hex(Entry.encode({ name: 'a', isDir: true, rawName: raw }).finish()), '0a016110011a01ff')
  t.equal(hex(ListResponse.encode({ entries: [{ name: 'a' }, {}] }).finish()), '0a030a01610a00')
  t.equal(hex(DirEntry.encode({ name: 'a', isDir: true, rawName: raw }).finish()), '0a016110011a01ff')
  t.equal(
    hex(DirEntry.encode({ type: FileType.FILE_TYPE_OTHER, size: 300, mtimeMs: -1 }).finish()),
    '200428ac0230ffffffffffffffffff01'
  )
  const { methods: files } = HostService
  t.equal(
    hex(files.readDir.request.encode({ path: '.', rawPath: raw, pageSize: 2, pageToken: 'a' }).finish()),
    '0a012e1201ff1802220161'
  )
  t.equal(hex(files.readDir.response.encode({ entries: [{}], nextPageToken: 'a' }).finish()), '0a00120161')
  t.equal(hex(files.streamDir.request.encode({ path: '.', rawPath: raw }).finish()), '0a012e1201ff')
  t.equal(hex(files.streamDir.response.encode({ entries: [{}] }).finish()), '0a00')
  t.equal(
    hex(
      files.readFile.request.encode({ path: '.', rawPath: raw, offset: 1, length: 2, chunkBytes: 3 }).finish()
    ),
    '0a012e1201ff180120022803'
  )
  t.equal(hex(files.readFile.response.encode({ data: raw }).finish()), '0a01ff')
  t.equal(hex(files.stat.request.encode({ path: '.', rawPath: raw }).finish()), '0a012e1201ff')
  t.equal(hex(files.stat.response.encode({ type: 1, size: 2, mtimeMs: 3 }).finish()), '080110021803')
  t.equal(
    hex(files.log.request.encode({ level: 1, message: 'a', fields: { b: 'c' } }).finish()),
    '08011201611a060a0162120163'
  )
  t.match(FileType, { FILE_TYPE_FILE: 1, FILE_TYPE_DIRECTORY: 2, FILE_TYPE_SYMLINK: 3, FILE_TYPE_OTHER: 4 })
  t.equal(hex(GRPCController.methods.shutdown.request.encode({}).finish()), '')
  t.equal(hex(ConnInfo.encode({ serviceId: 1, network: 'u', address: '/' }).finish()), '08011201751a012f')
  // Knock and answer as go-plugin sends them.
  t.equal(hex(ConnInfo.encode({ serviceId: 1, knock: { knock: true } }).finish()), '080122020801')
  t.equal(
    hex(ConnInfo.encode({ serviceId: 1, knock: { knock: true, ack: true } }).finish()),
    '0801220408011001'
  )
  t.equal(hex(ConnInfo.encode({ knock: { ack: true, error: 'x' } }).finish()), '220510011a0178')
  t.match(ConnInfo.decode(Buffer.from('0801220408011001', 'hex')), {
    serviceId: 1,
    network: '',
    address: '',
    knock: { knock: true, ack: true, error: '' }
  })
  t.equal(hex(GRPCStdio.methods.streamStdio.request.encode({}).finish()), '')
  t.equal(hex(StdioData.encode({ channel: StdioData.Channel.STDERR, data: raw }).finish()), '08021201ff')
  t.match(StdioData.Channel, { INVALID: 0, STDOUT: 1, STDERR: 2 })
  t.equal(hex(Health.methods.check.request.encode({ service: 's' }).finish()), '0a0173')
  t.equal(
    hex(HealthCheckResponse.encode({ status: HealthCheckResponse.ServingStatus.SERVING }).finish()),
    '0801'
  )
  t.equal(hex(echo.echo.request.encode({ text: 'a', payload: raw }).finish()), '0a01611201ff')
  t.equal(hex(echo.echo.response.encode({ text: 'a', payload: raw, index: 3 }).finish()), '0a01611201ff1803')
  t.equal(hex(echo.repeat.request.encode({ text: 'a', count: 3, payload: raw }).finish()), '0a016110031a01ff')
  t.equal(
    hex(echo.collect.response.encode({ text: 'a', payload: raw, count: 3 }).finish()),
    '0a01611201ff1803'
  )
  t.equal(hex(echo.sleep.request.encode({ ms: 5 }).finish()), '0805')
  t.equal(hex(echo.fail.request.encode({ code: 5, details: 'x' }).finish()), '0805120178')
  t.same(HealthCheckResponse.ServingStatus, { UNKNOWN: 0, SERVING: 1, NOT_SERVING: 2, SERVICE_UNKNOWN: 3 })
  t.equal(HealthCheckResponse.ServingStatus[2], 'NOT_SERVING')
})

await t.test('a received message has all its fields as its own', async (t) => {
  const fields = { name: '', isDir: false, rawName: Buffer.alloc(0) }
  t.same({ ...Entry.decode(new Uint8Array()) }, fields)
  t.same(
    { ...Entry.decode(Buffer.from('0a0010001a00', 'hex')) },
    fields,
    'also when the peer sent the defaults'
  )
  t.same({ ...ListResponse.decode(new Uint8Array()) }, { entries: [] })
  t.match({ ...Entry.decode(Buffer.from('0a01611001', 'hex')) }, { name: 'a', isDir: true })
  t.equal(hex(Entry.encode(Entry.decode(new Uint8Array())).finish()), '', 'and a default is still not sent')
})

await t.test('bytes that are no message are refused, unknown fields are not', async (t) => {
  t.throws(() => Entry.decode(Buffer.from('0a05', 'hex')))
  t.throws(() => Entry.decode(Buffer.from('0a01ff', 'hex')), 'a name that is not UTF-8')
  t.equal(Entry.decode(Buffer.from('0a0161aa0601ff', 'hex')).name, 'a')
})

await t.test('integers of 64 bits are numbers, and refused where they would not be exact', async (t) => {
  const largest = Number.MAX_SAFE_INTEGER
  for (const size of [0, 1, 2 ** 31, 2 ** 32, largest]) {
    const { size: read } = StatResponse.decode(StatResponse.encode({ size }).finish())
    t.equal(read, size)
  }
  for (const mtimeMs of [-1, -(2 ** 32), -largest, largest]) {
    t.equal(StatResponse.decode(StatResponse.encode({ mtimeMs }).finish()).mtimeMs, mtimeMs)
  }
  t.match({ ...ReadFileRequest.decode(new Uint8Array()) }, { offset: 0, length: 0 })
  for (const value of [largest + 1, 0.5, NaN, Infinity, -(2 ** 60)]) {
    t.throws(() => StatResponse.encode({ mtimeMs: value }), RangeError, String(value))
    t.throws(() => StatResponse.encode({ size: value }), RangeError, String(value))
  }
  t.throws(() => StatResponse.encode({ size: -1 }), RangeError)
  // 2^53, 2^64-1 and -2^63, as another peer may send them.
  t.throws(() => StatResponse.decode(Buffer.from('108080808080808010', 'hex')), RangeError)
  t.throws(() => StatResponse.decode(Buffer.from('10ffffffffffffffffff01', 'hex')), RangeError)
  t.throws(() => StatResponse.decode(Buffer.from('1880808080808080808001', 'hex')), RangeError)
  t.equal(StatResponse.decode(Buffer.from('10ffffffffffffff0f', 'hex')).size, largest)
})

await t.test('the generated files are up to date', async (t) => {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['bin/proto', '-I', 'proto', '--check', 'proto'],
    {
      cwd: root,
      encoding: 'utf8'
    }
  )
  t.equal(status, 0, stdout + stderr)
})

await t.test('--check names the files that are not, and leaves them', async (t) => {
  const copy = mkdtempSync(path.join(root, 'proto-check-'))
  t.teardown(() => rmSync(copy, { recursive: true }))
  // Its own programs, and two files.
  cpSync(path.join(root, 'proto'), path.join(copy, 'proto'), {
    recursive: true,
    filter: (name) => !/(grpc|hostserve|filelister|muxplug)$/.test(name)
  })
  cpSync(path.join(root, 'bin'), path.join(copy, 'bin'), { recursive: true })
  cpSync(path.join(root, 'package.json'), path.join(copy, 'package.json'))
  symlinkSync(path.join(root, 'node_modules'), path.join(copy, 'node_modules'))
  const stale = path.join(copy, 'proto/echo/v1/echo.d.ts')
  writeFileSync(stale, '// edited by hand\n')
  rmSync(path.join(copy, 'proto/goplugin/goplugin.js'))
  const runOn = (...options: string[]) =>
    spawnSync(process.execPath, ['bin/proto', '-I', 'proto', ...options], { cwd: copy, encoding: 'utf8' })
  const run = (...options: string[]) => runOn(...options, 'proto')
  const check = run('--check')
  t.equal(check.status, 1)
  t.match(
    check.stdout,
    'not up to date: proto/echo/v1/echo.d.ts\nnot up to date: proto/goplugin/goplugin.js\n'
  )
  t.equal(readFileSync(stale, 'utf8'), '// edited by hand\n')
  t.equal(run().status, 0)
  t.equal(run('--check').status, 0)
  t.equal(readFileSync(stale, 'utf8'), readFileSync(path.join(root, 'proto/echo/v1/echo.d.ts'), 'utf8'))

  writeFileSync(path.join(copy, 'proto/a.proto'), 'syntax = "proto3"; package a; import "b.proto";')
  const missing = /a\.proto: b\.proto cannot be found: imports are looked up from -I/
  t.match(run('--check'), { status: 1, stderr: missing })
})

await t.test('what has no code is refused', async (t) => {
  const folder = mkdtempSync(path.join(root, 'proto-refused-'))
  const before = process.cwd()
  t.teardown(() => {
    process.chdir(before)
    rmSync(folder, { recursive: true })
  })
  process.chdir(folder)
  const { generate } = await import('#proto/generate.js')
  const message = (field: string): string => `syntax = "proto3"; package a; message A { ${field} = 1; }`
  for (const [source, what] of [
    [message('map<int64, string> names'), /\.a\.A\.names: keys of int64/],
    [message('string a = 1; string b'), /duplicate id 1/],
    [message('string a = 2 [(own) = true]; string b'), /\.a\.A\.a: the option .* is not supported/],
    [message('} string b'), /a\.proto, line 1/],
    [message('b.B b'), /no such Type.*b\.B/i],
    ['syntax = "proto3"; message A {}', /a\.proto declares no package/],
    ['package a; message A {}', /a\.proto is not proto3/]
  ] as const) {
    writeFileSync('a.proto', source)
    await t.rejects(generate('a.proto'), { message: what }, source)
  }
})

await t.test('the command line that is wrong is told so', (t) => {
  const run = (...args: string[]) =>
    spawnSync(process.execPath, ['bin/proto', ...args], { cwd: root, encoding: 'utf8' })
  t.match(run('--help'), { status: 0, stdout: /Usage: muxplug-proto/ })
  t.match(run(), { status: 2, stderr: /missing required argument/ })
  t.match(run('--other', 'proto'), { status: 2, stderr: /unknown option/ })
  t.match(run('-I', 'none', 'proto'), { status: 1, stderr: /none is no folder/ })
  t.match(run('none.proto'), { status: 1, stderr: /none\.proto is not there/ })
  t.match(run('docs'), { status: 1, stderr: /no \.proto file in docs/ })
  t.match(run('README.md'), { status: 1, stderr: /README\.md is no \.proto file/ })
  t.match(run('-I', 'proto/echo', 'proto'), { status: 1, stderr: /is not in proto\/echo/ })
  t.end()
})

await t.test('every kind of field survives the way there and back', async (t) => {
  const folder = mkdtempSync(path.join(root, 'proto-kinds-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const other = 'syntax = "proto3"; package other.v1; message Shared { string text = 1; }'
  writeFileSync(path.join(folder, 'shared.proto'), other)
  writeFileSync(
    path.join(folder, 'kinds.proto'),
    `syntax = "proto3"; package kinds.v1.deep;
    import "shared.proto"; import "google/protobuf/timestamp.proto";
    service Kinds { rpc GetAll(Outer.Inner) returns (stream Outer); }
    message Outer {
      message Inner { Colour colour = 1; other.v1.Shared shared = 2; }
      enum Colour { COLOUR_UNSPECIFIED = 0; COLOUR_RED = 1; }
      map<string, Inner> inners = 1;
      map<string, uint64> counts = 2;
      repeated int64 signed = 3;
      repeated fixed64 unsigned = 4;
      repeated int64 plain = 5 [packed = false];
      sint64 zigzag = 6;
      sfixed64 fixed = 7;
      optional uint64 maybe = 8;
      oneof one { string text = 9; int64 number = 10; }
      google.protobuf.Timestamp at = 11 [deprecated = true];
      repeated Colour colours = 12;
    }`
  )
  const done = spawnSync(process.execPath, ['bin/proto', '-I', folder, folder], {
    cwd: root,
    encoding: 'utf8'
  })
  t.match(done, { status: 0, stderr: '' })
  const { Kinds } = (await import(path.join(folder, 'kinds.js'))) as { Kinds: ServiceDescriptor }
  const { getAll } = Kinds.methods
  t.match(getAll, { path: '/kinds.v1.deep.Kinds/GetAll', requestStream: false, responseStream: true })
  const largest = Number.MAX_SAFE_INTEGER
  const sent = {
    inners: { a: { colour: 1, shared: { text: 's' } } },
    counts: { b: largest },
    signed: [-1, 0, largest, -largest],
    unsigned: [0, largest],
    plain: [-5, largest],
    zigzag: -largest,
    fixed: -2,
    maybe: 0,
    number: largest,
    at: { seconds: 1, nanos: 2 },
    colours: [1, 0]
  }
  const { encode, decode } = getAll!.response as MessageCodec<object, object>
  const bytes = encode(sent).finish()
  t.match(decode(bytes), sent)
  t.equal((decode(bytes) as { one: string }).one, 'number')
  for (const wrong of [
    { counts: { b: -1 } },
    { signed: [0.5] },
    { unsigned: [-1] },
    { plain: [largest + 1] }
  ]) {
    t.throws(() => encode(wrong), RangeError, JSON.stringify(wrong))
  }
  // signed: [1, 2^53], packed.
  t.throws(() => decode(Buffer.from('1a09018080808080808010', 'hex')), RangeError)
})

/** Never called: what must and must not compile. */
export function types(): void {
  const response = ListResponse.decode(new Uint8Array())
  for (const { name, isDir, rawName } of response.entries) {
    name.charAt(0)
    rawName.at(isDir ? 0 : 1)
  }
  const literal: '/filelister.v1.FileLister/List' = FileLister.methods.list.path
  const streams: false = FileLister.methods.list.responseStream
  const init: ListResponse.Init = response
  ListRequest.encode({ dir: literal, hostService: undefined })
  // @ts-expect-error -- no such field
  ListRequest.encode({ directory: '.' })
  // @ts-expect-error -- no such method
  void FileLister.methods.lst
  // @ts-expect-error -- this one does stream
  const wrong: false = Echo.methods.repeat.responseStream
  void [streams, init, wrong]
}
