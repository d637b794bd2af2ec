import { EventEmitter } from 'node:events'
import { Metadata, connectivityState, credentials, status, type StatusObject } from '@grpc/grpc-js'
import t, { type Test } from 'tap'
import { PluginError } from '../../lib/errors.js'
import { createWireChannel, type ChannelOptions, type StreamChannel } from '../../lib/grpc/channel.js'
import { statusOf } from '../../lib/grpc/status-map.js'
import type {
  Call,
  WireCall,
  WireCallEvents,
  WireConnection,
  WireRequest
} from '../../lib/grpc/wire-connection.js'
import { unary, upload } from '../helpers/interop-calls.js'
import { answer, bytesMethod, clientOf, rawPeer } from '../helpers/interop-raw.js'
import { frameMessage } from '../../lib/grpc/message-frames.js'

const method = bytesMethod()
const hello = Buffer.from('hello')
const okStatus = statusOf(status.OK, '')
const encodings = { encoding: 'identity', accepted: undefined }
const turn = () => new Promise((resolve) => setImmediate(resolve))

interface FakeCall {
  readonly request: WireRequest
  readonly events: WireCallEvents
  /** What the channel asked of the wire, in order. */
  readonly log: string[]
}

/** A channel on a wire that does nothing by itself. */
function fakeWire(t: Test, options: ChannelOptions = {}, refusal?: StatusObject) {
  const calls: FakeCall[] = []
  const log: string[] = []
  let events: { onReady(): void; onLost(cause?: Error): void } | undefined
  let opens = 0
  const channel = createWireChannel((told): WireConnection => {
    opens++
    const connection: WireConnection = {
      open(request, callEvents) {
        if (refusal !== undefined) return refusal
        const own: string[] = []
        calls.push({ request, events: callEvents, log: own })
        const wireCall: WireCall = {
          send(_flag, message, last, acknowledge) {
            own.push(`send ${message.toString()}${last ? ' last' : ''}`)
            if (acknowledge) setImmediate(() => callEvents.onSent())
            return !acknowledge
          },
          begun: () => {},
          halfClose: () => own.push('halfClose'),
          pause: () => own.push('pause'),
          resume: () => own.push('resume'),
          discard: (ok) => own.push(`discard ${ok}`)
        }
        return wireCall
      },
      mayOpen: true,
      authContext: () => ({}),
      close: () => {
        log.push('close')
        setImmediate(() => told.onLost(connection, undefined))
      },
      abort: (reason) => log.push(`abort ${reason.message}`)
    }
    events = {
      onReady: () => told.onReady(connection),
      onLost: (cause) => told.onLost(connection, cause)
    }
    return connection
  }, options)
  t.teardown(() => channel.abort(new Error('test is over')))
  return { channel, calls, log, wire: () => events!, opens: () => opens }
}

/** A listener that writes down what it is told and in which tick. */
function recorder() {
  const seen: string[] = []
  let inCall = false
  const note = (text: string) => {
    if (inCall) seen.push(`${text} (inside a callback)`)
    else seen.push(text)
  }
  let told: (status: StatusObject) => void
  const ended = new Promise<StatusObject>((resolve) => {
    told = resolve
  })
  const hooks: { metadata?: () => void; message?: () => void } = {}
  const within = (act: (() => void) | undefined) => {
    inCall = true
    act?.()
    inCall = false
  }
  return {
    seen,
    ended,
    hooks,
    listener: {
      onReceiveMetadata() {
        note('metadata')
        within(hooks.metadata)
      },
      onReceiveMessage(message: Buffer) {
        note(`message ${message.toString()}`)
        within(hooks.message)
      },
      onReceiveStatus(status: StatusObject) {
        note(`status ${status.code}`)
        told(status)
      }
    }
  }
}

const newCall = (channel: StreamChannel, deadline = Infinity) =>
  channel.createCall('/test.Raw/Call', deadline, undefined, null, undefined)

