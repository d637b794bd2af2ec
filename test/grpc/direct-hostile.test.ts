import type { Duplex } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { Start, Status as StatusBlock } from '#proto/muxplug/direct/v1/direct.js'
import { createDirectChannel } from '../../lib/grpc/channel.js'
import { createClient } from '../../lib/grpc/client.js'
import { Status } from '../../lib/grpc/grpc-js.js'
import { implement } from '../../lib/grpc/handler.js'
import { frameMessage } from '../../lib/grpc/message-frames.js'
import { createGrpcServer } from '../../lib/grpc/server.js'
import type { Muxer } from '../../lib/mux/muxer.js'
import type { Substream } from '../../lib/mux/substream.js'
import { bytesMethod } from '../helpers/bytes-service.js'
import { routeBesideBare } from '../helpers/route.js'

const service = {
  typeName: 'x.Y',
  methods: {
    one: bytesMethod('/x.Y/One', false, false),
    many: bytesMethod('/x.Y/Many', true, true)
  }
} as const

const preamble = Buffer.from('0200000007', 'hex')
const leading = 0xc0
const closing = 0x80
const message = (text = 'a', flag = 0): Buffer => frameMessage(flag, Buffer.from(text))
const start = (fields: Start.Init = {}): Buffer =>
  frameMessage(leading, Start.encode({ method: '/x.Y/One', ...fields }).finish())
const status = (fields: StatusBlock.Init = {}): Buffer =>
  frameMessage(closing, StatusBlock.encode(fields).finish())
/** A frame of which only the prefix comes. */
const announced = (flag: number, length: number): Buffer => {
  const prefix = Buffer.alloc(5)
  prefix[0] = flag
  prefix.writeUInt32BE(length, 1)
  return prefix
}
const entry = (key: string, value: string | Uint8Array) => ({ key, value: Buffer.from(value) })

/** A session with a route on one end and nothing on the other. */
function beside(t: Test) {
  const { route, muxer, bare } = routeBesideBare(t)
  return { route, muxer, bare: bare.muxer, accept: () => bare.accept() }
}

/** A server on such a route. */
function serving(t: Test) {
  const session = beside(t)
  const handled: string[] = []
  const server = createGrpcServer(
    [
      implement(service, {
        one: (request: Buffer) => request,
        async *many(requests, { signal }) {
          handled.push('began')
          signal.addEventListener('abort', () => handled.push('aborted'))
          yield* requests
        }
      })
    ],
    { maxReceiveBytes: 1000 }
  )
  t.teardown(() => server.abort())
  session.route.accept(
    7,
    () => {},
    (port) => server.serveCall(port)
  )
  return { ...session, server, handled }
}

/** The status in what an acceptor has written. */
function statusIn(bytes: Buffer): StatusBlock {
  let offset = 1
  for (;;) {
    const length = bytes.readUInt32BE(offset + 1)
    const payload = bytes.subarray(offset + 5, offset + 5 + length)
    if (bytes[offset] === closing) return StatusBlock.decode(payload)
    offset += 5 + length
  }
}

const internal = Status.INTERNAL
const requests: readonly [what: string, request: Buffer[], code: number][] = [
  ['a message before the start block', [message(), start()], internal],
  ['two start blocks', [start(), start(), message()], internal],
  ['a message with an unknown flag', [start(), message('a', 2)], internal],
  [
    'a start block that is no protobuf message',
    [frameMessage(leading, Buffer.from('ffffff', 'hex'))],
    internal
  ],
  ['a start block of nothing', [announced(leading, 0), message()], internal],
  ['a method without a slash', [start({ method: 'x.Y/One' }), message()], internal],
  [
    'a method in broken UTF-8',
    [frameMessage(leading, Buffer.from('0a042fffff2f', 'hex')), message()],
    internal
  ],
  ['an upper-case key', [start({ metadata: [entry('A', 'b')] }), message()], internal],
  ['an empty key', [start({ metadata: [entry('', 'b')] }), message()], internal],
  ['a key with a colon', [start({ metadata: [entry(':path', 'b')] }), message()], internal],
  ['a huge key', [start({ metadata: [entry('a'.repeat(2000), 'b')] }), message()], internal],
  ['text that is no ASCII', [start({ metadata: [entry('a', 'é')] }), message()], internal],
  ['text with a line break', [start({ metadata: [entry('a', 'b\n')] }), message()], internal],
  ['a block that is too long', [announced(leading, 65_537)], Status.RESOURCE_EXHAUSTED],
  ['a block of 4 GiB', [announced(leading, 0xffff_ffff)], Status.RESOURCE_EXHAUSTED],
  ['a message that is too long', [start(), announced(0, 1001)], Status.RESOURCE_EXHAUSTED],
  ['a message of 4 GiB', [start(), announced(0, 0xffff_ffff)], Status.RESOURCE_EXHAUSTED],
  ['a compressed message without an encoding', [start(), message('a', 1)], Status.UNIMPLEMENTED],
  ['an unknown encoding', [start({ encoding: 'zstd' }), message('a', 1)], Status.UNIMPLEMENTED],
  ['bytes that do not unpack', [start({ encoding: 'gzip' }), message('a', 1)], internal],
  ['no message', [start()], Status.UNIMPLEMENTED],
  ['two messages', [start(), message(), message()], Status.UNIMPLEMENTED],
  ['a method that is not there', [start({ method: '/x.Y/Two' }), message()], Status.UNIMPLEMENTED],
  ['a service that is not there', [start({ method: '/' }), message()], Status.UNIMPLEMENTED],
  ['an end inside a message', [start(), announced(0, 10), Buffer.from('abc')], internal],
  ['an end inside a prefix', [start(), Buffer.alloc(3)], internal],
  ['a bomb', [start({ encoding: 'gzip' }), bomb()], Status.RESOURCE_EXHAUSTED]
]

