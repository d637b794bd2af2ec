import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer } from 'node:http2'
import { PassThrough, Readable, Writable } from 'node:stream'
import { finished, pipeline } from 'node:stream/promises'
import { isPluginError, PluginError } from '../../lib/errors.js'
import { startSide } from '../helpers/muxer-side.js'
import { createPair } from '../helpers/pair.js'
import type { ClientHttp2Session } from 'node:http2'
import type { Duplex } from 'node:stream'
import type { Test } from 'tap'
import type { CreateMuxer, MuxerOptions } from '../../lib/mux/muxer.js'
import type { MuxerSide } from '../helpers/muxer-side.js'
import type { PairOptions } from '../helpers/pair.js'

const windowBytes = 256 * 1024

/** What the contract is held against: an engine for each role, and the streams between them. */
export interface MuxerContract {
  readonly client: CreateMuxer
  readonly server: CreateMuxer
  /** Makes two joined streams; those that have no knobs ignore the options. Default: the in-memory pair. */
  readonly streams?: (options?: PairOptions) => [Duplex, Duplex] | Promise<[Duplex, Duplex]>
  /** Cases that are about numbers run with so much of theirs: all of it where it is not said otherwise. */
  readonly mass?: number
}

type SideOptions = Partial<Omit<MuxerOptions, 'role'>>