/** A streaming call that is on the wire. */
async function started(t: Test, options?: ChannelOptions, deadline?: number) {
  const fake = fakeWire(t, options)
  const call = newCall(fake.channel, deadline)
  const record = recorder()
  call.start(new Metadata(), record.listener)
  await turn()
  return { ...fake, call, record, events: fake.calls[0]!.events, log: fake.calls[0]!.log }
}

t.test('what a listener is told', async (t) => {
  t.test('metadata, then one message for each startRead, then the status', async (t) => {
    const { call, record, events } = await started(t)
    events.onMetadata(new Metadata(), encodings)
    for (const text of ['a', 'b', 'c']) events.onMessage(0, Buffer.from(text))
    events.onStatus(okStatus)
    events.onEnd(false)
    await turn()
    t.strictSame(record.seen, ['metadata'])
    call.startRead()
    t.strictSame(record.seen, ['metadata'], 'not from inside startRead')
    await turn()
    t.strictSame(record.seen, ['metadata', 'message a'])
    call.startRead()
    call.startRead()
    await turn()
    t.strictSame(record.seen, ['metadata', 'message a', 'message b'], 'startRead does not count')
    record.hooks.message = () => call.startRead()
    call.startRead()
    await record.ended
    t.strictSame(record.seen, ['metadata', 'message a', 'message b', 'message c', 'status 0'])
    call.startRead()
    await turn()
    t.equal(record.seen.length, 5)
  })

  t.test('a read before there is anything, and OK right after the message', async (t) => {
    const { call, record, events } = await started(t)
    call.startRead()
    events.onMessage(0, hello)
    events.onStatus(okStatus)
    events.onEnd(false)
    await record.ended
    t.strictSame(record.seen, ['message hello', 'status 0'])
  })

  t.test('OK waits for the end of the messages as well as for the status', async (t) => {
    const { call, record, events } = await started(t)
    call.startRead()
    events.onStatus(okStatus)
    await turn()
    t.strictSame(record.seen, [])
    events.onMessage(0, hello)
    await turn()
    t.strictSame(record.seen, ['message hello'])
    events.onEnd(false)
    await record.ended
    t.strictSame(record.seen, ['message hello', 'status 0'])
  })

  t.test(
    'a reader that asks again from inside its callback gets each message in a tick of its own',
    async (t) => {
      const { call, record, events } = await started(t)
      record.hooks.message = () => call.startRead()
      for (let i = 0; i < 5; i++) events.onMessage(0, Buffer.from(String(i)))
      events.onStatus(okStatus)
      events.onEnd(false)
      call.startRead()
      await record.ended
      t.strictSame(record.seen, ['message 0', 'message 1', 'message 2', 'message 3', 'message 4', 'status 0'])
    }
  )

  t.test('a cancel from inside a callback ends the call with its own status', async (t) => {
    for (const where of ['metadata', 'message'] as const) {
      const { call, record, events, log } = await started(t)
      record.hooks[where] = () => call.cancelWithStatus(status.ABORTED, 'mine')
      call.startRead()
      events.onMetadata(new Metadata(), encodings)
      events.onMessage(0, hello)
      events.onMessage(0, hello)
      events.onStatus(okStatus)
      events.onEnd(false)
      const { code, details } = await record.ended
      t.equal(code, status.ABORTED)
      t.equal(details, 'mine')
      await turn()
      t.equal(record.seen.at(-1), 'status 10')
      t.equal(record.seen.filter((text) => text.startsWith('status')).length, 1)
      t.equal(log.at(-1), 'discard false')
    }
  })

  t.test('nothing follows the status, whatever the wire says', async (t) => {
    const { call, record, events } = await started(t)
    call.startRead()
    events.onFailure(statusOf(status.INTERNAL, 'broken'))
    events.onMetadata(new Metadata(), encodings)
    events.onMessage(0, hello)
    events.onStatus(okStatus)
    events.onEnd(false)
    events.onFailure(statusOf(status.ABORTED, 'again'))
    call.cancelWithStatus(status.CANCELLED, 'late')
    await turn()
    t.strictSame(record.seen, ['status 13'])
  })

  t.test("a reset after the peer's error leaves its error, after its OK does not leave OK", async (t) => {
    for (const [said, code] of [
      [statusOf(status.NOT_FOUND, ''), status.NOT_FOUND],
      [okStatus, status.INTERNAL]
    ] as const) {
      const { call, record, events } = await started(t)
      call.startRead()
      events.onStatus(said)
      events.onFailure(statusOf(status.INTERNAL, 'reset'))
      t.equal((await record.ended).code, code)
    }
  })

  t.test("a peer's cancel after the deadline is the deadline's, before it is a cancel", async (t) => {
    const deadline = Date.now() + 200
    const late = await started(t, {}, deadline)
    // No timer runs meanwhile.
    while (Date.now() < deadline);
    late.events.onFailure(statusOf(status.CANCELLED, 'reset'))
    t.equal((await late.record.ended).code, status.DEADLINE_EXCEEDED)
    const early = await started(t, {}, Date.now() + 60_000)
    early.events.onFailure(statusOf(status.CANCELLED, 'reset'))
    t.equal((await early.record.ended).code, status.CANCELLED)
  })

  t.test('a response that came whole can be read after the connection is lost', async (t) => {
    const { call, record, events, wire } = await started(t)
    events.onMessage(0, hello)
    events.onStatus(okStatus)
    events.onEnd(false)
    wire().onLost()
    await turn()
    await turn()
    t.strictSame(record.seen, [])
    call.startRead()
    await record.ended
    t.strictSame(record.seen, ['message hello', 'status 0'])
  })

  t.test('a wire that refuses the call gives its status', async (t) => {
    const { channel } = fakeWire(t, {}, statusOf(status.INTERNAL, 'bad header'))
    const { error } = await unary(clientOf(channel), method, hello).outcome
    t.equal(error?.details, 'bad header')
  })

  t.test('a listener that throws does not stop its call', async (t) => {
    const { call, record, events } = await started(t)
    const thrown = new Promise((resolve) => process.once('uncaughtException', resolve))
    const failure = new Error('from the listener')
    let first = true
    record.hooks.message = () => {
      call.startRead()
      if (!first) return
      first = false
      throw failure
    }
    call.startRead()
    events.onMessage(0, Buffer.from('a'))
    events.onMessage(0, Buffer.from('b'))
    events.onStatus(okStatus)
    events.onEnd(false)
    t.equal(await thrown, failure)
    t.equal((await record.ended).code, 0)
  })
})

