import { status } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import descriptor from 'protobufjs/ext/descriptor.js'
import protobuf from 'protobufjs'
import { Echo } from '#proto/echo/v1/echo.js'
import { GRPCBroker, GRPCController, GRPCStdio } from '#proto/goplugin/goplugin.js'
import {
  ServerReflection,
  ServerReflectionRequest,
  type ServerReflectionResponse
} from '#proto/grpc/reflection/v1/reflection.js'
import { ServerReflection as ServerReflectionAlpha } from '#proto/grpc/reflection/v1alpha/reflection.js'
import type { Client } from '../../lib/grpc/client.js'
import { implement, type ServiceBinding } from '../../lib/grpc/handler.js'
import { healthService } from '../../lib/services/health.js'
import { reflectionServices } from '../../lib/services/reflection.js'
import { connectTo } from '../helpers/connection.js'
import { packageRoot } from '../helpers/paths.js'

type Request = ServerReflectionRequest.Init
type Ask = (...requests: Request[]) => Promise<ServerReflectionResponse[]>

/** Asks on one stream, and gives all answers. */
function asker(client: Client<typeof ServerReflection> | Client<typeof ServerReflectionAlpha>): Ask {
  return async (...requests) => {
    const responses: ServerReflectionResponse[] = []
    for await (const response of client.serverReflectionInfo(requests)) responses.push(response)
    return responses
  }
}

/** A server of these services and reflection. */
function serverOf(t: Test, own: readonly ServiceBinding[]) {
  const bindings: ServiceBinding[] = [...own]
  bindings.push(...reflectionServices(() => bindings))
  return connectTo(t, bindings)
}

/** What go-plugin has on a plugin's main server, around one service of the application. */
function pluginServer(t: Test) {
  const { signal } = new AbortController()
  const own = [GRPCBroker, GRPCController, GRPCStdio, Echo].map((service) => implement(service, {}))
  return serverOf(t, [healthService(signal), ...own])
}

interface File {
  readonly name: string
  readonly package?: string
  readonly dependency?: readonly string[]
  readonly messageType?: readonly { readonly name: string }[]
  readonly enumType?: readonly { readonly name: string }[]
  readonly service?: readonly {
    readonly name: string
    readonly method: readonly { readonly name: string }[]
  }[]
}

const decode = (bytes: Uint8Array) => descriptor.FileDescriptorProto.decode(bytes)

function filesOf(response: ServerReflectionResponse | undefined): File[] {
  const bytes = response?.fileDescriptorResponse?.fileDescriptorProto ?? []
  return bytes.map((it) => descriptor.FileDescriptorProto.toObject(decode(it)) as File)
}

const namesOf = (response: ServerReflectionResponse | undefined) => filesOf(response).map(({ name }) => name)

/** The methods of one service, as a client without any .proto file learns them. */
async function methodsOf(ask: Ask, service: string): Promise<string[]> {
  const [response] = await ask({ fileContainingSymbol: service })
  const file = response?.fileDescriptorResponse?.fileDescriptorProto.map(decode) ?? []
  const set = descriptor.FileDescriptorSet.encode({ file }).finish()
  const root = protobuf.Root.fromDescriptor(set)
  return root.lookupService(service).methodsArray.map(({ name }) => name)
}

for (const service of [ServerReflection, ServerReflectionAlpha]) {
  t.test(`${service.typeName} lists the seven services of a plugin, and describes each`, async (t) => {
    const ask = asker(pluginServer(t).dispense(service))
    const [response] = await ask({ listServices: '*' })
    const names = response?.listServicesResponse?.service.map(({ name }) => name) ?? []
    t.same(names, [
      'echo.v1.Echo',
      'grpc.health.v1.Health',
      'grpc.reflection.v1.ServerReflection',
      'grpc.reflection.v1alpha.ServerReflection',
      'plugin.GRPCBroker',
      'plugin.GRPCController',
      'plugin.GRPCStdio'
    ])
    const methods: Record<string, string[]> = {}
    for (const name of names) methods[name] = await methodsOf(ask, name)
    t.same(methods, {
      'echo.v1.Echo': ['Echo', 'Repeat', 'Collect', 'Chat', 'Sleep', 'Fail'],
      'grpc.health.v1.Health': ['Check', 'List', 'Watch'],
      'grpc.reflection.v1.ServerReflection': ['ServerReflectionInfo'],
      'grpc.reflection.v1alpha.ServerReflection': ['ServerReflectionInfo'],
      'plugin.GRPCBroker': ['StartStream'],
      'plugin.GRPCController': ['Shutdown'],
      'plugin.GRPCStdio': ['StreamStdio']
    })
  })
}

