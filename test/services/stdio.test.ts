import { status } from '@grpc/grpc-js'
import t from 'tap'
import { GRPCStdio, StdioData } from '#proto/goplugin/goplugin.js'
import { implement } from '../../lib/grpc/handler.js'
import { callError } from '../../lib/grpc/status.js'
import { silentLogger } from '../../lib/log.js'
import {
  type StdioChannel,
  type StdioOutput,
  createStdioOutput,
  readStdio,
  stdioService
} from '../../lib/services/stdio.js'
import { connectTo } from '../helpers/connection.js'

const { STDOUT, STDERR } = StdioData.Channel

/** Everything that can be read now. */
async function drain(output: StdioOutput) {
  output.end()
  const messages: StdioData.Init[] = []
  for await (const message of output.read(new AbortController().signal)) messages.push(message)
  return messages
}

const textOf = (messages: StdioData.Init[], channel: number) =>
  messages
    .filter((message) => message.channel === channel)
    .map(({ data }) => Buffer.from(data!).toString())
    .join('')

t.test('output comes in messages of at most 16 KiB, in order', async (t) => {
  const output = createStdioOutput()
  const long = 'abcdefghij'.repeat(5000)
  output.write('stdout', Buffer.from(long))
  output.write('stderr', Buffer.from('oh'))
  output.write('stdout', Buffer.alloc(0))
  output.write('stdout', Buffer.from('end'))
  const messages = await drain(output)
  t.equal(textOf(messages, STDOUT), `${long}end`)
  t.equal(textOf(messages, STDERR), 'oh')
  t.ok(messages.every(({ data }) => data!.length > 0 && data!.length <= 16_384))
  t.equal(messages.length, 6)
  t.equal(output.dropped, 0)
})

t.test('small prints share a message, and are copied', async (t) => {
  const output = createStdioOutput()
  const bytes = Buffer.from('a')
  for (const letter of 'abc') {
    bytes.write(letter)
    output.write('stdout', bytes)
  }
  t.same(await drain(output), [{ channel: STDOUT, data: Buffer.from('abc') }])
})

t.test('a writer is asked to pause when much waits, and told when it has gone', async (t) => {
  let drained = 0
  const output = createStdioOutput({ onDrain: () => (drained += 1) })
  t.equal(output.write('stdout', Buffer.alloc(64 * 1024)), true)
  t.equal(output.write('stdout', Buffer.alloc(1)), false)
  t.equal(output.write('stderr', Buffer.alloc(1)), false)
  t.equal(drained, 0)
  await drain(output)
  t.equal(drained, 1)
})

t.test('what nobody reads is kept up to the limit, then the oldest goes', async (t) => {
  let told = 0
  const output = createStdioOutput({ maxBufferedBytes: 2048, onDrop: () => (told += 1) })
  for (const letter of 'abcd') output.write('stdout', Buffer.alloc(1024, letter))
  t.equal(output.dropped, 2048)
  t.equal(told, 1)
  t.equal(textOf(await drain(output), STDOUT), 'c'.repeat(1024) + 'd'.repeat(1024))
})

t.test('alternating one-byte prints hold no more than the limit', async (t) => {
  const output = createStdioOutput({ maxBufferedBytes: 4096 })
  for (let index = 0; index < 1000; index += 1) {
    output.write(index % 2 === 0 ? 'stdout' : 'stderr', Buffer.from('x'))
  }
  const messages = await drain(output)
  t.equal(messages.length, 4)
  t.equal(output.dropped, 996)
})

t.test('after the end nothing is taken', async (t) => {
  const output = createStdioOutput()
  output.write('stdout', Buffer.from('last'))
  output.end()
  output.write('stdout', Buffer.from('late'))
  t.equal(output.dropped, 4)
  t.equal(textOf(await drain(output), STDOUT), 'last')
})

t.test('a limit that is none is refused', async (t) => {
  for (const maxBufferedBytes of [0, -1, 1.5, Infinity]) {
    t.throws(() => createStdioOutput({ maxBufferedBytes }), { code: 'ERR_CONFIG_INVALID' })
  }
})

t.test('concurrent readers share, and one that leaves takes nothing with it', async (t) => {
  const output = createStdioOutput()
  const leaving = new AbortController()
  const first = output.read(leaving.signal)
  const second = output.read(new AbortController().signal)
  const waiting = [first.next(), second.next()]
  leaving.abort()
  t.same(await waiting[0], { done: true, value: undefined })
  output.write('stdout', Buffer.from('x'))
  t.match(await waiting[1], { value: { data: Buffer.from('x') } })

  const third = output.read(new AbortController().signal)
  const both = [second.next(), third.next()]
  output.write('stdout', Buffer.from('a'))
  output.write('stderr', Buffer.from('b'))
  const got = (await Promise.all(both)).map(({ value }) =>
    Buffer.from((value as StdioData.Init).data!).toString()
  )
  t.same(got.sort(), ['a', 'b'])
})

