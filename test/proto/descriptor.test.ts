import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import descriptor from 'protobufjs/ext/descriptor.js'
import { fileDescriptors } from '#proto/descriptor.js'
import { Echo } from '#proto/echo/v1/echo.js'
import { FileLister } from '#proto/filelister/v1/filelister.js'
import { GRPCBroker, GRPCController, GRPCStdio } from '#proto/goplugin/goplugin.js'
import { Health } from '#proto/grpc/health/v1/health.js'
import { ServerReflection } from '#proto/grpc/reflection/v1/reflection.js'
import { ServerReflection as ServerReflectionAlpha } from '#proto/grpc/reflection/v1alpha/reflection.js'
import { HostService } from '#proto/hostserve/v1/hostserve.js'
import { packageRoot } from '../helpers/paths.js'

const root = packageRoot
const golden: { files: Record<string, string> } = JSON.parse(
  readFileSync(path.join(root, 'test/golden/descriptors.json'), 'utf8')
)

function sameAsCompiled(t: Test, names: readonly string[], found: readonly Uint8Array[]): void {
  t.equal(found.length, names.length)
  for (const [index, name] of names.entries()) {
    t.equal(Buffer.from(found[index] ?? []).toString('base64'), golden.files[name], name)
  }
}

function inFolder(t: Test, folder: string): void {
  const before = process.cwd()
  process.chdir(folder)
  t.teardown(() => process.chdir(before))
}

t.test('generated services carry what another compiler makes of their files', async (t) => {
  const goplugin = ['goplugin/goplugin.proto', 'google/protobuf/empty.proto']
  sameAsCompiled(t, ['echo/v1/echo.proto'], Echo.fileDescriptors())
  sameAsCompiled(t, ['filelister/v1/filelister.proto'], FileLister.fileDescriptors())
  sameAsCompiled(t, ['hostserve/v1/hostserve.proto'], HostService.fileDescriptors())
  sameAsCompiled(t, ['grpc/health/v1/health.proto'], Health.fileDescriptors())
  sameAsCompiled(t, ['grpc/reflection/v1/reflection.proto'], ServerReflection.fileDescriptors())
  sameAsCompiled(t, ['grpc/reflection/v1alpha/reflection.proto'], ServerReflectionAlpha.fileDescriptors())
  for (const service of [GRPCBroker, GRPCController, GRPCStdio]) {
    sameAsCompiled(t, goplugin, service.fileDescriptors())
  }
})

t.test('every kind of declaration is described as another compiler does', async (t) => {
  inFolder(t, path.join(root, 'test/proto'))
  const imports = ['google/protobuf/empty.proto', 'google/protobuf/timestamp.proto']
  sameAsCompiled(t, ['everything.proto', ...imports], fileDescriptors('everything.proto'))
})

t.test('imports come after the file, and name their files', async (t) => {
  const folder = mkdtempSync(path.join(root, 'proto-descriptor-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  inFolder(t, folder)
  writeFileSync('a.proto', 'syntax = "proto3"; package a; import "b.proto"; message A { b.B b = 1; }')
  writeFileSync('b.proto', 'syntax = "proto3"; package b; import "c.proto"; message B { a.C c = 1; }')
  writeFileSync('c.proto', 'syntax = "proto3"; package a; message C {}')
  const found = fileDescriptors('a.proto').map((bytes) => {
    return descriptor.FileDescriptorProto.toObject(descriptor.FileDescriptorProto.decode(bytes))
  })
  t.match(found, [
    { name: 'a.proto', package: 'a', dependency: ['b.proto'], messageType: [{ name: 'A' }] },
    { name: 'b.proto', package: 'b', dependency: ['c.proto'], messageType: [{ name: 'B' }] },
    { name: 'c.proto', package: 'a', messageType: [{ name: 'C' }] }
  ])
  t.equal(found.length, 3)
  t.same(
    found.map(({ messageType }) => messageType.length),
    [1, 1, 1],
    'types of one package stay in their files'
  )
})

t.test('what a descriptor would get wrong is refused', async (t) => {
  const folder = mkdtempSync(path.join(root, 'proto-descriptor-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  inFolder(t, folder)
  writeFileSync('two.proto', 'syntax = "proto2"; package a; message A { optional string s = 1; }')
  t.throws(() => fileDescriptors('two.proto'), { message: /^two\.proto is not proto3: begin it/ })
  const field = 'syntax = "proto3"; package a; message A { repeated uint32 n = 1'
  writeFileSync('option.proto', `${field} [(own) = false]; }`)
  t.throws(() => fileDescriptors('option.proto'), { message: /^\.a\.A\.n: the option \(own\) / })
  writeFileSync('plain.proto', `${field} [packed = false, deprecated = true, json_name = "N"]; }`)
  const [found] = fileDescriptors('plain.proto')
  t.match(descriptor.FileDescriptorProto.toObject(descriptor.FileDescriptorProto.decode(found!)), {
    messageType: [{ field: [{ name: 'n', jsonName: 'N', options: { packed: false, deprecated: true } }] }]
  })
})