t.test('every declared name leads to its file', async (t) => {
  const ask = asker(pluginServer(t).dispense(ServerReflection))
  const places = {
    'plugin.GRPCBroker': 'goplugin/goplugin.proto',
    'plugin.GRPCBroker.StartStream': 'goplugin/goplugin.proto',
    'plugin.ConnInfo': 'goplugin/goplugin.proto',
    'plugin.ConnInfo.service_id': 'goplugin/goplugin.proto',
    'plugin.ConnInfo.Knock': 'goplugin/goplugin.proto',
    'plugin.ConnInfo.Knock.ack': 'goplugin/goplugin.proto',
    'plugin.StdioData.Channel': 'goplugin/goplugin.proto',
    'plugin.StdioData.STDERR': 'goplugin/goplugin.proto',
    'google.protobuf.Empty': 'google/protobuf/empty.proto',
    'grpc.reflection.v1.ServerReflectionRequest.message_request': 'grpc/reflection/v1/reflection.proto'
  }
  for (const [symbol, file] of Object.entries(places)) {
    const [response] = await ask({ fileContainingSymbol: symbol })
    t.equal(namesOf(response)[0], file, symbol)
  }
})

t.test('what is not declared is not found', async (t) => {
  const ask = asker(pluginServer(t).dispense(ServerReflection))
  for (const symbol of [
    '',
    'plugin',
    'plugin.Nothing',
    '.plugin.ConnInfo',
    'plugin.StdioData.Channel.STDERR'
  ]) {
    const [response] = await ask({ fileContainingSymbol: symbol })
    t.equal(response?.messageResponse, 'errorResponse', symbol)
    t.equal(response?.errorResponse?.errorCode, status.NOT_FOUND)
    t.match(response?.errorResponse?.errorMessage, `symbol "${symbol}"`)
  }
})

t.test('a file is had by its name', async (t) => {
  const ask = asker(pluginServer(t).dispense(ServerReflection))
  const [empty, missing] = await ask(
    { fileByFilename: 'google/protobuf/empty.proto' },
    { fileByFilename: 'other.proto' }
  )
  t.match(filesOf(empty), [{ package: 'google.protobuf', messageType: [{ name: 'Empty' }] }])
  t.match(missing?.errorResponse, {
    errorCode: status.NOT_FOUND,
    errorMessage: 'file "other.proto" is not known here'
  })
})

t.test('imports come with the file, once on a stream', async (t) => {
  const ask = asker(pluginServer(t).dispense(ServerReflection))
  const request = { fileContainingSymbol: 'plugin.GRPCStdio' }
  const all = ['goplugin/goplugin.proto', 'google/protobuf/empty.proto']
  const [first, second] = await ask(request, request)
  t.same(namesOf(first), all)
  t.same(namesOf(second), all.slice(0, 1), 'what is asked for comes again, its imports do not')
  const [afresh] = await ask(request)
  t.same(namesOf(afresh), all, 'another stream begins anew')
})

t.test('there are no extension fields', async (t) => {
  const ask = asker(pluginServer(t).dispense(ServerReflection))
  const [known, unknown, extension] = await ask(
    { allExtensionNumbersOfType: 'plugin.ConnInfo' },
    { allExtensionNumbersOfType: 'plugin.Nothing' },
    { fileContainingExtension: { containingType: 'plugin.ConnInfo', extensionNumber: 7 } }
  )
  t.match(known?.allExtensionNumbersResponse, { baseTypeName: 'plugin.ConnInfo', extensionNumber: [] })
  t.equal(known?.errorResponse, null)
  t.equal(unknown?.errorResponse?.errorCode, status.NOT_FOUND)
  t.match(extension?.errorResponse, {
    errorCode: status.NOT_FOUND,
    errorMessage: 'extension 7 of "plugin.ConnInfo" is not known here'
  })
})

t.test('an answer repeats its request', async (t) => {
  const ask = asker(pluginServer(t).dispense(ServerReflection))
  const requests: Request[] = [
    { host: 'here', listServices: '' },
    { fileByFilename: '' },
    { fileContainingExtension: { containingType: 'a.B', extensionNumber: -1 } }
  ]
  const responses = await ask(...requests)
  t.equal(responses.length, requests.length)
  for (const [index, request] of requests.entries()) {
    const { validHost, originalRequest } = responses[index] ?? {}
    t.equal(validHost, request.host ?? '')
    const sent = Buffer.from(ServerReflectionRequest.encode(request).finish())
    t.same(Buffer.from(ServerReflectionRequest.encode(originalRequest ?? {}).finish()), sent)
  }
})

t.test('a request that asks for nothing ends the call', async (t) => {
  const client = pluginServer(t).dispense(ServerReflection)
  const calls = client.serverReflectionInfo([{ listServices: '' }, { host: 'here' }])
  const responses = calls[Symbol.asyncIterator]()
  t.equal((await responses.next()).value.messageResponse, 'listServicesResponse')
  await t.rejects(responses.next(), { code: 'ERR_CALL_FAILED', status: status.INVALID_ARGUMENT })
})

