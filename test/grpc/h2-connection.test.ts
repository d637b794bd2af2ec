import { createServer, type ServerHttp2Stream } from 'node:http2'
import { connectivityState, credentials, status, type ServiceError } from '@grpc/grpc-js'
import t, { type Test } from 'tap'
import { PluginError, isPluginError } from '../../lib/errors.js'
import { createChannel, type ChannelOptions } from '../../lib/grpc/channel.js'
import { frameMessage } from '../../lib/grpc/message-frames.js'
import { duplex, unary, type Outcome } from '../helpers/interop-calls.js'
import { interopPair } from '../helpers/interop-pair.js'
import { answer, bytesMethod, clientOf, rawPeer, trailersOnly, type RawPeer } from '../helpers/interop-raw.js'

const method = bytesMethod()
const hello = Buffer.from('hello')
const ok = { 'grpc-status': '0' }
const message = frameMessage(0, hello)

interface Situation {
  /** Brings a call into the situation and gives how it ends, or nothing where there is no call. */
  start(
    t: Test,
    options?: ChannelOptions
  ): Promise<{ peer: RawPeer; stream?: ServerHttp2Stream; ended?: Ended }>
}
type Ended = Promise<Outcome<Buffer>>

/** A peer, and the stream of the first call that reaches it. */
function peerWithStream(t: Test, options?: ChannelOptions) {
  let reached: (stream: ServerHttp2Stream) => void
  const arrived = new Promise<ServerHttp2Stream>((resolve) => {
    reached = resolve
  })
  return { peer: rawPeer(t, (stream) => reached(stream), options), arrived }
}

async function ready({ client, channel }: RawPeer): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    client.waitForReady(Date.now() + 30_000, (error) => (error === undefined ? resolve() : reject(error)))
  })
  if (channel.getConnectivityState(false) !== connectivityState.READY) throw new Error('not ready')
}

const situations: Record<string, Situation> = {
  'no call': {
    async start(t, options) {
      const { peer } = peerWithStream(t, options)
      await ready(peer)
      return { peer }
    }
  },
  'a call whose headers were sent': {
    async start(t, options) {
      const { peer, arrived } = peerWithStream(t, options)
      const { outcome } = unary(peer.client, method, hello)
      return { peer, stream: await arrived, ended: outcome }
    }
  },
  'a download half read': {
    async start(t, options) {
      const { peer, arrived } = peerWithStream(t, options)
      const { call, outcome } = duplex(peer.client, method)
      call.write(hello)
      const stream = await arrived
      stream.respond({ ':status': 200 })
      stream.write(message)
      await new Promise((resolve) => call.once('data', resolve))
      return { peer, stream, ended: outcome }
    }
  },
  'an upload held back': {
    async start(t, options) {
      const { peer, arrived } = peerWithStream(t, options)
      const { call, outcome } = duplex(peer.client, method)
      for (let i = 0; i < 20; i++) call.write(Buffer.alloc(100_000))
      return { peer, stream: await arrived, ended: outcome }
    }
  }
}

const cause = new PluginError('ERR_BROKER_TIMEOUT', 'nobody accepts broker ID 7')

const losses: Record<
  string,
  { act: (peer: RawPeer) => void; check: (t: Test, error: ServiceError) => void }
> = {
  'the peer ends the stream': {
    act: ({ far }) => far.end(),
    check: (t, error) => checkPlain(t, error)
  },
  'the peer destroys the stream': {
    act: ({ far }) => far.destroy(),
    check: (t, error) => checkPlain(t, error)
  },
  'the stream is destroyed here': {
    act: ({ near }) => near.destroy(),
    check: (t, error) => checkPlain(t, error)
  },
  'the stream is destroyed with an error': {
    act: ({ near }) => near.destroy(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })),
    check(t, error) {
      t.equal(error.details, 'Connection to localhost dropped: read ECONNRESET')
      t.strictSame(error.metadata.get('muxplug-error'), ['ERR_STREAM_CLOSED'])
    }
  },
  'the stream is destroyed with a PluginError': {
    act: ({ near }) => near.destroy(cause),
    check: (t, error) => checkCause(t, error)
  },
  'the channel is aborted': {
    act: ({ channel }) => channel.abort(cause),
    check: (t, error) => checkCause(t, error)
  }
}

function checkPlain(t: Test, error: ServiceError): void {
  t.equal(error.details, 'Connection to localhost dropped')
  t.strictSame(error.metadata.get('muxplug-error'), ['ERR_STREAM_CLOSED'])
  t.ok(isPluginError((error as { cause?: unknown }).cause, 'ERR_STREAM_CLOSED'))
}

function checkCause(t: Test, error: ServiceError): void {
  t.equal(error.details, cause.message)
  t.equal((error as { cause?: unknown }).cause, cause)
  t.strictSame(error.metadata.get('muxplug-error'), ['ERR_BROKER_TIMEOUT'])
}

