import { deflateSync, gzipSync } from 'node:zlib'
import { constants, type OutgoingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import { Metadata, status } from '@grpc/grpc-js'
import t, { type Test } from 'tap'
import { createChannel, type ChannelOptions } from '../../lib/grpc/channel.js'
import { frameMessage } from '../../lib/grpc/message-frames.js'
import { download, duplex, unary, upload } from '../helpers/interop-calls.js'
import { interopPair } from '../helpers/interop-pair.js'
import {
  answer,
  bytesMethod,
  clientOf,
  rawPeer,
  trailersOnly,
  type OnStream
} from '../helpers/interop-raw.js'

const method = bytesMethod()
const hello = Buffer.from('hello')
const ok = { 'grpc-status': '0' }
const fixed = (text: string) => frameMessage(0, Buffer.from(text))

/** RST_STREAM as bytes: node:http2 would end the stream before it resets it. */
function resetFrame(id: number, code: number): Buffer {
  const frame = Buffer.from('00000403000000000000000000', 'hex')
  frame.writeUInt32BE(id, 5)
  frame.writeUInt32BE(code, 9)
  return frame
}

/** One unary call against a peer that answers with `onStream`. */
function callOnce(t: Test, onStream: OnStream, options?: ChannelOptions) {
  return unary(rawPeer(t, onStream, options).client, method, hello).outcome
}

t.test('request', async (t) => {
  function headersOf(
    t: Test,
    options: ChannelOptions,
    metadata?: Metadata,
    deadline?: number,
    host?: string
  ) {
    return new Promise<[string, string][]>((resolve) => {
      const { client } = rawPeer(
        t,
        (stream, _headers, raw) => {
          resolve(Array.from({ length: raw.length / 2 }, (_, i) => [raw[2 * i]!, raw[2 * i + 1]!]))
          trailersOnly(stream, ok)
        },
        options
      )
      void unary(client, method, hello, {
        ...(metadata && { metadata }),
        options: { ...(deadline && { deadline }), ...(host !== undefined && { host }) }
      }).outcome
    })
  }

  t.test('headers are these and no others', async (t) => {
    const headers = Object.fromEntries(await headersOf(t, {}))
    t.match(headers['user-agent'], /^grpc-node-js\/\d+\.\d+\.\d+$/)
    delete headers['user-agent']
    t.strictSame(headers, {
      ':method': 'POST',
      ':scheme': 'http',
      ':path': '/test.Raw/Call',
      ':authority': 'localhost',
      te: 'trailers',
      'content-type': 'application/grpc',
      'grpc-accept-encoding': 'identity,deflate,gzip',
      'accept-encoding': 'identity'
    })
  })

  t.test('options show in the headers', async (t) => {
    const headers = Object.fromEntries(
      await headersOf(t, { target: 'plugin "kv" #1', userAgent: 'app/1', compression: 'gzip' })
    )
    t.equal(headers[':authority'], 'plugin-kv-1')
    t.match(headers['user-agent'], /^app\/1 grpc-node-js\//)
    t.equal(headers['grpc-encoding'], 'gzip')
  })

  t.test('targets that are authorities stay as they are', async (t) => {
    for (const target of ['localhost', 'kv.local:50051', '[::1]:80', '127.0.0.1']) {
      t.equal(Object.fromEntries(await headersOf(t, { target }))[':authority'], target)
    }
    t.equal(Object.fromEntries(await headersOf(t, { target: '///' }))[':authority'], 'localhost')
  })

  t.test("a call's host is its authority", async (t) => {
    const headers = Object.fromEntries(await headersOf(t, {}, undefined, undefined, 'other.example'))
    t.equal(headers[':authority'], 'other.example')
  })

  t.test('metadata are sent, but not over what is fixed', async (t) => {
    const metadata = new Metadata()
    for (const name of ['te', 'content-type', 'user-agent', 'grpc-encoding', 'accept-encoding']) {
      metadata.set(name, 'mine')
    }
    metadata.add('a', '1')
    metadata.add('a', '2')
    metadata.set('b-bin', Buffer.from([1, 2]))
    const headers = await headersOf(t, {}, metadata)
    t.notOk(headers.some(([, value]) => value === 'mine'))
    t.strictSame(
      headers.filter(([name]) => name === 'a'),
      [
        ['a', '1'],
        ['a', '2']
      ]
    )
    t.strictSame(
      headers.filter(([name]) => name === 'b-bin'),
      [['b-bin', 'AQI=']]
    )
  })

  t.test('a deadline is sent as the time left', async (t) => {
    const headers = Object.fromEntries(await headersOf(t, {}, undefined, Date.now() + 90_000))
    t.match(headers['grpc-timeout'], /^(8\d{4}|90000)m$/)
  })

  t.test('a deadline that has passed sends nothing', async (t) => {
    let streams = 0
    const { client } = rawPeer(t, () => streams++)
    const { error } = await unary(client, method, hello, { options: { deadline: 1 } }).outcome
    t.equal(error?.code, status.DEADLINE_EXCEEDED)
    t.equal(streams, 0)
  })

  t.test('leaves before the peer has sent its SETTINGS', async (t) => {
    const [near, far] = interopPair()
    const channel = createChannel(() => near)
    t.teardown(() => channel.abort(new Error('test is over')))
    let received = Buffer.alloc(0)
    const written = new Promise<void>((resolve) => {
      far.on('data', (chunk: Buffer) => {
        received = Buffer.concat([received, chunk])
        if (received.includes(hello)) resolve()
      })
    })
    const call = unary(clientOf(channel), method, hello)
    await written
    t.equal(channel.getConnectivityState(false), 1)
    call.call.cancel()
    await call.outcome
  })

  t.test('names that HTTP/2 does not carry fail their call only', async (t) => {
    const { client, channel } = rawPeer(t, (stream) => answer(stream, { data: [fixed('x')], trailers: ok }))
    const names = [
      'connection',
      'keep-alive',
      'proxy-connection',
      'upgrade',
      'transfer-encoding',
      'http2-settings',
      'a:b'
    ]
    t.equal((await unary(client, method, hello).outcome).error, undefined)
    for (const name of names) {
      const metadata = new Metadata()
      metadata.set(name, 'x')
      const { error } = await unary(client, method, hello, { metadata }).outcome
      t.equal(error?.code, status.INTERNAL, name)
    }
    const twice = new Metadata()
    twice.add('from', 'a')
    twice.add('from', 'b')
    t.equal((await unary(client, method, hello, { metadata: twice }).outcome).error?.code, status.INTERNAL)
    t.equal((await unary(client, method, hello).outcome).error, undefined)
    t.equal(channel.getConnectivityState(false), 2)
  })

  t.test('a message is one DATA frame with the end of the stream', async (t) => {
    const chunks: Buffer[] = []
    await callOnce(t, (stream) => {
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('end', () => answer(stream, { data: [fixed('x')], trailers: ok }))
    })
    t.strictSame(chunks, [Buffer.from('000000000568656c6c6f', 'hex')])
  })

  t.test('too large a message sends nothing', async (t) => {
    let streams = 0
    const { client } = rawPeer(t, () => streams++, { maxSendBytes: 4 })
    const { error } = await unary(client, method, hello).outcome
    t.equal(error?.code, status.RESOURCE_EXHAUSTED)
    t.equal(error?.details, 'Attempted to send message with a size larger than 4')
    t.equal(streams, 0)
  })
})

t.test('compressed requests', async (t) => {
  /** Answers each call with the flags of its messages, and what the peer accepts. */
  function flagServer(accepted: string | undefined): OnStream {
    return (stream, headers) => {
      const chunks: Buffer[] = []
      stream.respond(
        { ':status': 200, ...(accepted !== undefined && { 'grpc-accept-encoding': accepted }) },
        { waitForTrailers: true }
      )
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('wantTrailers', () => stream.sendTrailers(ok))
      stream.on('end', () => {
        let bytes = Buffer.concat(chunks)
        const flags: number[] = []
        while (bytes.length > 0) {
          flags.push(bytes[0]!)
          bytes = bytes.subarray(5 + bytes.readUInt32BE(1))
        }
        stream.end(fixed(`${String(headers['grpc-encoding'])} ${flags.join('')}`))
      })
    }
  }
  const noCompress = 2 as unknown as BufferEncoding

  for (const compression of ['gzip', 'deflate'] as const) {
    t.test(`${compression}: each message has the flag, but not one sent with NoCompress`, async (t) => {
      const { client } = rawPeer(t, flagServer(undefined), { compression })
      const { call, outcome } = upload(client, method)
      call.write(hello)
      call.write(hello, noCompress)
      call.end(Buffer.alloc(0))
      t.equal(String((await outcome).messages[0]), `${compression} 101`)
    })
  }

  t.test('identity sends neither header nor flag', async (t) => {
    const { client } = rawPeer(t, flagServer('identity,gzip'))
    t.equal(String((await unary(client, method, hello).outcome).messages[0]), 'undefined 0')
  })

  t.test('stops once the peer turns out to lack the encoding, in the same call and later', async (t) => {
    const { client } = rawPeer(t, flagServer('identity, deflate'), { compression: 'gzip' })
    const { call, outcome } = duplex(client, method)
    call.write(hello)
    await new Promise((resolve) => call.once('metadata', resolve))
    call.end(hello)
    t.equal(String((await outcome).messages[0]), 'gzip 10')
    t.equal(String((await unary(client, method, hello).outcome).messages[0]), 'undefined 0')
  })

  t.test('goes on where the peer has it', async (t) => {
    const { client } = rawPeer(t, flagServer('identity,gzip'), { compression: 'gzip' })
    for (let i = 0; i < 2; i++) {
      t.equal(String((await unary(client, method, hello).outcome).messages[0]), 'gzip 1')
    }
  })
})

t.test('response messages', async (t) => {
  t.test('split at every byte', async (t) => {
    const bytes = Buffer.concat([fixed('first'), fixed(''), fixed('second')])
    for (let at = 1; at < bytes.length; at++) {
      const { client } = rawPeer(t, (stream) =>
        answer(stream, { data: [bytes.subarray(0, at), bytes.subarray(at)], trailers: ok })
      )
      const { messages, error } = await download(client, method, hello).outcome
      t.equal(error, undefined)
      t.strictSame(messages.map(String), ['first', '', 'second'], `split at ${at}`)
    }
  })

  t.test('in frames of one byte', async (t) => {
    const bytes = Buffer.concat([fixed('first'), fixed('second')])
    const { client } = rawPeer(t, (stream) => {
      stream.respond({ ':status': 200 }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers(ok))
      let at = 0
      const next = () => {
        if (at === bytes.length) stream.end()
        else stream.write(bytes.subarray(at, ++at), () => setImmediate(next))
      }
      next()
    })
    t.strictSame((await download(client, method, hello).outcome).messages.map(String), ['first', 'second'])
  })

  t.test('with padding', async (t) => {
    const { client } = rawPeer(
      t,
      (stream) => answer(stream, { data: [fixed('x'.repeat(5)), fixed('y')], trailers: ok }),
      {},
      { paddingStrategy: constants.PADDING_STRATEGY_MAX }
    )
    t.strictSame((await download(client, method, hello).outcome).messages.map(String), ['xxxxx', 'y'])
  })

  for (const [encoding, pack] of [
    ['gzip', gzipSync],
    ['deflate', deflateSync]
  ] as const) {
    t.test(`${encoding} is unpacked, plain messages in between are not`, async (t) => {
      const { client } = rawPeer(t, (stream) =>
        answer(stream, {
          headers: { 'grpc-encoding': encoding },
          data: [frameMessage(1, pack('one')), fixed('two'), frameMessage(1, pack('three'))],
          trailers: ok
        })
      )
      const { messages, initial, error } = await download(client, method, hello).outcome
      t.equal(error, undefined)
      t.strictSame(messages.map(String), ['one', 'two', 'three'])
      t.strictSame(initial?.get('grpc-encoding'), [])
    })

    t.test(`corrupt ${encoding} is INTERNAL`, async (t) => {
      const { error } = await callOnce(t, (stream) =>
        answer(stream, {
          headers: { 'grpc-encoding': encoding },
          data: [frameMessage(1, Buffer.from('nonsense'))],
          trailers: ok
        })
      )
      t.equal(error?.code, status.INTERNAL)
      t.equal(error?.details, `Failed to decompress ${encoding}-encoded message`)
    })

    t.test(`${encoding} that unpacks to more than the limit is RESOURCE_EXHAUSTED`, async (t) => {
      const send = (size: number): OnStream => {
        const data = [frameMessage(1, pack(Buffer.alloc(size)))]
        return (stream) => answer(stream, { headers: { 'grpc-encoding': encoding }, data, trailers: ok })
      }
      const { error } = await callOnce(t, send(1_000_000), { maxReceiveBytes: 100_000 })
      t.equal(error?.code, status.RESOURCE_EXHAUSTED)
      t.equal(error?.details, 'Received message that decompresses to a size larger than 100000')
      t.equal((await callOnce(t, send(100_000), { maxReceiveBytes: 100_000 })).error, undefined)
      t.equal((await callOnce(t, send(100_001), { maxReceiveBytes: 100_000 })).error?.code, 8)
      t.equal((await callOnce(t, send(1_000_000), { maxReceiveBytes: Infinity })).error, undefined)
    })
  }

  for (const encoding of ['snappy', 'identity', undefined]) {
    t.test(`the compressed flag under grpc-encoding ${encoding} is INTERNAL`, async (t) => {
      const { error } = await callOnce(t, (stream) =>
        answer(stream, {
          headers: encoding === undefined ? {} : { 'grpc-encoding': encoding },
          data: [frameMessage(1, hello)],
          trailers: ok
        })
      )
      t.equal(error?.code, status.INTERNAL)
    })
  }

  t.test('an unknown flag is INTERNAL', async (t) => {
    const { error } = await callOnce(t, (stream) =>
      answer(stream, { data: [frameMessage(2, hello)], trailers: ok })
    )
    t.equal(error?.code, status.INTERNAL)
  })

  t.test('a length over the limit is RESOURCE_EXHAUSTED on the prefix, and resets the stream', async (t) => {
    let code: Promise<number> | undefined
    const { error } = await callOnce(
      t,
      (stream) => {
        code = new Promise((resolve) => stream.on('close', () => resolve(stream.rstCode)))
        stream.respond({ ':status': 200 })
        stream.write(Buffer.from('0000000006', 'hex'))
      },
      { maxReceiveBytes: 5 }
    )
    t.equal(error?.code, status.RESOURCE_EXHAUSTED)
    t.equal(error?.details, 'Received message larger than max (6 vs 5)')
    t.equal(await code, constants.NGHTTP2_CANCEL)
  })

  t.test('a response that ends inside a message is INTERNAL, though its status is OK', async (t) => {
    for (const size of [3, 5, 8]) {
      const { error } = await callOnce(t, (stream) =>
        answer(stream, { data: [fixed('hello').subarray(0, size)], trailers: ok })
      )
      t.equal(error?.code, status.INTERNAL, `${size} bytes`)
    }
    const failed = await callOnce(t, (stream) =>
      answer(stream, { data: [fixed('hello').subarray(0, 7)], trailers: { 'grpc-status': '5' } })
    )
    t.equal(failed.error?.code, 5)
  })

  t.test('no message and two messages are UNIMPLEMENTED in a unary call', async (t) => {
    const none = await callOnce(t, (stream) => answer(stream, { trailers: ok }))
    t.equal(none.error?.code, status.UNIMPLEMENTED)
    const two = await callOnce(t, (stream) =>
      answer(stream, { data: [fixed('a'), fixed('b')], trailers: ok })
    )
    t.equal(two.error?.code, status.UNIMPLEMENTED)
    const { client } = rawPeer(t, (stream) =>
      answer(stream, { data: [fixed('a'), fixed('b')], trailers: ok })
    )
    const { call, outcome } = upload(client, method)
    call.end()
    t.equal((await outcome).error?.code, status.UNIMPLEMENTED)
  })

  t.test('two messages and an error status give the status in a unary call', async (t) => {
    const { error } = await callOnce(t, (stream) =>
      answer(stream, { data: [fixed('a'), fixed('b')], trailers: { 'grpc-status': '5' } })
    )
    t.equal(error?.code, 5)
  })

  t.test('all messages sent before an error status arrive', async (t) => {
    const data = Array.from({ length: 50 }, (_, i) => fixed(String(i)))
    const { client } = rawPeer(t, (stream) => answer(stream, { data, trailers: { 'grpc-status': '10' } }))
    const { messages, error } = await download(client, method, hello).outcome
    t.equal(error?.code, 10)
    t.equal(messages.length, 50)
  })

  t.test('an error status reaches a caller who never reads', async (t) => {
    const { client } = rawPeer(t, (stream) =>
      answer(stream, { data: [fixed('a')], trailers: { 'grpc-status': '10' } })
    )
    const { path, requestSerialize, responseDeserialize } = method
    const call = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, hello)
    const error = await new Promise<{ code: number }>((resolve) => call.on('error', resolve as () => void))
    t.equal(error.code, 10)
  })
})

t.test('status', async (t) => {
  t.test('trailers carry status, message and metadata', async (t) => {
    const { error, initial } = await callOnce(t, (stream) =>
      answer(stream, {
        headers: { early: '1' },
        trailers: { 'grpc-status': '7', 'grpc-message': 'n%C3%B6', late: '2' }
      })
    )
    t.equal(error?.code, 7)
    t.equal(error?.details, 'nö')
    t.strictSame(error?.metadata.get('late'), ['2'])
    t.strictSame(error?.metadata.get('grpc-status'), [])
    t.strictSame(initial?.get('early'), ['1'])
  })

  t.test('a trailers-only response has no initial metadata', async (t) => {
    const { error, initial } = await callOnce(t, (stream) =>
      trailersOnly(stream, { 'grpc-status': '7', 'grpc-message': 'no', late: '2' })
    )
    t.equal(initial, undefined)
    t.equal(error?.code, 7)
    t.equal(error?.details, 'no')
    t.strictSame(error?.metadata.get('late'), ['2'])
  })

  t.test('a trailers-only OK ends a stream', async (t) => {
    const { client } = rawPeer(t, (stream) => trailersOnly(stream, ok))
    const { messages, error } = await download(client, method, hello).outcome
    t.equal(error, undefined)
    t.strictSame(messages, [])
  })

  const odd: [string, OutgoingHttpHeaders, number, string | RegExp][] = [
    ['grpc-status wins over :status', { ':status': 503, 'grpc-status': '9' }, 9, ''],
    ['text is UNKNOWN', { 'grpc-status': 'nope', 'grpc-message': 'x' }, 2, /nope.*x/],
    ['a code above 16 is UNKNOWN with its number', { 'grpc-status': '42' }, 2, /42/],
    ['a negative code is UNKNOWN', { 'grpc-status': '-1' }, 2, /-1/],
    [
      'escapes of every character are decoded',
      { 'grpc-status': '5', 'grpc-message': 'a%2Fb%25%20c' },
      5,
      'a/b% c'
    ],
    ['broken escapes stay', { 'grpc-status': '5', 'grpc-message': '100% %zz %41 %' }, 5, '100% %zz A %'],
    ['broken UTF-8 is replaced', { 'grpc-status': '5', 'grpc-message': 'x%FFy' }, 5, 'x\ufffdy']
  ]
  for (const [title, headers, code, details] of odd) {
    t.test(title, async (t) => {
      const { error } = await callOnce(t, (stream) => trailersOnly(stream, headers))
      t.equal(error?.code, code)
      t.match(error?.details, details)
    })
  }

  const byHttp: [number, number][] = [
    [400, status.INTERNAL],
    [401, status.UNAUTHENTICATED],
    [403, status.PERMISSION_DENIED],
    [404, status.UNIMPLEMENTED],
    [429, status.UNAVAILABLE],
    [502, status.UNAVAILABLE],
    [503, status.UNAVAILABLE],
    [504, status.UNAVAILABLE],
    [200, status.UNKNOWN],
    [418, status.UNKNOWN],
    [500, status.UNKNOWN]
  ]
  for (const [http, code] of byHttp) {
    t.test(`:status ${http} without grpc-status is ${status[code]}`, async (t) => {
      const whole = await callOnce(t, (stream) => trailersOnly(stream, { ':status': http }))
      t.equal(whole.error?.code, code)
      t.equal(whole.error?.details, `Received HTTP status code ${http}`)
      const late = await callOnce(t, (stream) =>
        answer(stream, { headers: { ':status': http }, trailers: { other: '1' } })
      )
      t.equal(late.error?.code, code)
    })
  }

  t.test('an error page is reported by its :status, whether it looks like a message or not', async (t) => {
    for (const page of ['<html><body>no such page</body></html>', '']) {
      for (const maxReceiveBytes of [4_194_304, Infinity]) {
        const { error } = await callOnce(
          t,
          (stream) => {
            stream.respond({ ':status': 404, 'content-type': 'text/html' })
            stream.end(page)
          },
          { maxReceiveBytes }
        )
        t.equal(error?.code, status.UNIMPLEMENTED)
        t.equal(error?.details, 'Received HTTP status code 404')
      }
    }
  })

  t.test('a page under 200 is a message too large', async (t) => {
    const { error } = await callOnce(t, (stream) => answer(stream, { data: [Buffer.from('<html></html>')] }))
    t.equal(error?.code, status.RESOURCE_EXHAUSTED)
  })

  t.test('data without trailers is INTERNAL, also while the request is open', async (t) => {
    const respond = (stream: ServerHttp2Stream) => answer(stream, { data: [fixed('x')] })
    t.equal((await callOnce(t, respond)).error?.code, status.INTERNAL)
    const { client } = rawPeer(t, respond)
    const { outcome } = duplex(client, method)
    t.equal((await outcome).error?.code, status.INTERNAL)
  })

  t.test('an early OK ends a call whose request is still open', async (t) => {
    const { client, channel, session } = rawPeer(t, (stream) =>
      answer(stream, { data: [fixed('done')], trailers: ok })
    )
    const { call, outcome } = upload(client, method)
    call.write(Buffer.alloc(1_000_000))
    t.equal(String((await outcome).messages[0]), 'done')
    await new Promise((resolve) => call.write(hello, resolve))
    t.equal(channel.activeCalls, 0)
    const again = upload(client, method)
    t.equal((await again.outcome).error, undefined)
    const server = await session
    client.close()
    await channel.closed
    t.equal(server.destroyed || server.closed, true)
  })
})

t.test('a stream reset without trailers', async (t) => {
  const byCode: [number, number, RegExp][] = [
    [0, status.INTERNAL, /without gRPC status/],
    [1, status.INTERNAL, /code 1/],
    [2, status.INTERNAL, /code 2/],
    [3, status.INTERNAL, /code 3/],
    [4, status.INTERNAL, /code 4/],
    [5, status.INTERNAL, /code 5/],
    [6, status.INTERNAL, /code 6/],
    [7, status.UNAVAILABLE, /refused/],
    [8, status.CANCELLED, /cancelled/],
    [9, status.INTERNAL, /code 9/],
    [10, status.INTERNAL, /code 10/],
    [11, status.RESOURCE_EXHAUSTED, /exhausted/],
    [12, status.PERMISSION_DENIED, /secure/],
    [13, status.INTERNAL, /code 13/],
    [14, status.INTERNAL, /code 14/],
    [99, status.INTERNAL, /code 99/]
  ]
  const moments: Record<string, (stream: ServerHttp2Stream, done: () => void) => void> = {
    'before headers': (_stream, done) => done(),
    'after headers': (stream, done) => {
      stream.respond({ ':status': 200 })
      stream.write(fixed('x').subarray(0, 3), done)
    },
    'after a message': (stream, done) => {
      stream.respond({ ':status': 200 })
      stream.write(fixed('x'), done)
    }
  }
  for (const [moment, act] of Object.entries(moments)) {
    for (const [code, expected, details] of byCode) {
      t.test(`${moment} with code ${code} is ${status[expected]}`, async (t) => {
        const { client, channel, far } = rawPeer(t, (stream) => {
          act(stream, () => setImmediate(() => far.write(resetFrame(stream.id ?? 0, code))))
        })
        const { error } = await unary(client, method, hello).outcome
        t.equal(error?.code, expected)
        t.match(error?.details, details)
        t.equal(channel.getConnectivityState(false), 2, 'the connection lives on')
      })
    }
  }

  t.test('with NO_ERROR after another :status is mapped by that', async (t) => {
    const { client, far } = rawPeer(t, (stream) => {
      stream.respond({ ':status': 403 })
      stream.write('x', () => setImmediate(() => far.write(resetFrame(stream.id ?? 0, 0))))
    })
    const { error } = await unary(client, method, hello).outcome
    t.equal(error?.code, status.PERMISSION_DENIED)
  })
})

t.test('cancelling resets the stream with CANCEL', async (t) => {
  let call: { cancel(): void } | undefined
  const code = new Promise<number>((resolve) => {
    const { client } = rawPeer(t, (stream) => {
      stream.on('close', () => resolve(stream.rstCode))
      call?.cancel()
    })
    const started = unary(client, method, hello)
    call = started.call
    void started.outcome.then(({ error }) => t.equal(error?.code, status.CANCELLED))
  })
  t.equal(await code, constants.NGHTTP2_CANCEL)
})

t.test('a call cancelled in the tick it was made sends nothing', async (t) => {
  let streams = 0
  const { client } = rawPeer(t, () => streams++)
  const { call, outcome } = unary(client, method, hello)
  call.cancel()
  t.equal((await outcome).error?.code, status.CANCELLED)
  t.equal(streams, 0)
})

t.test('a response with more metadata than node:http2 takes is RESOURCE_EXHAUSTED', async (t) => {
  const many = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`key-${i}`, 'v']))
  const { error } = await callOnce(t, (stream) => trailersOnly(stream, { ...many, ...ok }))
  t.type(error?.code, 'number')
  t.not(error?.code, 0)
})
