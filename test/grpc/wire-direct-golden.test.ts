import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import t from 'tap'
import { type ChannelOptions, createDirectChannel } from '../../lib/grpc/channel.js'
import { type CallOptions, createClient } from '../../lib/grpc/client.js'
import { Status } from '../../lib/grpc/grpc-js.js'
import { implement } from '../../lib/grpc/handler.js'
import { createGrpcServer } from '../../lib/grpc/server.js'
import { callError } from '../../lib/grpc/status.js'
import { bytesMethod } from '../helpers/bytes-service.js'
import { packageRoot } from '../helpers/paths.js'
import { routeBesideBare } from '../helpers/route.js'

interface Golden {
  readonly name: string
  readonly dialler: string
  readonly acceptor: string
}

const read = (path: string): string => readFileSync(join(packageRoot, path), 'utf8')
const { calls } = JSON.parse(read('test/golden/wire-direct.json')) as { calls: readonly Golden[] }
const bytesOf = (hex: string): Buffer => Buffer.from(hex.replaceAll(/\s/g, ''), 'hex')

const method = <Req extends boolean, Res extends boolean>(name: string, request: Req, response: Res) =>
  bytesMethod(`/echo.v1.Echo/${name}`, request, response)

const service = {
  typeName: 'echo.v1.Echo',
  methods: {
    echo: method('Echo', false, false),
    fail: method('Fail', false, false),
    meta: method('Meta', false, false),
    none: method('None', false, false),
    down: method('Down', false, true),
    up: method('Up', true, false),
    chat: method('Chat', true, true)
  }
}

const binding = implement(service, {
  echo: (request: Buffer) => request,
  fail() {
    throw callError(Status.NOT_FOUND, 'no such file')
  },
  meta(request: Buffer, { sendHeader, trailer }) {
    sendHeader({ h: 'ini' })
    trailer.set('t-bin', Buffer.of(0xff))
    return request
  },
  async *down() {
    for (const text of ['a', 'b', 'c']) yield Buffer.from(text)
  },
  async up(requests) {
    const all: Buffer[] = []
    for await (const request of requests) all.push(request)
    return Buffer.concat(all)
  },
  chat: (requests) => requests
})

for (const { name, dialler, acceptor } of calls) {
  t.test(`${name}: what an acceptor answers`, async (t) => {
    const { route, bare } = routeBesideBare(t)
    const server = createGrpcServer([binding])
    t.teardown(() => server.abort())
    const accept = (id: number) =>
      route.accept(
        id,
        () => {},
        (port) => server.serveCall(port)
      )
    accept(7)
    accept(8).close()
    const substream = bare.muxer.open()
    substream.end(bytesOf(dialler))
    t.equal((await buffer(substream)).toString('hex'), bytesOf(acceptor).toString('hex'))
    t.equal(server.activeCalls, 0)
  })
}

/** What a caller does for each, and what it has to see. */
const one = Buffer.from('1')
const callers: Record<string, (client: ReturnType<typeof createClient<typeof service>>) => Promise<unknown>> =
  {
    unary: (client) => client.echo(Buffer.from('0a026869', 'hex')),
    failed: (client) => client.fail(Buffer.alloc(0)),
    metadata: async (client) => {
      const told: unknown[] = []
      const options: CallOptions = {
        metadata: { a: ['x z', 'y,!'], 'b-bin': Buffer.of(0) },
        onHeader: (header) => told.push(header.get('h')),
        onTrailer: (trailer) => told.push(trailer.get('t-bin'))
      }
      return [(await client.meta(one, options)).toString(), ...told]
    },
    compressed: (client) => client.echo(Buffer.from('babababa')),
    download: async (client) => {
      const all: string[] = []
      for await (const message of client.down(Buffer.from('3'))) all.push(message.toString())
      return all
    },
    upload: (client) => client.up([Buffer.from('a'), Buffer.alloc(0), Buffer.from('bc')]),
    chat: async (client) => {
      const all: string[] = []
      for await (const message of client.chat([Buffer.from('a'), Buffer.from('b')]))
        all.push(message.toString())
      return all
    },
    unimplemented: (client) => client.none(Buffer.alloc(0))
  }