t.test('reading ahead stops the wire and goes on once read', async (t) => {
  const { call, record, events, log } = await started(t)
  const big = Buffer.alloc(40_000)
  events.onMessage(0, big)
  t.strictSame(log, [])
  events.onMessage(0, big)
  t.strictSame(log, ['pause'])
  record.hooks.message = () => call.startRead()
  call.startRead()
  await turn()
  t.strictSame(log, ['pause', 'resume'])
  for (let i = 0; i < 70; i++) events.onMessage(0, Buffer.alloc(0))
  await turn()
  t.ok(log.filter((text) => text === 'pause').length >= 1)
})

t.test('what the wire is told', async (t) => {
  t.test('a unary request is one frame that half-closes', async (t) => {
    const { channel, calls } = fakeWire(t)
    const { call, outcome } = unary(clientOf(channel), method, hello)
    await turn()
    t.strictSame(calls[0]?.log, ['send hello last'])
    call.cancel()
    await outcome
  })

  t.test('messages and half-close keep their order behind slow credentials and compression', async (t) => {
    let release: (() => void) | undefined
    const slow = credentials.createFromMetadataGenerator((_options, done) => {
      release = () => done(null, new Metadata())
    })
    const { channel, calls } = fakeWire(t, { compression: 'gzip' })
    const { call, outcome } = upload(clientOf(channel), method, { options: { credentials: slow } })
    call.write(hello)
    call.write(hello, 2 as unknown as BufferEncoding)
    call.end()
    await turn()
    t.equal(calls.length, 0)
    release?.()
    await new Promise((resolve) => call.on('finish', resolve))
    await turn()
    const { log } = calls[0]!
    t.notMatch(log[0], 'hello')
    t.equal(log[1]?.slice(0, 10), 'send hello')
    t.equal(log.length, log[1]?.endsWith('last') ? 2 : 3)
    call.cancel()
    await outcome
  })

  t.test('write callbacks come, without an error, after the end too', async (t) => {
    const { channel, calls } = fakeWire(t)
    const { call, outcome } = upload(clientOf(channel), method)
    let errors = 0
    call.on('error', () => errors++)
    await turn()
    const first = new Promise((resolve) => call.write(hello, resolve))
    calls[0]?.events.onFailure(statusOf(status.INTERNAL, 'x'))
    await first
    await new Promise<void>((resolve) => call.write(hello, () => resolve()))
    const finished = new Promise((resolve) => call.once('finish', resolve))
    call.end()
    await finished
    t.equal((await outcome).error?.code, status.INTERNAL)
    t.equal(errors, 0)
  })

  t.test('write callbacks come for messages that never reached the wire', async (t) => {
    const { channel } = fakeWire(t)
    const never = credentials.createFromMetadataGenerator(() => {})
    const { call, outcome } = upload(clientOf(channel), method, { options: { credentials: never } })
    const written = new Promise((resolve) => call.write(hello, resolve))
    await turn()
    call.cancel()
    t.notOk(await written, 'no error')
    t.equal((await outcome).error?.code, status.CANCELLED)
  })

  t.test('a cancel before start ends the call and opens nothing', async (t) => {
    const { channel, calls, opens } = fakeWire(t)
    const call = newCall(channel)
    call.cancelWithStatus(status.CANCELLED, 'before')
    const { listener, ended, seen } = recorder()
    call.start(new Metadata(), listener)
    t.strictSame(seen, [])
    t.equal((await ended).details, 'before')
    t.equal(calls.length, 0)
    t.equal(opens(), 0)
    await turn()
    t.equal(channel.activeCalls, 0)
  })

  t.test('the request has its own copy of the metadata', async (t) => {
    const { channel, calls } = fakeWire(t)
    const metadata = new Metadata()
    metadata.set('a', '1')
    const { call, outcome } = unary(clientOf(channel), method, hello, { metadata })
    metadata.set('a', '2')
    await turn()
    t.strictSame(calls[0]?.request.metadata.get('a'), ['1'])
    call.cancel()
    await outcome
  })

  t.test('two authorization values are INTERNAL', async (t) => {
    const { channel, calls } = fakeWire(t)
    const metadata = new Metadata()
    metadata.set('authorization', 'mine')
    const added = credentials.createFromMetadataGenerator((_options, done) => done(null, metadata))
    const { error } = await unary(clientOf(channel), method, hello, {
      metadata,
      options: { credentials: added }
    }).outcome
    t.equal(error?.code, status.INTERNAL)
    t.equal(calls.length, 0)
  })

  t.test("the channel's credentials come after the call's", async (t) => {
    const from = (value: string) =>
      credentials.createFromMetadataGenerator((_options, done) => {
        const metadata = new Metadata()
        metadata.add('from', value)
        done(null, metadata)
      })
    const { channel, calls } = fakeWire(t, { callCredentials: from('channel'), target: '[::1]:80' })
    const settings = { options: { credentials: from('call') } }
    const both = unary(clientOf(channel), method, hello, settings)
    const one = unary(clientOf(channel), method, hello)
    for (let i = 0; calls.length < 2 && i < 100; i++) await turn()
    t.strictSame(
      calls.map(({ request }) => request.metadata.get('from')).sort((a, b) => a.length - b.length),
      [['channel'], ['call', 'channel']]
    )
    both.call.cancel()
    one.call.cancel()
    await Promise.all([both.outcome, one.outcome])
  })
})