/** Holds a pair of engines to what `Muxer` promises. Every engine, and every mix of two, must pass. */
export function muxerContract(t: Test, name: string, contract: MuxerContract): void {
  const { streams = createPair, mass = 1 } = contract

  const join = async (
    t: Test,
    options: { pair?: PairOptions; client?: SideOptions; server?: SideOptions } = {}
  ): Promise<{ client: MuxerSide; server: MuxerSide }> => {
    const [one, other] = await streams(options.pair)
    const client = startSide(contract.client, one, 'client', options.client)
    const server = startSide(contract.server, other, 'server', options.server)
    t.teardown(async () => {
      client.muxer.abort(new Error('teardown'))
      server.muxer.abort(new Error('teardown'))
      await Promise.all([client.muxer.closed, server.muxer.closed])
    })
    return { client, server }
  }

  /** The test with either end as the opener. */
  const bothWays = (
    t: Test,
    title: string,
    body: (t: Test, opener: MuxerSide, acceptor: MuxerSide) => Promise<void>
  ): void => {
    for (const role of ['client', 'server'] as const) {
      void t.test(`${title} (opened by the ${role})`, async (t) => {
        const { client, server } = await join(t)
        if (role === 'client') await body(t, client, server)
        else await body(t, server, client)
      })
    }
  }

  void t.test(name, async (t) => {
    bothWays(t, 'data flows both ways and both ends see the end', async (t, opener, acceptor) => {
      const near = opener.muxer.open()
      near.end('question')
      const far = await acceptor.accept()
      t.equal((await readAll(far)).toString(), 'question')
      far.end('answer')
      t.equal((await readAll(near)).toString(), 'answer')
      await Promise.all([closeOf(near), closeOf(far)])
      t.equal(opener.muxer.stats().substreams, 0)
      t.equal(acceptor.muxer.stats().substreams, 0)
      t.equal(opener.muxer.stats().opened, 1)
      t.equal(acceptor.muxer.stats().accepted, 1)
    })

    bothWays(
      t,
      'a substream nobody writes to is still announced, and accepted',
      async (t, opener, acceptor) => {
        const near = opener.muxer.open()
        const far = await acceptor.accept()
        far.end('first word')
        t.equal((await readAll(near)).toString(), 'first word')
      }
    )

    bothWays(
      t,
      'the end that finished first still receives more than a window',
      async (t, opener, acceptor) => {
        for (const size of [windowBytes - 1, 4 * windowBytes]) {
          const near = opener.muxer.open()
          near.end()
          const far = await acceptor.accept()
          await readAll(far)
          const sent = randomBytes(size)
          far.end(sent)
          t.ok((await readAll(near)).equals(sent), `${size} bytes`)
        }
      }
    )

    bothWays(t, 'the acceptor may finish first and still receives', async (t, opener, acceptor) => {
      const near = opener.muxer.open()
      near.write('before')
      const far = await acceptor.accept()
      far.end()
      await readAll(near)
      const sent = randomBytes(1024 * 1024)
      near.end(sent)
      t.ok((await readAll(far)).equals(Buffer.concat([Buffer.from('before'), sent])))
    })

    bothWays(t, 'a destroyed substream resets the other end', async (t, opener, acceptor) => {
      const near = opener.muxer.open()
      near.write('x')
      const far = await acceptor.accept()
      far.resume()
      let ended = false
      far.on('end', () => (ended = true))
      near.destroy(new Error('no longer wanted'))
      t.match(await errorOf(far), { code: 'ERR_STREAM_RESET' })
      t.notOk(ended, 'a reset is no end')
      await closeOf(near)
      t.equal(opener.muxer.stats().substreams + acceptor.muxer.stats().substreams, 0)
    })

    bothWays(t, 'a substream destroyed by its acceptor resets the opener', async (t, opener, acceptor) => {
      const near = opener.muxer.open()
      near.resume()
      const failed = errorOf(near)
      const far = await acceptor.accept()
      far.destroy()
      t.match(await failed, { code: 'ERR_STREAM_RESET' })
    })

    bothWays(t, 'data before a reset reaches a reader that reads', async (t, opener, acceptor) => {
      const near = opener.muxer.open()
      near.write('last words')
      const far = await acceptor.accept()
      near.destroy()
      let text = ''
      const error = await readUntilError(far, (chunk) => (text += chunk.toString()))
      t.equal(text, 'last words')
      t.match(error, { code: 'ERR_STREAM_RESET' })
    })

    await t.test('500 substreams at once, from both ends, keep their data apart', async (t) => {
      const echo = (substream: Duplex): void => void substream.pipe(substream)
      const { client, server } = await join(t, {
        client: { onSubstream: echo },
        server: { onSubstream: echo }
      })
      const echoes = Array.from({ length: 500 }, async (_, index) => {
        const substream = (index % 2 === 0 ? client : server).muxer.open()
        const sent = Buffer.alloc(20_000, `${index}.`)
        substream.end(sent)
        return (await readAll(substream)).equals(sent)
      })
      t.ok((await Promise.all(echoes)).every(Boolean))
      await new Promise(setImmediate)
      t.equal(client.muxer.stats().substreams + server.muxer.stats().substreams, 0)
    })

    for (const size of [
      1,
      12,
      13,
      windowBytes - 13,
      windowBytes - 1,
      windowBytes,
      windowBytes + 1,
      2 * windowBytes
    ]) {
      await t.test(`${size} bytes arrive as they were, and not one more`, async (t) => {
        const { client, server } = await join(t)
        const sent = randomBytes(size)
        const near = client.muxer.open()
        near.end(sent)
        t.ok((await readAll(await server.accept())).equals(sent))
      })
    }

    await t.test('a whole window is taken although nobody reads, and the rest waits', async (t) => {
      const { client, server } = await join(t)
      const near = client.muxer.open()
      await new Promise((resolve) => near.write(Buffer.alloc(windowBytes), resolve))
      const far = await server.accept()
      const more = once(near, 'more')
      let waiting = true
      near.write(Buffer.alloc(1), () => {
        waiting = false
        near.emit('more')
      })
      // A round trip of another substream shows that the byte had its chance.
      await roundTrip(client, server)
      t.ok(waiting, 'the byte beyond the window waits')
      far.resume()
      await more
    })

    await t.test('a slow reader stops the writer at window and buffers, and loses nothing', async (t) => {
      // A reader that is slow only now and then may be given a larger window.
      const fixed = { maxWindowBytes: windowBytes }
      const { client, server } = await join(t, { client: fixed, server: fixed })
      const total = 64 * 1024 * 1024 * mass
      const near = client.muxer.open()
      const sentHash = createHash('sha1')
      const readHash = createHash('sha1')
      let sent = 0
      let read = 0
      let most = 0
      const chunk = randomBytes(48 * 1024 + 7)
      const source = async function* (): AsyncIterable<Buffer> {
        while (sent < total) {
          sent += chunk.length
          sentHash.update(chunk)
          yield chunk
        }
      }
      const written = pipeline(Readable.from(source(), { highWaterMark: 1, objectMode: true }), near)
      const far = await server.accept()
      // Slow: 64 KiB, then a turn of the event loop for everyone else.
      for await (const bytes of far.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        readHash.update(bytes)
        read += bytes.length
        most = Math.max(most, sent - read)
        await new Promise(setImmediate)
      }
      far.end()
      near.resume()
      await written
      t.equal(read, sent)
      t.equal(readHash.digest('hex'), sentHash.digest('hex'))
      t.ok(most <= 2 * windowBytes + 4 * 64 * 1024, `${most} bytes were on their way at most`)
    })

    await t.test('a stalled substream does not hold up another one', async (t) => {
      const { client, server } = await join(t)
      const stalled = client.muxer.open()
      await server.accept()
      let accepted = 0
      for (;;) {
        accepted += 16 * 1024
        if (!stalled.write(Buffer.alloc(16 * 1024))) break
      }
      const busy = client.muxer.open()
      const sent = randomBytes(8 * 1024 * 1024)
      busy.end(sent)
      t.ok((await readAll(await server.accept())).equals(sent))
      t.ok(accepted <= windowBytes + 64 * 1024 + 16 * 1024)
      t.ok(stalled.writableLength <= 64 * 1024 + 16 * 1024)
    })

    await t.test('a writer of much does not starve a writer of little', async (t) => {
      const { client, server } = await join(t)
      const greedy = client.muxer.open()
      const chunk = Buffer.alloc(64 * 1024)
      const fill = (): void => {
        while (greedy.write(chunk));
      }
      greedy.on('drain', fill)
      fill()
      const sink = await server.accept()
      let received = 0
      sink.on('data', ({ length }: Buffer) => (received += length))
      for (let turn = 0; turn < 50; turn++) await roundTrip(client, server)
      greedy.off('drain', fill)
      greedy.end()
      sink.end()
      greedy.resume()
      await Promise.all([closeOf(greedy), closeOf(sink)])
      t.ok(received > 50 * chunk.length, `${received} bytes meanwhile`)
    })

    await t.test('many small writes arrive in order', async (t) => {
      const { client, server } = await join(t)
      const near = client.muxer.open()
      const expected: string[] = []
      for (let index = 0; index < 20_000; index++) {
        expected.push(`${index},`)
        near.write(`${index},`)
      }
      near.end()
      t.equal((await readAll(await server.accept())).toString(), expected.join(''))
    })

    await t.test('a buffer may be reused once its write was acknowledged', async (t) => {
      const { client, server } = await join(t)
      const near = client.muxer.open()
      const bytes = Buffer.alloc(64 * 1024)
      const read = server.accept().then(readAll)
      for (let round = 1; round <= 32; round++) {
        bytes.fill(round)
        await new Promise((resolve) => near.write(bytes, resolve))
        bytes.fill(0)
      }
      near.end()
      const all = await read
      t.equal(all.length, 32 * 64 * 1024)
      t.notOk(all.includes(0))
    })

    await t.test('pipeline, finished and async iteration work on substreams', async (t) => {
      const { client, server } = await join(t)
      const near = client.muxer.open()
      const sent = randomBytes(700_000)
      const serverDone = server.accept().then((far) => pipeline(far, new PassThrough(), far))
      const chunks: Buffer[] = []
      const written = pipeline(Readable.from([sent]), near, { end: true })
      for await (const chunk of near as AsyncIterable<Buffer>) chunks.push(chunk)
      await Promise.all([written, serverDone, finished(near, { error: true }).catch(() => {})])
      t.ok(Buffer.concat(chunks).equals(sent))
    })

    await t.test(
      'the loss of the stream is an error for every unfinished substream, never an end',
      async (t) => {
        const { client, server } = await join(t)
        const substreams: Duplex[] = []
        for (let index = 0; index < 3; index++) {
          const near = client.muxer.open()
          near.write('begun')
          substreams.push(near, await server.accept())
        }
        const ends = substreams.map(async (substream) => {
          let ended = false
          substream.on('end', () => (ended = true))
          let text = ''
          const error = await readUntilError(substream, (chunk) => (text += chunk.toString()))
          return { ended, error, text }
        })
        server.stream.destroy()
        for (const [index, { ended, error, text }] of (await Promise.all(ends)).entries()) {
          t.notOk(ended)
          t.match(error, { code: 'ERR_SESSION_CLOSED' })
          t.equal(text, index % 2 === 0 ? '' : 'begun')
        }
        t.match(await client.muxer.closed, { code: 'ERR_SESSION_CLOSED' })
        t.match(await server.muxer.closed, { code: 'ERR_SESSION_CLOSED' })
        t.throws(() => client.muxer.open(), { code: 'ERR_SESSION_CLOSED' })
      }
    )

    await t.test('what had arrived before the loss is read first, also by a late reader', async (t) => {
      const { client, server } = await join(t)
      const near = client.muxer.open()
      const sent = randomBytes(150_000)
      await new Promise((resolve) => near.write(sent, resolve))
      const far = await server.accept()
      await roundTrip(client, server)
      client.stream.destroy()
      await server.muxer.closed
      const chunks: Buffer[] = []
      const error = await readUntilError(far, (chunk) => chunks.push(chunk))
      t.ok(Buffer.concat(chunks).equals(sent))
      t.match(error, { code: 'ERR_SESSION_CLOSED' })
    })

    await t.test('a writer that waits when the stream is lost is told', async (t) => {
      const { client, server } = await join(t)
      const near = client.muxer.open()
      near.write(Buffer.alloc(2 * windowBytes))
      const blocked = new Promise<Error | null | undefined>((resolve) => near.write('more', resolve))
      const failed = errorOf(near)
      await server.accept()
      server.stream.destroy()
      t.match(await failed, { code: 'ERR_SESSION_CLOSED' })
      t.match(await blocked, { code: 'ERR_SESSION_CLOSED' })
    })

    await t.test(
      'finished substreams end clean although the stream is lost before they are read',
      async (t) => {
        const { client, server } = await join(t)
        const near = client.muxer.open()
        near.end('complete')
        const far = await server.accept()
        far.end('also complete')
        const empty = client.muxer.open()
        empty.end()
        const alsoEmpty = await server.accept()
        alsoEmpty.end()
        await Promise.all([roundTrip(client, server), roundTrip(client, server)])
        server.stream.destroy()
        await client.muxer.closed
        t.equal((await readAll(far)).toString(), 'complete')
        t.equal((await readAll(near)).toString(), 'also complete')
        t.equal((await readAll(empty)).length + (await readAll(alsoEmpty)).length, 0)
      }
    )

    await t.test('abort destroys every substream with that very reason', async (t) => {
      const { client, server } = await join(t)
      const reason = new PluginError('ERR_PROCESS_EXITED', 'the plugin has exited')
      const near = client.muxer.open()
      const far = await server.accept()
      const [nearError, farError] = [errorOf(near), errorOf(far)]
      client.muxer.abort(reason)
      client.muxer.abort(new Error('second'))
      t.equal(await nearError, reason)
      t.match(await farError, { code: 'ERR_SESSION_CLOSED' })
      t.equal(await client.muxer.closed, reason)
      t.throws(() => client.muxer.open(), { code: 'ERR_SESSION_CLOSED' })
      t.ok(client.stream.destroyed)
      t.equal(client.muxer.stats().substreams, 0)
      await client.muxer.close()
    })

    await t.test('close lets live substreams finish, refuses new ones, and ends in order', async (t) => {
      const { client, server } = await join(t)
      const near = client.muxer.open()
      near.write('begun')
      const far = await server.accept()
      const closing = client.muxer.close()
      t.throws(() => client.muxer.open(), { code: 'ERR_SESSION_CLOSED' })
      far.end(randomBytes(1024 * 1024))
      t.equal((await readAll(near)).length, 1024 * 1024)
      t.throws(() => server.muxer.open(), { code: 'ERR_SESSION_GOAWAY' })
      near.end(' and done')
      t.equal((await readAll(far)).toString(), 'begun and done')
      await closing
      await client.muxer.close()
      t.equal(await client.muxer.closed, undefined)
      t.equal(await server.muxer.closed, undefined)
    })

    await t.test('close resets what the peer opens meanwhile', async (t) => {
      const { client, server } = await join(t)
      const kept = client.muxer.open()
      await server.accept()
      const closing = client.muxer.close()
      const late = server.muxer.open()
      t.match(await errorOf(late), { code: 'ERR_STREAM_RESET' })
      kept.destroy()
      await closing
      t.equal(client.muxer.stats().accepted, 0)
    })

    await t.test('close resets what has not finished in time', async (t) => {
      const { client, server } = await join(t)
      const near = client.muxer.open()
      const far = await server.accept()
      const [nearError, farError] = [errorOf(near), errorOf(far)]
      far.resume()
      await client.muxer.close({ timeoutMs: 20 })
      t.match(await nearError, { code: 'ERR_SESSION_CLOSED' })
      t.match(await farError, { code: 'ERR_STREAM_RESET' })
      t.equal(await server.muxer.closed, undefined)
    })

    await t.test(
      'both ends may close at once, and a session without substreams closes at once',
      async (t) => {
        const { client, server } = await join(t)
        await Promise.all([client.muxer.close(), server.muxer.close(), client.muxer.close()])
        t.equal(await client.muxer.closed, undefined)
        t.equal(await server.muxer.closed, undefined)
      }
    )

    await t.test('close takes a duration, and nothing else', async (t) => {
      const { client } = await join(t)
      for (const timeoutMs of [0, -1, Number.NaN]) {
        await t.rejects(client.muxer.close({ timeoutMs }), { code: 'ERR_CONFIG_INVALID' })
      }
      t.doesNotThrow(() => client.muxer.open())
    })

    await t.test('maxSubstreams limits the own substreams, and ended ones make room', async (t) => {
      const { client, server } = await join(t, { client: { maxSubstreams: 2 } })
      const first = client.muxer.open()
      client.muxer.open()
      t.throws(() => client.muxer.open(), { code: 'ERR_SESSION_LIMIT' })
      server.muxer.open()
      await client.accept()
      first.end()
      const far = await server.accept()
      far.end()
      far.resume()
      await readAll(first)
      t.doesNotThrow(() => client.muxer.open(), 'the limits of the two openers are apart')
      t.throws(() => client.muxer.open(), { code: 'ERR_SESSION_LIMIT' })
    })

    await t.test('maxSubstreams resets the peer’s substream that is too many, and only that', async (t) => {
      const { client, server } = await join(t, { server: { maxSubstreams: 2 } })
      const [one, two, three] = [client.muxer.open(), client.muxer.open(), client.muxer.open()]
      t.match(await errorOf(three), { code: 'ERR_STREAM_RESET' })
      one.write('1')
      two.write('2')
      for (const expected of ['1', '2']) {
        const far = await server.accept()
        t.equal(String((await once(far, 'data'))[0]), expected)
      }
      t.equal(server.muxer.stats().accepted, 2)
    })

    for (const maxSubstreams of [0, 1.5, Number.NaN]) {
      await t.test(`maxSubstreams ${maxSubstreams} is refused`, async (t) => {
        const [stream] = await streams()
        t.teardown(() => stream.destroy())
        for (const [create, role] of [
          [contract.client, 'client'],
          [contract.server, 'server']
        ] as const) {
          t.throws(() => create(stream, { role, maxSubstreams, onSubstream: () => {} }), {
            code: 'ERR_CONFIG_INVALID'
          })
        }
      })
    }

    await t.test('a listener that throws loses its substream and no more', async (t) => {
      let throwing = true
      const others: Duplex[] = []
      const { client } = await join(t, {
        server: {
          onSubstream: (substream) => {
            if (throwing) throw new Error('listener')
            others.push(substream.pipe(substream))
          }
        }
      })
      t.match(await errorOf(client.muxer.open()), { code: 'ERR_STREAM_RESET' })
      throwing = false
      const near = client.muxer.open()
      near.end('still here')
      t.equal((await readAll(near)).toString(), 'still here')
    })

    await t.test('nothing is emitted after close, and close is emitted once', async (t) => {
      const { client, server } = await join(t)
      const near = client.muxer.open()
      const events: string[] = []
      for (const event of ['end', 'finish', 'error', 'close', 'data'])
        near.on(event, () => events.push(event))
      near.end('x')
      const far = await server.accept()
      far.end('y')
      far.resume()
      await Promise.all([closeOf(near), closeOf(far)])
      near.destroy()
      far.destroy(new Error('too late'))
      await roundTrip(client, server)
      t.equal(events.at(-1), 'close')
      t.same(events.toSorted(), ['close', 'data', 'end', 'finish'])
    })

    await t.test('destroying before the first byte has left leaves no trace', async (t) => {
      const { client, server } = await join(t)
      client.muxer.open().destroy()
      const ended = client.muxer.open()
      ended.end()
      t.equal((await readAll(await server.accept())).length, 0)
      await roundTrip(client, server)
      t.equal(client.muxer.stats().substreams, 1, 'only the one that has half ended')
    })

    await t.test('a stream that brings its bytes one by one changes nothing', async (t) => {
      const { client, server } = await join(t, { pair: { chunkBytes: 1 } })
      const near = client.muxer.open()
      const sent = randomBytes(3000)
      near.end(sent)
      const far = await server.accept()
      t.ok((await readAll(far)).equals(sent))
      far.end(sent)
      t.ok((await readAll(near)).equals(sent))
      const reset = client.muxer.open()
      reset.write('x')
      const doomed = await server.accept()
      const failed = errorOf(doomed)
      doomed.resume()
      reset.destroy()
      t.match(await failed, { code: 'ERR_STREAM_RESET' })
      await client.muxer.close()
      t.equal(await server.muxer.closed, undefined)
    })

    await t.test(`${10_000 * mass} substreams opened, echoed and closed leave nothing behind`, async (t) => {
      const echo = (substream: Duplex): void => void substream.pipe(substream)
      const { client, server } = await join(t, { server: { onSubstream: echo } })
      const listeners = (): number =>
        [client, server].reduce(
          (sum, { stream }) =>
            sum + stream.eventNames().reduce((count, event) => count + stream.listenerCount(event), 0),
          0
        )
      const cycle = async (): Promise<void> => {
        const substream = client.muxer.open()
        substream.end('ping')
        await readAll(substream)
      }
      const batch = (): Promise<void[]> => Promise.all(Array.from({ length: 100 }, cycle))
      await batch()
      const before = listeners()
      for (let round = 1; round < 100 * mass; round++) await batch()
      await roundTrip(client, server, echo)
      t.same(client.muxer.stats(), { substreams: 0, opened: 10_000 * mass + 1, accepted: 0 })
      t.equal(server.muxer.stats().accepted, 10_000 * mass + 1)
      t.equal(server.muxer.stats().substreams, 0)
      t.ok(listeners() <= before, 'no listener is left on the stream')
    })

    await t.test(
      `node:http2 at both ends of a substream does ${100 * mass} large calls at once`,
      async (t) => {
        const { client, server } = await join(t)
        const near = client.muxer.open()
        const far = await server.accept()
        const reply = randomBytes(310_000)
        // Node's default of 10 MB is for strangers: from Node 22 on it ends a session with so many calls at once.
        const http = createServer({ maxSessionMemory: 1000 })
        http.on('stream', (call) => {
          void readAll(call).then(({ length }) => {
            call.respond({ ':status': 200, 'x-length': length })
            call.end(reply)
          })
        })
        http.emit('connection', far)
        const session = connect('http://substream', {
          createConnection: () => near,
          maxSessionMemory: 1000
        })
        t.teardown(() => session.destroy())
        const request = randomBytes(270_000)
        const calls = Array.from({ length: 100 * mass }, () => callOnce(session, request))
        for (const { length, body } of await Promise.all(calls)) {
          if (length !== request.length || !body.equals(reply)) t.fail('a call was not answered in full')
        }
        t.pass('all calls were answered in full')
        session.close()
        await Promise.all([closeOf(near), closeOf(far)])
      }
    )
  })

  /**
   * Bytes to the other end and back on a substream of their own: all that was on its way before has arrived.
   */
  async function roundTrip(
    from: MuxerSide,
    to: MuxerSide,
    answeredBy?: (substream: Duplex) => void
  ): Promise<void> {
    const near = from.muxer.open()
    near.end('?')
    if (answeredBy === undefined) {
      const far = await to.accept()
      far.end('!')
      far.resume()
      await Promise.all([readAll(near), closeOf(far)])
    } else {
      await readAll(near)
    }
    await closeOf(near)
  }
}