t.test('a long name is quoted short', async (t) => {
  const ask = asker(pluginServer(t).dispense(ServerReflection))
  const [long, short] = await ask(
    { fileContainingSymbol: 'x'.repeat(100_000) },
    { fileContainingSymbol: 'x'.repeat(100) }
  )
  t.equal(long?.errorResponse?.errorMessage, `symbol "${'x'.repeat(100)}..." is not known here`)
  t.equal(short?.errorResponse?.errorMessage, `symbol "${'x'.repeat(100)}" is not known here`)
})

t.test('nothing is read before somebody asks', async (t) => {
  let read = 0
  const counted = {
    ...Echo,
    fileDescriptors: () => {
      read += 1
      return Echo.fileDescriptors()
    }
  }
  const server = serverOf(t, [implement(counted, { echo: ({ text }) => ({ text }) })])
  await server.dispense(Echo).echo({ text: 'a' })
  t.equal(read, 0)
  const ask = asker(server.dispense(ServerReflection))
  await ask()
  t.equal(read, 0, 'also not when a stream is opened')
  await ask({ listServices: '' })
  await asker(server.dispense(ServerReflectionAlpha))({ listServices: '' })
  t.equal(read, 1, 'and once for both services')
})

t.test('both are background work', async (t) => {
  const services = reflectionServices(() => [])
  t.same(
    services.map(({ typeName, background }) => [typeName, background]),
    [
      ['grpc.reflection.v1.ServerReflection', true],
      ['grpc.reflection.v1alpha.ServerReflection', true]
    ]
  )
})