/** A megabyte of zeros, packed. */
function bomb(): Buffer {
  return frameMessage(1, process.getBuiltinModule('node:zlib').gzipSync(Buffer.alloc(1_000_000)))
}

t.test('a request that breaks the rules ends its call and nothing else', async (t) => {
  const { bare, muxer, server } = serving(t)
  for (const [what, frames, code] of requests) {
    const substream = bare.open()
    substream.end(Buffer.concat([preamble, ...frames]))
    t.equal(statusIn(await buffer(substream)).code, code, what)
  }
  const good = bare.open()
  good.end(Buffer.concat([preamble, start(), message('still')]))
  t.match((await buffer(good)).toString('latin1'), /still/)
  await muxer.ping()
  t.match([server.activeCalls, muxer.stats().substreams], [0, 0])
})

t.test('blocks of a later version, and metadata that are none, are passed over', async (t) => {
  const { bare } = serving(t)
  const odd = [0x81, 0x90, 0xa0, 0xc1, 0xff].map((flag) => message('later', flag))
  const metadata = [entry('te', 'x'), entry('grpc-timeout', '1n'), entry('a-bin', Buffer.alloc(3))]
  const substream = bare.open()
  substream.end(Buffer.concat([preamble, start({ metadata }), ...odd, message('kept'), ...odd]))
  const answered = await buffer(substream)
  t.same(statusIn(answered).code, 0)
  t.match(answered.toString('latin1'), /kept/)
})

t.test('a request cut anywhere, by the end of its substream or a reset, leaves nothing', async (t) => {
  const { bare, muxer, server } = serving(t)
  const whole = Buffer.concat([preamble, start(), message('hello')])
  for (let cut = 0; cut < whole.length; cut++) {
    const ended = bare.open()
    ended.end(whole.subarray(0, cut))
    // Before the preamble is whole it is reset.
    await buffer(ended).catch(() => {})
    const reset = bare.open()
    reset.write(whole.subarray(0, cut))
    await bare.ping()
    reset.destroy()
  }
  await bare.ping()
  await muxer.ping()
  t.match([server.activeCalls, muxer.stats().substreams], [0, 0])
})

t.test('a call that never says what it is for goes with the server', async (t) => {
  const { bare, muxer, server } = serving(t)
  const substream = bare.open()
  substream.write(preamble)
  await bare.ping()
  await server.abort()
  await t.rejects(buffer(substream), { code: 'ERR_STREAM_RESET' })
  t.equal(muxer.stats().substreams, 0)
})

t.test('a handler that runs is told when its caller breaks the rules, resets, or is lost', async (t) => {
  const ends: readonly ((substream: Duplex, bare: Muxer) => unknown)[] = [
    (substream) => substream.write(message('a', 2)),
    (substream) => substream.write(start()),
    (substream) => substream.destroy(),
    (_substream, bare) => bare.abort(new Error('lost'))
  ]
  for (const end of ends) {
    const { bare, server, handled, muxer } = serving(t)
    const substream = bare.open()
    substream.on('error', () => {})
    substream.write(Buffer.concat([preamble, start({ method: '/x.Y/Many' }), message('1')]))
    await new Promise((resolve) => {
      substream.once('data', resolve)
    })
    t.equal(server.activeCalls, 1)
    end(substream, bare)
    // Both sessions are over, or the peer has dealt with what was sent.
    await Promise.race([muxer.closed, bare.ping().catch(() => muxer.closed)])
    t.same(handled, ['began', 'aborted'])
    t.equal(server.activeCalls, 0)
  }
})

