// The examples of go-plugin: their own hosts and plugins, unmodified, among each other and with those of this
// package.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  Client,
  type ServerUnaryCall,
  type ServiceDefinition,
  credentials,
  type sendUnaryData
} from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import t, { type Test } from 'tap'
import { type Plugin, launch } from '../../lib/host/index.js'
import { download, unary, upload } from '../helpers/interop-calls.js'
import { type Command, goProgram, nodeProgram, runProgram } from './programs.js'
import { packageRoot } from '../helpers/paths.js'

/** What serves each example. */
interface ExamplePlugin {
  readonly language: string
  readonly kv: Command
  readonly counter: Command
}

const plugins: readonly ExamplePlugin[] = [
  { language: 'Go', kv: [goProgram('kv/plugin')], counter: [goProgram('counter/plugin')] },
  { language: 'TypeScript', kv: nodeProgram('kv-plugin.mjs'), counter: nodeProgram('counter-plugin.mjs') }
]

/** As the Go hosts want a plugin. */
function shellCommand(command: Command): string {
  return `exec ${command.join(' ')}`
}

/** A service of the examples, as grpc-js has it. */
function exampleService(file: string, name: string): ServiceDefinition {
  const path = join(packageRoot, 'test/interop/proto', file)
  return loadSync(path, { longs: Number, defaults: true })[`proto.${name}`] as ServiceDefinition
}

/** Launches a plugin of the examples, and gives a grpc-js client for it. */
async function launchExample(
  t: Test,
  command: Command,
  cwd: string
): Promise<{ plugin: Plugin; client: Client }> {
  const handshake = { cookieKey: 'BASIC_PLUGIN', cookieValue: 'hello' }
  const plugin = await launch({ command, handshake, cwd })
  t.teardown(() => plugin.kill())
  const client = new Client('', credentials.createInsecure(), { channelOverride: plugin.channel })
  return { plugin, client }
}

/** The plugins keep their data in files of the working directory. */
async function emptyDirectory(t: Test): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'muxplug-interop-'))
  t.teardown(() => rm(path, { recursive: true }))
  return path
}

for (const { language, kv, counter } of plugins) {
  t.test(`Go host, ${language} plugin: KV stores and finds a value`, async (t) => {
    const cwd = await emptyDirectory(t)
    const env = { KV_PLUGIN: shellCommand(kv), KV_PROTO: 'grpc' }
    t.match(await runProgram([goProgram('kv/host'), 'put', 'colour', 'green'], { cwd, env }), {
      code: 0,
      stdout: ''
    })
    t.match(await runProgram([goProgram('kv/host'), 'get', 'colour'], { cwd, env }), {
      code: 0,
      stdout: /^green\s+Written from (plugin-go-grpc|TypeScript)/
    })
    t.match(await runProgram([goProgram('kv/host'), 'get', 'absent'], { cwd, env }), { code: 1 })
  })

  t.test(`Go host, ${language} plugin: Counter lets its host do the sum`, async (t) => {
    const cwd = await emptyDirectory(t)
    const env = { COUNTER_PLUGIN: shellCommand(counter) }
    for (const add of ['40', '2']) {
      t.match(await runProgram([goProgram('counter/host'), 'put', 'answer', add], { cwd, env }), { code: 0 })
    }
    t.match(await runProgram([goProgram('counter/host'), 'get', 'answer'], { cwd, env }), {
      code: 0,
      stdout: '42\n'
    })
  })

  t.test(`TypeScript host, ${language} plugin: KV stores and finds a value`, async (t) => {
    const { client } = await launchExample(t, kv, await emptyDirectory(t))
    const { Get, Put } = exampleService('kv.proto', 'KV')
    t.match(await unary(client, Put!, { key: 'colour', value: Buffer.from('green') }).outcome, {
      messages: [{}]
    })
    const { messages } = await unary(client, Get!, { key: 'colour' }).outcome
    t.match(
      String((messages[0] as { value: Buffer }).value),
      /^green\s+Written from (plugin-go-grpc|TypeScript)/
    )
    t.match(await unary(client, Get!, { key: 'absent' }).outcome, {
      status: { code: 2, details: /no such file/ }
    })
  })

  t.test(`TypeScript host, ${language} plugin: Counter lets its host do the sum`, async (t) => {
    const { plugin, client } = await launchExample(t, counter, await emptyDirectory(t))
    const { Get, Put } = exampleService('counter.proto', 'Counter')
    const sums: unknown[] = []
    const handlers = {
      Sum({ request }: ServerUnaryCall<Summands, unknown>, callback: sendUnaryData<{ r: number }>) {
        sums.push(request)
        callback(null, { r: request.a + request.b })
      }
    }
    const definition = exampleService('counter.proto', 'AddHelper')
    for (const value of [40, 2]) {
      await using helper = plugin.broker.accept(plugin.broker.nextId(), [{ definition, handlers }])
      const put = await unary(client, Put!, { addServer: helper.id, key: 'answer', value }).outcome
      t.equal(put.error, undefined)
    }
    t.match(sums, [
      { a: 0, b: 40 },
      { a: 40, b: 2 }
    ])
    t.match(await unary(client, Get!, { key: 'answer' }).outcome, { messages: [{ value: 42 }] })
  })
}

interface Summands {
  readonly a: number
  readonly b: number
}

t.test('Go host, Go plugin: Streaming writes a file in chunks and reads it back', async (t) => {
  const file = join(await emptyDirectory(t), 'text')
  await writeFile(file, '')
  const { code, stderr } = await runProgram([goProgram('streaming/host'), file], {
    cwd: goProgram('streaming')
  })
  t.equal(code, 0, stderr)
  t.match(stderr, /received 26 bytes.*Lorem ipsum dolor sit amet/)
})

t.test('TypeScript host, Go plugin: Streaming writes a file in chunks and reads it back', async (t) => {
  const directory = await emptyDirectory(t)
  const path = join(directory, 'text')
  const text = 'Lorem ipsum dolor sit amet'
  const { client } = await launchExample(t, [goProgram('streaming/plugin/streamer')], directory)
  const { Configure, Read, Write } = exampleService('streamer.proto', 'StreamerService')
  t.match(await unary(client, Configure!, { path, chunkSize: 10 }).outcome, { messages: [{}] })
  const { call, outcome } = upload(client, Write!)
  for (const word of text.split(/(?= )/)) call.write({ bytesToWrite: Buffer.from(word) })
  call.end()
  await outcome
  t.equal(await readFile(path, 'utf8'), text)
  const { messages } = await download(client, Read!, {}).outcome
  t.same(
    messages.map((message) => String((message as { readBytes: Buffer }).readBytes)),
    ['Lorem ipsu', 'm dolor si', 't amet']
  )
})