t.test('createCall', async (t) => {
  t.test('refuses what is no method or no deadline', async (t) => {
    const { channel } = fakeWire(t)
    const create = (path: unknown, deadline: unknown) => () =>
      channel.createCall(path as string, deadline as number, undefined, null, undefined)
    t.throws(create(1, Infinity), TypeError)
    t.throws(create('/a/b', NaN), TypeError)
    t.throws(create('/a/b', new Date('nonsense')), TypeError)
    t.throws(create('/a/b', 'soon'), TypeError)
    t.ok(create('/a/b', new Date())())
  })

  t.test('opens nothing, and start opens once', async (t) => {
    const { channel, opens } = fakeWire(t)
    const calls = [newCall(channel), newCall(channel)]
    await turn()
    t.equal(opens(), 0)
    t.equal(channel.getConnectivityState(false), connectivityState.IDLE)
    for (const call of calls) call.start(new Metadata(), recorder().listener)
    t.equal(opens(), 0)
    await turn()
    t.equal(opens(), 1)
    t.not(calls[0]?.getCallNumber(), calls[1]?.getCallNumber())
  })
})

t.test('parents', async (t) => {
  class Parent extends EventEmitter {
    cancelled = false
    deadline = Infinity
    getDeadline() {
      return this.deadline
    }
  }
  const child = (channel: ReturnType<typeof fakeWire>['channel'], parent: Parent, flags?: number): Call =>
    channel.createCall('/a/b', Infinity, undefined, parent as never, flags)

  t.test('cancel their children, who do not listen for longer than they live', async (t) => {
    const { channel } = fakeWire(t)
    const parent = new Parent()
    const records = Array.from({ length: 30 }, () => {
      const record = recorder()
      child(channel, parent).start(new Metadata(), record.listener)
      return record
    })
    parent.setMaxListeners(0)
    t.equal(parent.listenerCount('cancelled'), 30)
    parent.emit('cancelled')
    for (const { ended } of records) {
      const { code, details } = await ended
      t.equal(code, status.CANCELLED)
      t.equal(details, 'Cancelled by parent call')
    }
    t.equal(parent.listenerCount('cancelled'), 0)
  })

  t.test('that were cancelled before cancel at once', async (t) => {
    const { channel, calls } = fakeWire(t)
    const parent = new Parent()
    parent.cancelled = true
    const { listener, ended } = recorder()
    child(channel, parent).start(new Metadata(), listener)
    t.equal((await ended).code, status.CANCELLED)
    t.equal(calls.length, 0)
  })

  t.test('are left alone where the flags say so', async (t) => {
    const { channel, calls } = fakeWire(t)
    const parent = new Parent()
    parent.cancelled = true
    parent.deadline = 1
    child(channel, parent, 0).start(new Metadata(), recorder().listener)
    await turn()
    t.equal(calls.length, 1)
    t.equal(calls[0]?.request.timeoutMs, Infinity)
  })
})