t.test('a million tiny messages at a handler that reads none of them are held back', async (t) => {
  const { bare, route } = beside(t)
  const server = createGrpcServer([
    implement(service, {
      async *many(_requests, { signal }) {
        await new Promise((resolve) => {
          signal.addEventListener('abort', resolve)
        })
        yield Buffer.alloc(0)
      }
    })
  ])
  t.teardown(() => server.abort())
  route.accept(
    7,
    () => {},
    (port) => server.serveCall(port)
  )
  const substream = bare.open() as Substream
  substream.write(Buffer.concat([preamble, start({ method: '/x.Y/Many' })]))
  const some = Buffer.concat(Array.from({ length: 1000 }, () => message('')))
  let sent = 0
  for (; sent < 1_000_000; sent += 1000) {
    substream.write(some)
    // As long as the reader lets it go on.
    for (let quiet = 0; substream.writableNeedDrain && quiet < 500; quiet++) {
      const { bytesWritten } = substream
      await new Promise(setImmediate)
      if (substream.bytesWritten > bytesWritten) quiet = 0
    }
    if (substream.writableNeedDrain) break
  }
  // A window of 256 KiB, and what the writer's own end holds.
  t.ok(sent * 5 < 1_000_000, `${sent} messages were taken`)
  substream.on('error', () => {})
  substream.destroy()
})

const answer = Buffer.of(0)
const responses: readonly [what: string, response: Buffer[], code: number][] = [
  ['an unknown answer', [Buffer.of(9)], Status.UNAVAILABLE],
  ['no answer', [], Status.UNAVAILABLE],
  ['no status', [answer, message()], internal],
  ['nothing after the answer', [answer], internal],
  ['a message after the status', [answer, message(), status(), message()], internal],
  ['a header after a message', [answer, message(), announced(leading, 0), status()], internal],
  ['two headers', [answer, announced(leading, 0), announced(leading, 0), message(), status()], internal],
  [
    'a status that is no protobuf message',
    [answer, frameMessage(closing, Buffer.from('ff', 'hex'))],
    internal
  ],
  ['a status with bad metadata', [answer, message(), status({ metadata: [entry('A', '')] })], internal],
  [
    'a header with bad metadata',
    [answer, frameMessage(leading, Buffer.from('0a020a00', 'hex')), message(), status()],
    internal
  ],
  ['a status of 99', [answer, status({ code: 99, details: 'odd' })], Status.UNKNOWN],
  ['a status that is too long', [answer, announced(closing, 65_537)], Status.RESOURCE_EXHAUSTED],
  ['a message that is too long', [answer, announced(0, 1001)], Status.RESOURCE_EXHAUSTED],
  ['a message of 4 GiB', [answer, announced(0, 0xffff_ffff)], Status.RESOURCE_EXHAUSTED],
  ['a compressed message without an encoding', [answer, message('a', 1), status()], internal],
  ['an unknown flag', [answer, message('a', 7), status()], internal],
  ['two messages', [answer, message(), message(), status()], Status.UNIMPLEMENTED],
  ['no message', [answer, status()], Status.UNIMPLEMENTED],
  ['an end inside a message', [answer, announced(0, 10), Buffer.from('abc')], internal]
]

for (const [way, options] of [
  ['the usual way', {}],
  ['with metadata', { metadata: { a: 'b' } }]
] as const) {
  t.test(`a response that breaks the rules fails its call and nothing else: ${way}`, async (t) => {
    const { route, muxer, accept } = beside(t)
    const channel = createDirectChannel(() => route.calls(7), { maxReceiveBytes: 1000 })
    t.teardown(() => channel.abort(new Error('test is over')))
    const client = createClient(service, channel)
    const serve = async (response: Buffer[]): Promise<void> => {
      const substream = (await accept()).resume()
      substream.on('error', () => {})
      substream.end(Buffer.concat(response))
    }
    const good = async (): Promise<void> => {
      void serve([answer, message('fine'), status()])
      t.equal((await client.one(Buffer.from('x'), options)).toString(), 'fine')
    }
    await good()
    for (const [what, response, code] of responses) {
      void serve(response)
      await t.rejects(client.one(Buffer.from('x'), options), { status: code } as never, what)
    }
    await good()
    await muxer.ping()
    t.match([channel.activeCalls, muxer.stats().substreams], [0, 0])
  })
}

t.test('a response cut by a reset, or the loss of the session, fails its call', async (t) => {
  const whole = Buffer.concat([answer, message('hello'), status()])
  for (let cut = 0; cut < whole.length; cut++) {
    for (const loss of ['reset', 'session'] as const) {
      const { route, accept, bare } = beside(t)
      const channel = createDirectChannel(() => route.calls(7))
      const outcome = createClient(service, channel).one(Buffer.from('x'))
      const substream = await accept()
      substream.on('error', () => {})
      substream.write(whole.subarray(0, cut))
      await bare.ping()
      if (loss === 'reset') substream.destroy()
      else bare.abort(new Error('lost'))
      const code = loss === 'reset' && cut > 0 ? Status.CANCELLED : Status.UNAVAILABLE
      await t.rejects(outcome, { status: code } as never, `${loss} at ${cut}`)
      t.equal(channel.activeCalls, 0)
      channel.abort(new Error('test is over'))
    }
  }
})
