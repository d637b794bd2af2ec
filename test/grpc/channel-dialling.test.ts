// A channel whose byte stream comes later, or never.
import type { Duplex } from 'node:stream'
import { connectivityState } from '@grpc/grpc-js'
import t, { type Test } from 'tap'
import { Echo } from '#proto/echo/v1/echo.js'
import { PluginError } from '../../lib/errors.js'
import { type ChannelOptions, createChannel } from '../../lib/grpc/channel.js'
import { createClient } from '../../lib/grpc/client.js'
import { implement } from '../../lib/grpc/handler.js'
import { echo, serve } from './fixture.js'

interface Dial {
  readonly signal: AbortSignal
  succeed(stream: Duplex): void
  fail(error: Error): void
}

/** A channel whose dials the test settles. */
async function dialling(t: Test, options: ChannelOptions = {}) {
  const { connect, accepted } = await serve(t, [implement(Echo, echo)])
  const dials: Dial[] = []
  let tell = (): void => {}
  /** The dial of that number, which a call makes in a moment. */
  const dial = async (index: number): Promise<Dial> => {
    while (dials[index] === undefined) await new Promise<void>((resolve) => (tell = resolve))
    return dials[index]
  }
  const channel = createChannel(
    (signal) =>
      new Promise<Duplex>((resolve, reject) => {
        dials.push({ signal, succeed: resolve, fail: reject })
        tell()
      }),
    options
  )
  t.teardown(() => channel.abort(new Error('test is over')))
  const succeed = async (index: number, stream: Duplex) => (await dial(index)).succeed(stream)
  const fail = async (index: number, error: Error) => (await dial(index)).fail(error)
  return { channel, client: createClient(Echo, channel), dials, dial, succeed, fail, connect, accepted }
}

const refusal = () => new PluginError('ERR_BROKER_TIMEOUT', 'nobody there', { id: 7 })

t.test('calls wait for the byte stream, and all of them use it', async (t) => {
  const { channel, client, dials, dial, succeed, connect } = await dialling(t)
  const calls = ['a', 'b', 'c'].map((text) => client.echo({ text }))
  await dial(0)
  t.equal(channel.getConnectivityState(false), connectivityState.CONNECTING)
  await succeed(0, await connect())
  t.same(
    (await Promise.all(calls)).map(({ text }) => text),
    ['a', 'b', 'c']
  )
  t.equal((await client.echo({ text: 'later' })).text, 'later')
  t.equal(dials.length, 1)
})

t.test('streams wait as well, with what they were given to send', async (t) => {
  const { client, succeed, connect } = await dialling(t)
  const collecting = client.collect(['x', 'y', 'z'].map((text) => ({ text })))
  await succeed(0, await connect())
  t.match(await collecting, { text: 'xyz', count: 3 })
})

t.test('a dial that fails ends the calls that waited for it, with its reason', async (t) => {
  const { channel, client, fail } = await dialling(t)
  const calls = [client.echo({ text: 'a' }), client.echo({ text: 'b' })]
  await fail(0, refusal())
  for (const call of calls) await t.rejects(call, { code: 'ERR_BROKER_TIMEOUT', status: 14 })
  t.equal(channel.getConnectivityState(false), connectivityState.TRANSIENT_FAILURE)
  t.equal(channel.activeCalls, 0)
})

t.test('the next call dials again only where that is allowed', async (t) => {
  const once = await dialling(t)
  const first = once.client.echo({ text: 'a' })
  await once.fail(0, refusal())
  await t.rejects(first, { code: 'ERR_BROKER_TIMEOUT' })
  await t.rejects(once.client.echo({ text: 'b' }), { code: 'ERR_BROKER_TIMEOUT' })
  t.equal(once.dials.length, 1)

  const again = await dialling(t, { mayRedial: () => true })
  const failing = again.client.echo({ text: 'a' })
  await again.fail(0, refusal())
  await t.rejects(failing, { code: 'ERR_BROKER_TIMEOUT' })
  t.equal(again.dials.length, 1, 'nothing is dialled without a call')
  const second = again.client.echo({ text: 'b' })
  await again.succeed(1, await again.connect())
  t.equal((await second).text, 'b')
})