for (const [where, situation] of Object.entries(situations)) {
  for (const [what, loss] of Object.entries(losses)) {
    t.test(`${what} with ${where}`, async (t) => {
      const { peer, ended } = await situation.start(t)
      const { channel, client, near } = peer
      loss.act(peer)
      if (ended !== undefined) {
        const { error } = await ended
        t.equal(error?.code, status.UNAVAILABLE)
        loss.check(t, error!)
      }
      await channel.closed
      t.equal(channel.activeCalls, 0)
      t.equal(channel.getConnectivityState(true), connectivityState.TRANSIENT_FAILURE)
      const { error } = await unary(client, method, hello).outcome
      t.equal(error?.code, status.UNAVAILABLE, 'a later call')
      loss.check(t, error!)
      t.ok(near.destroyed)
    })

    t.test(`explainLoss decides when ${what} with ${where}`, async (t) => {
      if (what === 'the channel is aborted') return
      const asked: (Error | undefined)[] = []
      const known = new PluginError('ERR_PROCESS_EXITED', 'plugin kv exited with code 3', { exitCode: 3 })
      const explainLoss = async (cause: Error | undefined) => {
        asked.push(cause)
        await new Promise(setImmediate)
        return known
      }
      const { peer, ended } = await situation.start(t, { explainLoss })
      loss.act(peer)
      await (ended ?? peer.channel.closed)
      const { error } = await (ended ?? unary(peer.client, method, hello).outcome)
      t.equal(error?.code, status.UNAVAILABLE)
      t.equal(error?.details, 'plugin kv exited with code 3')
      t.equal((error as { cause?: unknown }).cause, known)
      t.strictSame(error?.metadata.get('muxplug-error'), ['ERR_PROCESS_EXITED'])
      t.equal(asked.length, 1)
      t.equal(asked[0] instanceof Error, what.includes('with a'))
    })
  }
}

t.test('an explainLoss that rejects leaves the plain explanation', async (t) => {
  const { peer, ended } = await situations['a call whose headers were sent']!.start(t, {
    explainLoss: () => Promise.reject(new Error('no idea'))
  })
  peer.near.destroy(cause)
  checkCause(t, (await ended)!.error!)
})

t.test('a status that arrives together with the loss wins', async (t) => {
  const { peer, stream, ended } = await situations['a call whose headers were sent']!.start(t)
  answer(stream!, { data: [message], trailers: ok })
  stream!.on('close', () => peer.far.end())
  t.equal((await ended)!.error, undefined)
})

const byCode = { 2: status.INTERNAL, 8: status.CANCELLED, 11: status.RESOURCE_EXHAUSTED }

for (const [where, situation] of Object.entries(situations)) {
  for (const [code, expected] of Object.entries(byCode)) {
    t.test(`GOAWAY ${code} with ${where}`, async (t) => {
      const { peer, ended } = await situation.start(t)
      const session = await peer.session
      session.goaway(Number(code))
      if (ended !== undefined) t.equal((await ended).error?.code, expected)
      await peer.channel.closed
      t.equal(peer.channel.getConnectivityState(false), connectivityState.TRANSIENT_FAILURE)
      t.equal((await unary(peer.client, method, hello).outcome).error?.code, status.UNAVAILABLE)
    })
  }

  t.test(`GOAWAY 0 with ${where} lets it finish and refuses new calls`, async (t) => {
    const { peer, stream, ended } = await situation.start(t)
    await ready(peer)
    const session = await peer.session
    const changed = new Promise<Error | undefined>((resolve) => {
      peer.channel.watchConnectivityState(connectivityState.READY, Infinity, resolve)
    })
    session.goaway(0, stream?.id ?? 0)
    t.equal(await changed, undefined)
    t.equal(peer.channel.getConnectivityState(true), connectivityState.TRANSIENT_FAILURE)
    const { error } = await unary(peer.client, method, hello).outcome
    t.equal(error?.code, status.UNAVAILABLE)
    if (ended !== undefined) t.strictSame(error?.metadata.get('muxplug-error'), ['ERR_SESSION_GOAWAY'])
    if (stream !== undefined) {
      if (stream.headersSent) {
        stream.on('wantTrailers', () => {})
        stream.close(0)
      } else {
        answer(stream, { data: [message], trailers: ok })
      }
      stream.resume()
      const outcome = await ended!
      t.not(outcome.error?.code, status.UNAVAILABLE)
    }
  })
}

t.test('GOAWAY 0 below a stream refuses it: UNAVAILABLE', async (t) => {
  const { peer, ended } = await situations['a call whose headers were sent']!.start(t)
  // GOAWAY NO_ERROR with last stream ID 0, which node:http2 would not say.
  peer.far.write(Buffer.from('0000080700000000000000000000000000', 'hex'))
  t.equal((await ended)!.error?.code, status.UNAVAILABLE)
})

t.test('a call above GOAWAY is not made', async (t) => {
  const { peer } = await situations['no call']!.start(t)
  ;(await peer.session).goaway(0)
  const { error } = await unary(peer.client, method, hello).outcome
  t.equal(error?.code, status.UNAVAILABLE)
})