t.test('connectivity', async (t) => {
  t.test('goes IDLE, CONNECTING, READY, TRANSIENT_FAILURE, and tells watchers each once', async (t) => {
    const { channel, wire } = fakeWire(t)
    const states: number[] = []
    const next = (seen: connectivityState) =>
      new Promise<void>((resolve, reject) => {
        channel.watchConnectivityState(seen, Infinity, (error) => {
          states.push(channel.getConnectivityState(false))
          if (error === undefined) resolve()
          else reject(error)
        })
      })
    const connecting = next(connectivityState.IDLE)
    t.equal(channel.getConnectivityState(false), connectivityState.IDLE)
    t.equal(channel.getConnectivityState(true), connectivityState.CONNECTING)
    await connecting
    const ready = next(connectivityState.CONNECTING)
    wire().onReady()
    await ready
    const lost = next(connectivityState.READY)
    wire().onLost()
    await lost
    t.strictSame(states, [1, 2, 3])
    await t.rejects(next(connectivityState.TRANSIENT_FAILURE), /lost for good/)
  })

  t.test('a watcher of a state that is gone already is called in a later tick', async (t) => {
    const { channel } = fakeWire(t)
    let called = false
    const told = new Promise<void>((resolve) => {
      channel.watchConnectivityState(connectivityState.READY, Infinity, () => {
        called = true
        resolve()
      })
    })
    t.equal(called, false)
    await told
  })

  t.test('a watcher hears of its deadline, also one in the past', async (t) => {
    const { channel } = fakeWire(t)
    for (const deadline of [Date.now() + 5, 0, new Date(0), -Infinity]) {
      const error = await new Promise<Error | undefined>((resolve) => {
        channel.watchConnectivityState(connectivityState.IDLE, deadline, resolve)
      })
      t.ok(error instanceof Error)
    }
  })

  t.test('close tells every watcher; afterwards the state is SHUTDOWN for good', async (t) => {
    const { channel } = fakeWire(t)
    const told = [1, 2].map(
      () =>
        new Promise((resolve) => channel.watchConnectivityState(connectivityState.IDLE, Infinity, resolve))
    )
    channel.close()
    t.strictSame(await Promise.all(told), [undefined, undefined])
    t.equal(channel.getConnectivityState(true), connectivityState.SHUTDOWN)
    t.throws(
      () => channel.watchConnectivityState(connectivityState.SHUTDOWN, Infinity, () => {}),
      /shut down/
    )
    t.throws(() => newCall(channel), /shut down/)
    await channel.closed
  })

  t.test('waitForReady fails at once when the connection is lost', async (t) => {
    const { channel, wire } = fakeWire(t)
    const failed = new Promise<Error | undefined>((resolve) => {
      clientOf(channel).waitForReady(Infinity, resolve)
    })
    await turn()
    await turn()
    wire().onLost()
    t.ok((await failed) instanceof Error)
  })
})