/** The service of a .proto file, as users of grpc-js load it. */
function loaded(t: Test, files: Record<string, string>, main: string, service: string): ServiceBinding {
  const folder = mkdtempSync(path.join(packageRoot, 'reflection-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(path.join(folder, name), `syntax = "proto3";\n${content}`)
  }
  const definition = loadSync(main, { includeDirs: [folder], keepCase: true })[service]
  return { definition: definition as ServiceBinding['definition'], handlers: {} }
}

t.test('definitions of proto-loader are described, with the imports it leaves out', async (t) => {
  const orders = loaded(
    t,
    {
      'orders.proto': `package acme.v1;
        import "google/protobuf/timestamp.proto";
        import "money.proto";
        service Orders { rpc Pay(Order) returns (Order); }
        message Order {
          message Line { acme.money.Amount amount = 1; State state = 2; }
          repeated Line lines = 1;
          google.protobuf.Timestamp paid_at = 2;
        }
        enum State { OPEN = 0; }`,
      'money.proto': `package acme.money;
        message Amount { uint32 cents = 1; Currency currency = 2; }
        enum Currency { EUR = 0; }`
    },
    'orders.proto',
    'acme.v1.Orders'
  )
  const ask = asker(serverOf(t, [orders]).dispense(ServerReflection))
  t.same(await methodsOf(ask, 'acme.v1.Orders'), ['Pay'])
  const [response, line] = await ask(
    { fileContainingSymbol: 'acme.v1.Orders.Pay' },
    { fileContainingSymbol: 'acme.v1.Order.Line' }
  )
  t.same(
    filesOf(response).map((file) => [file.package, [...(file.dependency ?? [])].sort()]),
    [
      ['acme.v1', ['acme_money.proto', 'google_protobuf.proto']],
      ['google.protobuf', []],
      ['acme.money', []]
    ]
  )
  t.same(namesOf(line), ['acme_v1.proto'])
})

t.test('maps of proto-loader have the entries that readers expect', async (t) => {
  const stock = loaded(
    t,
    {
      'stock.proto': `package acme.v1;
        service Stock { rpc Count(Counts) returns (Counts); }
        message Counts { message Item { map<string, Item> by_2nd_name = 1; } map<int32, Item> items = 1; }`
    },
    'stock.proto',
    'acme.v1.Stock'
  )
  const ask = asker(serverOf(t, [stock]).dispense(ServerReflection))
  const [response] = await ask({ fileContainingSymbol: 'acme.v1.Counts.Item.By2ndNameEntry' })
  t.match(filesOf(response), [
    {
      messageType: [
        {
          field: [{ name: 'items', typeName: 'ItemsEntry' }],
          nestedType: [
            {
              name: 'ItemsEntry',
              field: [{ name: 'key' }, { typeName: 'Item' }],
              options: { mapEntry: true }
            },
            {
              name: 'Item',
              field: [{ name: 'by_2nd_name', typeName: 'By2ndNameEntry' }],
              nestedType: [{ name: 'By2ndNameEntry' }]
            }
          ]
        }
      ]
    }
  ])
})

t.test('files of several sources fit in one pool', async (t) => {
  const common = 'package acme.v1; message Common {} enum Level { LOW = 0; }'
  const binding = (name: string, extra = '') =>
    loaded(
      t,
      {
        'common.proto': common,
        'main.proto': `package acme.v1; import "common.proto"; import "google/protobuf/empty.proto"; ${extra}
          service ${name} {
            rpc Do(Common) returns (${name}Reply);
            rpc Stop(google.protobuf.Empty) returns (Common);
          }
          message ${name}Reply { Common common = 1; Level level = 2; }`
      },
      'main.proto',
      `acme.v1.${name}`
    )
  const services = [binding('One'), binding('Two'), implement(GRPCStdio, {})]
  const ask = asker(serverOf(t, services).dispense(ServerReflection))
  const [one, two, stdio, emptied] = await ask(
    { fileContainingSymbol: 'acme.v1.One' },
    { fileContainingSymbol: 'acme.v1.Two' },
    { fileContainingSymbol: 'plugin.GRPCStdio' },
    { fileByFilename: 'google_protobuf.proto' }
  )
  const files = [one, two, stdio].flatMap(filesOf)
  t.same(
    files.map((file) => [file.name, [...(file.dependency ?? [])].sort()]),
    [
      ['acme_v1.proto', ['google/protobuf/empty.proto']],
      ['google/protobuf/empty.proto', []],
      ['acme_v1-2.proto', ['acme_v1.proto', 'google/protobuf/empty.proto']],
      ['goplugin/goplugin.proto', ['google/protobuf/empty.proto']]
    ],
    'each file has a name of its own, and real imports keep theirs'
  )
  const declared = files.flatMap((file) => [
    ...(file.messageType ?? []).map(({ name }) => `${file.package}.${name}`),
    ...(file.enumType ?? []).map(({ name }) => `${file.package}.${name}`)
  ])
  t.equal(new Set(declared).size, declared.length, 'nothing is declared twice')
  t.ok(declared.includes('acme.v1.TwoReply'))
  t.equal(emptied?.errorResponse?.errorCode, status.NOT_FOUND, 'a file of which nothing is left is none')
  t.same(await methodsOf(ask, 'acme.v1.Two'), ['Do', 'Stop'])
})

t.test('a file that says what it imports keeps its bytes', async (t) => {
  const field = { name: 'echo', number: 1, label: 1, type: 11, typeName: '.echo.v1.EchoRequest' }
  const message = {
    name: 'own.proto',
    dependency: ['lost.proto'],
    messageType: [{ name: 'Own', field: [field] }],
    syntax: 'proto3'
  }
  const bytes = Buffer.from(descriptor.FileDescriptorProto.encode(message).finish())
  const service = { ...Echo, fileDescriptors: () => [bytes, ...Echo.fileDescriptors()] }
  const ask = asker(serverOf(t, [implement(service, {})]).dispense(ServerReflection))
  const [own, echo] = await ask({ fileContainingSymbol: 'Own' }, { fileContainingSymbol: 'echo.v1.Echo' })
  t.same(own?.fileDescriptorResponse?.fileDescriptorProto, [bytes], 'and what cannot be had is left out')
  t.same(echo?.fileDescriptorResponse?.fileDescriptorProto, Echo.fileDescriptors())
})

t.test('a file without a package is described', async (t) => {
  const bare = loaded(
    t,
    { 'bare.proto': 'service Bare { rpc Do(Thing) returns (Thing); } message Thing {}' },
    'bare.proto',
    'Bare'
  )
  const ask = asker(serverOf(t, [bare]).dispense(ServerReflection))
  const [response] = await ask({ fileContainingSymbol: 'Bare.Do' })
  t.match(filesOf(response), [{ messageType: [{ name: 'Thing' }] }])
})

t.test('a service without descriptors is listed, and no more', async (t) => {
  const { fileDescriptors: _, ...bare } = Echo
  const ask = asker(serverOf(t, [implement(bare, {})]).dispense(ServerReflection))
  const [list, symbol] = await ask({ listServices: '' }, { fileContainingSymbol: 'echo.v1.Echo' })
  t.equal(list?.listServicesResponse?.service[0]?.name, 'echo.v1.Echo')
  t.equal(symbol?.errorResponse?.errorCode, status.NOT_FOUND)
})

t.test('descriptors that cannot be read fail the call, and nothing else', async (t) => {
  const broken = { ...Echo, fileDescriptors: () => [Buffer.from('0a05', 'hex')] }
  const server = serverOf(t, [implement(broken, { echo: ({ text }) => ({ text }) })])
  const ask = asker(server.dispense(ServerReflection))
  await t.rejects(ask({ listServices: '' }), { code: 'ERR_CALL_FAILED' })
  t.equal((await server.dispense(Echo).echo({ text: 'a' })).text, 'a')
})