t.test('the host reads both outputs byte for byte until the plugin ends them', async (t) => {
  const output = createStdioOutput()
  const service = stdioService(output)
  t.equal(service.background, true, 'a host that listens is no call in flight')
  const connection = connectTo(t, [service])
  const early = Buffer.from([0, 255, 10, 13, 0xc3])
  output.write('stderr', early)
  const got: Record<StdioChannel, Buffer[]> = { stdout: [], stderr: [] }
  let reading = Promise.resolve()
  await new Promise<void>((resolve) => {
    reading = readStdio(connection, (channel, bytes) => {
      got[channel].push(Buffer.from(bytes))
      if (channel === 'stderr') resolve()
    })
  })
  t.same(Buffer.concat(got.stderr), early)
  output.write('stdout', Buffer.from(`${'x'.repeat(5000)}!`))
  output.end()
  await reading
  t.equal(Buffer.concat(got.stdout).toString(), `${'x'.repeat(5000)}!`)
})

t.test('the sink is waited for', async (t) => {
  const output = createStdioOutput()
  for (const letter of 'abc') output.write('stdout', Buffer.alloc(16_384, letter))
  output.end()
  let running = 0
  let calls = 0
  await readStdio(connectTo(t, [stdioService(output)]), async () => {
    t.equal((running += 1), 1)
    // More turns than the next message needs to arrive.
    for (let turns = 0; turns < 50; turns += 1) await new Promise(setImmediate)
    running -= 1
    calls += 1
  })
  t.equal(calls, 3)
})

t.test('a plugin without the service, or one that goes, is no failure', async (t) => {
  await t.resolves(readStdio(connectTo(t, []), () => {}))
  for (const code of [status.UNAVAILABLE, status.UNIMPLEMENTED, status.CANCELLED]) {
    await t.resolves(readStdio(connectTo(t, [failing(code)]), () => {}))
  }
  await t.rejects(
    readStdio(connectTo(t, [failing(status.INTERNAL)]), () => {}),
    {
      code: 'ERR_CALL_FAILED',
      status: status.INTERNAL
    }
  )
})

function failing(code: number) {
  return implement(GRPCStdio, {
    async *streamStdio() {
      yield { channel: STDOUT, data: Buffer.from('x') }
      throw callError(code, 'no more')
    }
  })
}

t.test('the signal and the loss of the connection end the reading', async (t) => {
  const output = createStdioOutput()
  const connection = connectTo(t, [stdioService(output)])
  const controller = new AbortController()
  await t.resolves(readStdio(connection, () => {}, { signal: AbortSignal.abort() }))
  output.write('stdout', Buffer.from('x'))
  await t.resolves(readStdio(connection, () => controller.abort(), { signal: controller.signal }))

  const other = createStdioOutput()
  other.write('stdout', Buffer.from('x'))
  const lost = connectTo(t, [stdioService(other)])
  await t.resolves(readStdio(lost, () => lost.abort(new Error('lost'))))
})

t.test('output of a channel that is unknown is dropped with a warning', async (t) => {
  const warnings: unknown[] = []
  const odd = implement(GRPCStdio, {
    async *streamStdio() {
      yield { channel: 7, data: Buffer.from('?') }
      yield { data: Buffer.from('?') }
      yield { channel: STDERR, data: Buffer.alloc(0) }
      yield { channel: STDERR, data: Buffer.from('x') }
    }
  })
  const got: unknown[] = []
  await readStdio(connectTo(t, [odd]), (channel, bytes) => void got.push([channel, bytes.length]), {
    logger: { ...silentLogger, warn: (fields) => warnings.push(fields) }
  })
  t.same(got, [['stderr', 1]])
  t.same(warnings, [{ channel: 7 }, { channel: 0 }])
})

t.test('what the sink throws ends the reading, and the call', async (t) => {
  let cancelled = (): void => {}
  const cancellation = new Promise<void>((resolve) => {
    cancelled = resolve
  })
  const service = implement(GRPCStdio, {
    async *streamStdio(_request, { signal }) {
      signal.addEventListener('abort', cancelled)
      yield { channel: STDOUT, data: Buffer.from('x') }
      await cancellation
    }
  })
  const failure = new Error('disk full')
  const reading = readStdio(connectTo(t, [service]), () => {
    throw failure
  })
  await t.rejects(reading, failure)
  await cancellation
})