t.test('close', async (t) => {
  t.test('lets calls on the wire finish, then closes it', async (t) => {
    const { call, record, channel, events, ...fake } = await started(t)
    channel.close()
    channel.close()
    await turn()
    t.strictSame(record.seen, [])
    call.startRead()
    events.onMessage(0, hello)
    events.onStatus(okStatus)
    events.onEnd(false)
    t.equal((await record.ended).code, 0)
    await channel.closed
    t.equal(channel.activeCalls, 0)
    t.equal(fake.opens(), 1)
  })

  t.test('ends calls that wait for their credentials', async (t) => {
    const { channel } = fakeWire(t)
    const never = credentials.createFromMetadataGenerator(() => {})
    const { outcome } = unary(clientOf(channel), method, hello, { options: { credentials: never } })
    await turn()
    channel.close()
    const { error } = await outcome
    t.equal(error?.code, status.UNAVAILABLE)
    t.equal(error?.details, 'Channel closed before call started')
    await channel.closed
  })

  t.test('lets a call that was made in the same tick go out', async (t) => {
    const { channel, calls } = fakeWire(t)
    const { outcome } = unary(clientOf(channel), method, hello)
    channel.close()
    await turn()
    t.equal(calls.length, 1)
    const { events } = calls[0]!
    events.onMessage(0, hello)
    events.onStatus(okStatus)
    events.onEnd(false)
    t.equal((await outcome).error, undefined)
    await channel.closed
  })

  t.test('of a channel never used is done at once', async (t) => {
    const { channel, opens } = fakeWire(t)
    channel.close()
    await channel.closed
    t.equal(opens(), 0)
  })
})