t.test('a peer that speaks something else ends calls UNAVAILABLE', async (t) => {
  for (const greeting of ['HTTP/1.1 400 Bad Request\r\n\r\n', 'SSH-2.0-OpenSSH_9.6\r\n']) {
    const [near, far] = interopPair()
    const channel = createChannel(() => near)
    far.write(greeting)
    const { error } = await unary(clientOf(channel), method, hello).outcome
    t.equal(error?.code, status.UNAVAILABLE)
    await channel.closed
  }
})

t.test('a peer that says nothing ends calls UNAVAILABLE after connectTimeoutMs', async (t) => {
  const [near, far] = interopPair()
  t.teardown(() => far.destroy())
  const channel = createChannel(() => near, { connectTimeoutMs: 20, target: 'kv' })
  const { error } = await unary(clientOf(channel), method, hello).outcome
  t.equal(error?.code, status.UNAVAILABLE)
  t.equal(error?.details, 'no HTTP/2 SETTINGS from kv within 20 ms')
  t.strictSame(error?.metadata.get('muxplug-error'), ['ERR_SESSION_PROTOCOL'])
  t.ok(near.destroyed)
  await channel.closed
})

t.test('a peer that has answered may then be silent for longer', async (t) => {
  const { peer, stream, ended } = await situations['a call whose headers were sent']!.start(t, {
    connectTimeoutMs: 50
  })
  await ready(peer)
  await new Promise((resolve) => setTimeout(resolve, 100))
  answer(stream!, { data: [message], trailers: ok })
  t.equal((await ended)!.error, undefined)
})

t.test('a stream that is destroyed already, or a connect that throws, is a loss', async (t) => {
  const [near] = interopPair()
  near.on('error', () => {})
  near.destroy(cause)
  await new Promise((resolve) => near.once('close', resolve))
  for (const connect of [
    () => near,
    () => {
      throw cause
    }
  ]) {
    const channel = createChannel(connect)
    checkCause(t, (await unary(clientOf(channel), method, hello).outcome).error!)
    await channel.closed
  }
})

t.test('pings of the peer are answered', async (t) => {
  const { peer } = await situations['no call']!.start(t)
  const session = await peer.session
  await new Promise<void>((resolve, reject) => {
    session.ping((error) => (error === null ? resolve() : reject(error)))
  })
})

t.test('calls above the limit of concurrent streams wait their turn', async (t) => {
  let open = 0
  let most = 0
  const { client, near } = rawPeer(
    t,
    (stream) => {
      most = Math.max(most, ++open)
      stream.resume()
      stream.on('end', () => {
        // node:http2 servers count a stream for a turn after it has ended: hold the next one back.
        near.freeze()
        answer(stream, { data: [message], trailers: ok })
      })
      stream.on('close', () => {
        open--
        setImmediate(() => near.thaw())
      })
    },
    {},
    { settings: { maxConcurrentStreams: 1 } }
  )
  await unary(client, method, hello).outcome
  const outcomes = await Promise.all(Array.from({ length: 10 }, () => unary(client, method, hello).outcome))
  t.strictSame(
    outcomes.map(({ error }) => error?.message),
    Array.from({ length: 10 }, () => undefined)
  )
  t.equal(most, 1)
})

t.test('a call that waits for its turn can be cancelled and lost', async (t) => {
  const { peer, ended } = await (async () => {
    const peer = rawPeer(t, () => {}, {}, { settings: { maxConcurrentStreams: 1 } })
    await ready(peer)
    return { peer, ended: unary(peer.client, method, hello).outcome }
  })()
  const waiting = unary(peer.client, method, hello)
  const lost = unary(peer.client, method, hello)
  await new Promise(setImmediate)
  waiting.call.cancel()
  t.equal((await waiting.outcome).error?.code, status.CANCELLED)
  peer.far.end()
  t.equal((await lost.outcome).error?.code, status.UNAVAILABLE)
  t.equal((await ended).error?.code, status.UNAVAILABLE)
})

t.test('bytes that were read ahead and put back are part of the connection', async (t) => {
  const server = createServer()
  server.on('stream', (stream) => trailersOnly(stream, ok))
  const [near, far] = interopPair()
  server.emit('connection', far)
  const first = await new Promise<Buffer>((resolve) => near.once('data', resolve))
  near.pause()
  near.unshift(first)
  const channel = createChannel(() => near)
  t.teardown(() => channel.abort(new Error('over')))
  t.equal((await unary(clientOf(channel), method, hello).outcome).error?.code, status.UNIMPLEMENTED)
  t.equal(channel.getConnectivityState(false), connectivityState.READY)
})

t.test('credentials pending when the connection is lost', async (t) => {
  const { peer } = await situations['no call']!.start(t)
  const never = credentials.createFromMetadataGenerator(() => {})
  const { outcome } = unary(peer.client, method, hello, { options: { credentials: never } })
  await new Promise(setImmediate)
  peer.near.destroy(cause)
  checkCause(t, (await outcome).error!)
})