const seen: Record<string, unknown> = {
  unary: Buffer.from('0a026869', 'hex'),
  metadata: ['1', ['ini'], [Buffer.of(0xff)]],
  compressed: Buffer.from('babababa'),
  download: ['a', 'b', 'c'],
  upload: Buffer.from('abc'),
  chat: ['a', 'b']
}

const failures: Record<string, { code: string; status: number; details?: string }> = {
  failed: { code: 'ERR_CALL_FAILED', status: Status.NOT_FOUND, details: 'no such file' },
  unimplemented: { code: 'ERR_CALL_FAILED', status: Status.UNIMPLEMENTED }
}

for (const [name, call] of Object.entries(callers)) {
  t.test(`${name}: what a dialler sends, and makes of the answer`, async (t) => {
    const { route, bare } = routeBesideBare(t)
    const options: ChannelOptions = name === 'compressed' ? { compression: 'deflate' } : {}
    const channel = createDirectChannel(() => route.calls(7), options)
    t.teardown(() => channel.abort(new Error('test is over')))
    const { dialler, acceptor } = calls.find((golden) => golden.name === name)!
    const outcome = call(createClient(service, channel))
    const received = answer(await bare.accept(), bytesOf(acceptor))
    const failure = failures[name]
    if (failure === undefined) t.same(await outcome, seen[name])
    else await t.rejects(outcome, failure)
    t.equal((await received).toString('hex'), bytesOf(dialler).toString('hex'))
  })
}

/** Reads a request to its end, and answers then. */
async function answer(substream: Duplex, bytes: Buffer): Promise<Buffer> {
  const chunks: Buffer[] = []
  substream.on('data', (chunk: Buffer) => chunks.push(chunk))
  await new Promise((resolve) => {
    substream.once('end', resolve)
  })
  substream.end(bytes)
  return Buffer.concat(chunks)
}

t.test('a time-out is sent in milliseconds', async (t) => {
  const { route, bare } = routeBesideBare(t)
  const channel = createDirectChannel(() => route.calls(7))
  t.teardown(() => channel.abort(new Error('test is over')))
  const outcome = createClient(service, channel).echo(one, { timeoutMs: 60_000 })
  const { acceptor } = calls.find(({ name }) => name === 'time-out')!
  const sent = await answer(await bare.accept(), bytesOf(acceptor))
  t.same(await outcome, one)
  // Field 2, a varint: 60 000, or some of them fewer.
  const at = 5 + 5 + 20
  t.equal(sent[at], 0x10)
  const ms = sent[at + 1]! - 0x80 + ((sent[at + 2]! - 0x80) << 7) + (sent[at + 3]! << 14)
  t.ok(ms > 50_000 && ms <= 60_000, `${ms} ms`)
})

t.test('the examples of the specification are these bytes', (t) => {
  const page = read('docs/wire-direct.md')
  const examples = [...page.matchAll(/<!-- golden: (\w+) -->\n\n```\n([\s\S]*?)```/g)]
  t.equal(examples.length, 2)
  for (const [, name, listing] of examples) {
    const golden = calls.find((call) => call.name === name)!
    const [dialler, acceptor] = listing!.split('<- ').map(hexOf)
    t.equal(dialler, hexOf(golden.dialler), `${name}: dialler`)
    t.equal(acceptor, hexOf(golden.acceptor), `${name}: acceptor`)
  }
  t.end()
})

/** The bytes of a listing: what stands before the remark on each line. */
function hexOf(listing: string): string {
  const lines = listing.split('\n').map(
    (line) =>
      line
        .trim()
        .replace('-> ', '')
        .split(/\s{2,}/)[0]!
  )
  return lines
    .filter((line) => line !== 'FIN')
    .join('')
    .replaceAll(' ', '')
}