/**
 * Reads to the end. Not by async iteration, which destroys a Duplex at its end: the other direction goes on.
 */
function readAll(source: Readable): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    source.on('data', (chunk: Buffer) => chunks.push(chunk))
    source.once('end', () => resolve(Buffer.concat(chunks)))
    source.once('error', reject)
    source.once('close', () => reject(new Error('closed without an end')))
  })
}

/** Waits until `substream` is gone; resolves at once when it is. */
async function closeOf(substream: Duplex): Promise<void> {
  if (!substream.closed) await new Promise((resolve) => substream.once('close', resolve))
}

/** Waits for the error that destroys `substream`. */
function errorOf(substream: Duplex): Promise<unknown> {
  return new Promise((resolve, reject) => {
    substream.once('error', resolve)
    substream.once('close', () => reject(new Error('closed without an error')))
  })
}

/** Reads to the error; a clean end is a failure. */
async function readUntilError(substream: Duplex, onData: (chunk: Buffer) => void): Promise<unknown> {
  try {
    await pipeline(
      substream,
      new Writable({
        write: (chunk: Buffer, _encoding, callback) => {
          onData(chunk)
          callback()
        }
      })
    )
  } catch (error) {
    if (isPluginError(error)) return error
    throw error
  }
  throw new Error('ended clean')
}

async function callOnce(
  session: ClientHttp2Session,
  body: Buffer
): Promise<{ length: number; body: Buffer }> {
  const call = session.request({ ':method': 'POST', ':path': '/' })
  const responded = once(call, 'response')
  call.end(body)
  const [[headers], answer] = await Promise.all([responded, readAll(call)])
  return { length: Number((headers as Record<string, unknown>)['x-length']), body: answer }
}