t.test('abort', async (t) => {
  const reason = new PluginError('ERR_PROCESS_EXITED', 'plugin is gone')

  t.test('ends every call in every state, and later ones', async (t) => {
    const { channel, log } = fakeWire(t)
    const client = clientOf(channel)
    const never = credentials.createFromMetadataGenerator(() => {})
    const waiting = unary(client, method, hello, { options: { credentials: never } }).outcome
    const open = unary(client, method, hello).outcome
    await turn()
    const fresh = unary(client, method, hello).outcome
    channel.abort(reason)
    channel.abort(new Error('second'))
    for (const outcome of [waiting, open, fresh]) {
      const { error } = await outcome
      t.equal(error?.code, status.UNAVAILABLE)
      t.equal(error?.details, 'plugin is gone')
      t.equal((error as { cause?: unknown }).cause, reason)
      t.strictSame(error?.metadata.get('muxplug-error'), ['ERR_PROCESS_EXITED'])
    }
    t.strictSame(log, ['abort plugin is gone'])
    await channel.closed
    channel.abort(new Error('third'))
    t.equal((await unary(client, method, hello).outcome).error?.details, 'plugin is gone')
  })

  t.test('does not wait for an explanation that is on its way', async (t) => {
    const { channel, wire } = fakeWire(t, { explainLoss: () => new Promise(() => {}) })
    const { outcome } = unary(clientOf(channel), method, hello)
    await turn()
    wire().onLost()
    await turn()
    channel.abort(reason)
    t.equal((await outcome).error?.details, 'plugin is gone')
    await channel.closed
  })

  t.test('before the first call opens nothing', async (t) => {
    const { channel, opens } = fakeWire(t)
    channel.abort(reason)
    t.equal((await unary(clientOf(channel), method, hello).outcome).error?.details, 'plugin is gone')
    t.equal(opens(), 0)
    await channel.closed
  })
})

t.test('busy', async (t) => {
  t.test('is told when calls leave zero and return there', async (t) => {
    const told: boolean[] = []
    const { channel } = fakeWire(t, { onBusy: (busy) => told.push(busy) })
    const client = clientOf(channel)
    const calls = [unary(client, method, hello), unary(client, method, hello)]
    t.strictSame(told, [true])
    t.equal(channel.activeCalls, 2)
    calls[0]?.call.cancel()
    await calls[0]?.outcome
    t.strictSame(told, [true])
    calls[1]?.call.cancel()
    await calls[1]?.outcome
    t.strictSame(told, [true, false])
    t.equal(channel.activeCalls, 0)
  })

  t.test('without onBusy an open call holds the process, an idle channel does not', async (t) => {
    const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
    const { channel } = fakeWire(t)
    const before = timers()
    const { call, outcome } = unary(clientOf(channel), method, hello)
    t.equal(timers(), before + 1)
    call.cancel()
    await outcome
    t.equal(timers(), before)
  })
})

t.test('options out of range are refused', async (t) => {
  for (const options of [
    { maxReceiveBytes: -1 },
    { maxSendBytes: NaN },
    { connectTimeoutMs: 0 },
    { compression: 'snappy' }
  ]) {
    t.throws(() => createWireChannel(() => ({}) as never, options as ChannelOptions), {
      code: 'ERR_CONFIG_INVALID'
    })
  }
})

t.test('3 000 calls leave nothing behind', async (t) => {
  const message = frameMessage(0, hello)
  const { client, channel, near } = rawPeer(t, (stream) =>
    answer(stream, { data: [message], trailers: { 'grpc-status': '0' } })
  )
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  await unary(client, method, hello).outcome
  const parent = Object.assign(new EventEmitter(), { cancelled: false, getDeadline: () => Infinity })
  const before = { timers: timers(), listeners: listenersOf(near) }
  let left = 3_000
  await Promise.all(
    Array.from({ length: 50 }, async () => {
      while (left-- > 0) {
        const options = { deadline: Date.now() + 3_600_000, parent: parent as never }
        const { error } = await unary(client, method, hello, { options }).outcome
        if (error !== undefined) throw error
      }
    })
  )
  t.equal(channel.activeCalls, 0)
  t.equal(parent.listenerCount('cancelled'), 0)
  t.strictSame({ timers: timers(), listeners: listenersOf(near) }, before)
})

t.test('channels leave nothing behind', async (t) => {
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  const before = timers()
  for (let i = 0; i < 100; i++) {
    const { client, channel, near } = rawPeer(t, (stream) =>
      answer(stream, { data: [frameMessage(0, hello)], trailers: { 'grpc-status': '0' } })
    )
    await unary(client, method, hello).outcome
    client.close()
    await channel.closed
    t.ok(near.destroyed)
  }
  t.equal(timers(), before)
})

function listenersOf(emitter: EventEmitter): number {
  return emitter.eventNames().reduce((sum, name) => sum + emitter.listenerCount(name), 0)
}