t.test('a call that ends while it waits leaves the dial to the others', async (t) => {
  const { channel, client, dials, dial, succeed, connect } = await dialling(t)
  const cancel = new AbortController()
  const reason = new Error('no longer wanted')
  const cancelled = client.echo({ text: 'a' }, { signal: cancel.signal })
  const late = client.echo({ text: 'b' }, { timeoutMs: 1 })
  const staying = client.echo({ text: 'c' })
  await dial(0)
  cancel.abort(reason)
  await t.rejects(cancelled, reason)
  await t.rejects(late, { code: 'ERR_CALL_FAILED', status: 4 })
  t.equal(dials[0]!.signal.aborted, false)
  await succeed(0, await connect())
  t.equal((await staying).text, 'c')
  t.equal(channel.activeCalls, 0)
})

t.test('close() lets calls finish that wait for the byte stream', async (t) => {
  const { channel, client, dial, succeed, connect } = await dialling(t)
  const call = client.echo({ text: 'a' })
  await dial(0)
  channel.close(() => new Error('closed here'))
  await t.rejects(client.echo({ text: 'too late' }), {
    code: 'ERR_CALL_FAILED',
    status: 14,
    details: 'closed here'
  })
  await succeed(0, await connect())
  t.equal((await call).text, 'a')
  await channel.closed
})

t.test(
  'close() without calls gives the dial up, and destroys a stream that comes all the same',
  async (t) => {
    const { channel, dials, succeed, connect } = await dialling(t)
    channel.getConnectivityState(true)
    channel.close()
    await channel.closed
    t.equal(dials[0]!.signal.aborted, true)
    t.equal(channel.getConnectivityState(false), connectivityState.SHUTDOWN)
    const stream = await connect()
    const closed = new Promise((resolve) => stream.once('close', resolve))
    await succeed(0, stream)
    await closed
  }
)

t.test('abort() ends the calls at once, gives the dial up and dials no more', async (t) => {
  const { channel, client, dials, dial, succeed, connect } = await dialling(t, { mayRedial: () => true })
  const call = client.echo({ text: 'a' })
  await dial(0)
  channel.abort(refusal())
  await t.rejects(call, { code: 'ERR_BROKER_TIMEOUT' })
  await channel.closed
  t.equal(dials[0]!.signal.aborted, true)
  await t.rejects(client.echo({ text: 'b' }), { code: 'ERR_BROKER_TIMEOUT' })
  const stream = await connect()
  const closed = new Promise((resolve) => stream.once('close', resolve))
  await succeed(0, stream)
  await closed
  t.equal(dials.length, 1)
})

t.test('a stream that is destroyed when it comes is a dial that failed', async (t) => {
  const { client, succeed, connect } = await dialling(t)
  const call = client.echo({ text: 'a' })
  const stream = await connect()
  stream.on('error', () => {}).destroy(refusal())
  await succeed(0, stream)
  await t.rejects(call, { code: 'ERR_BROKER_TIMEOUT', status: 14 })
})

t.test(
  'a connection that is lost is dialled again, and the call that found it lost goes there',
  async (t) => {
    const { client, succeed, connect, accepted } = await dialling(t, { mayRedial: () => true })
    const first = client.echo({ text: 'a' })
    await succeed(0, await connect())
    await first
    const stream = accepted[0]!
    const lost = client.sleep({ ms: 60_000 })
    lost.catch(() => {})
    stream.destroy()
    await t.rejects(lost, { code: 'ERR_STREAM_CLOSED', status: 14 })
    const again = client.echo({ text: 'b' })
    await succeed(1, await connect())
    t.equal((await again).text, 'b')
  }
)

t.test('calls of background paths are not busy, and others are', async (t) => {
  const busy: boolean[] = []
  const { client, succeed, connect } = await dialling(t, {
    onBusy: (now) => busy.push(now),
    backgroundPaths: new Set(['/echo.v1.Echo/Repeat'])
  })
  const repeating = client.repeat({ text: 'x', count: 2 })[Symbol.asyncIterator]()
  const next = repeating.next()
  await succeed(0, await connect())
  t.match((await next).value, { index: 0 })
  t.same(busy, [])
  await client.echo({ text: 'a' })
  t.same(busy, [true, false])
  await repeating.return?.()
  t.same(busy, [true, false])
})
