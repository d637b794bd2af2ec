import '../helpers/plain-children.js'
// Every engine against hashicorp/yamux itself, in both roles. What the scenarios are is in go/yamux-peer.
import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Duplex, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { TLSSocket, connect as connectTls } from 'node:tls'
import t, { type Test } from 'tap'
import { engines, loadEngine } from '../../lib/mux/engines.js'
import { initialWindowBytes } from '../../lib/mux/frame.js'
import type { CreateMuxer, Muxer, MuxerOptions } from '../../lib/mux/muxer.js'
import { startSide } from '../helpers/muxer-side.js'
import { goProgram } from './programs.js'

const mebibyte = 1024 * 1024

/** Around the window, and around what the engines or Go treat as special. */
const sizes = [
  0,
  1,
  12,
  13,
  initialWindowBytes / 2,
  initialWindowBytes - 13,
  initialWindowBytes - 1,
  initialWindowBytes,
  initialWindowBytes + 1,
  5 * initialWindowBytes + 7
]

/** What went one way, as both ends count it. */
interface Transfer {
  readonly bytes: number
  readonly sha256: string
}

interface Identity {
  readonly name: string
  readonly cert: string
  readonly key: string
}

/** What the Go program tells, by name. */
interface Reports {
  readonly echoed: Transfer
  readonly sent: Transfer
  readonly sentAll: readonly Transfer[]
  readonly received: Transfer
  readonly written: number
  readonly arrived: number
  readonly opened: number
  readonly reset: boolean
  readonly reading: boolean
  readonly writing: boolean
  readonly refused: boolean
  readonly answered: number
  readonly pings: number
  readonly identity: Identity
}

/** A session with the Go program at its other end. */
interface Peer {
  readonly muxer: Muxer
  /** The next substream that the peer opens. */
  accept(): Promise<Duplex>
  /** Waits for the next report of this name. */
  said<Name extends keyof Reports>(name: Name): Promise<Reports[Name]>
  /** Lets the scenario go on where it waits for that. */
  tell(): void
  kill(signal: NodeJS.Signals): void
  /** Sees that the session works: the peer echoes all that no scenario wants. */
  roundTrip(): Promise<void>
  /** Ends the session in order, after which the peer must leave by itself, and content. */
  leave(): Promise<void>
}

type PeerOptions = Partial<MuxerOptions> & {
  /** Of the Go program, without the role. */
  readonly flags?: Readonly<Record<string, string | number>>
}

async function startPeer(
  t: Test,
  createMuxer: CreateMuxer,
  role: MuxerOptions['role'],
  scenario: string,
  { flags = {}, ...options }: PeerOptions = {}
): Promise<Peer> {
  const given = { role: role === 'client' ? 'server' : 'client', ...flags }
  const child = spawn(
    goProgram('yamux-peer'),
    [...Object.entries(given).map(([name, value]) => `-${name}=${value}`), scenario],
    { stdio: ['pipe', 'pipe', 'pipe', 'pipe'] }
  )
  const [stdin, stdout, stderr, stream] = child.stdio as unknown as [Duplex, Readable, Readable, Duplex]
  stdin.on('error', () => {})
  const logged = text(stderr)
  const exited = once(child, 'close').then(([code]) => code as number | null)
  const gone = exited.then(async (code) => {
    throw new Error(`yamux-peer ${scenario} has left with ${code}: ${await logged}`)
  })
  gone.catch(() => {})

  const reports: Record<string, unknown>[] = []
  const lines = createInterface(stdout)
  lines.on('line', (line) => reports.push(JSON.parse(line) as Record<string, unknown>))

  const { muxer, accept } = startSide(createMuxer, stream, role, options)
  t.teardown(async () => {
    muxer.abort(new Error('the test is over'))
    child.kill('SIGKILL')
    await Promise.all([exited, muxer.closed])
  })

  const roundTrip = async (): Promise<void> => {
    const sent = randomBytes(100)
    const near = muxer.open()
    near.end(sent)
    t.same(await readAll(near), sent, 'the session goes on')
  }
  return {
    muxer,
    accept: () => Promise.race([accept(), gone]),
    said: async (name) => {
      for (;;) {
        const index = reports.findIndex((report) => name in report)
        if (index >= 0) return reports.splice(index, 1)[0]?.[name] as Reports[typeof name]
        await Promise.race([once(lines, 'line'), gone])
      }
    },
    tell: () => void stdin.write('\n'),
    kill: (signal) => void child.kill(signal),
    roundTrip,
    leave: async () => {
      await muxer.close()
      t.equal(await muxer.closed, undefined, 'the session ended in order')
      t.equal(muxer.stats().substreams, 0)
      t.equal(await exited, 0, await logged)
    }
  }
}

for (const engine of engines) {
  const nativeOnly = engine === 'libp2p' ? { skip: 'the engine libp2p does not do this' } : {}

  for (const role of ['client', 'server'] as const) {
    const start = async (t: Test, scenario: string, options?: PeerOptions): Promise<Peer> =>
      startPeer(t, await loadEngine(engine), role, scenario, options)

    t.test(`engine ${engine} as yamux ${role}`, async (t) => {
      t.test('Go echoes substreams of every size, all at once', async (t) => {
        const peer = await start(t, 'echo')
        const payloads = sizes.map((size) => randomBytes(size))
        const echoes = payloads.map(async (payload) => {
          const near = peer.muxer.open()
          near.end(payload)
          t.same(await digest(near), transferOf(payload), `${payload.length} bytes`)
        })
        await Promise.all(echoes)
        const echoed = await Promise.all(payloads.map(() => peer.said('echoed')))
        t.same(echoed.toSorted(bySize), payloads.map(transferOf))
        await peer.leave()
      })

      t.test('Go gets back what it sends on substreams of every size, all at once', async (t) => {
        const seen: Promise<Transfer>[] = []
        const peer = await start(t, 'send', {
          flags: { bytes: sizes.join(',') },
          onSubstream: (substream) => {
            substream.pipe(substream)
            seen.push(digest(substream))
          }
        })
        const sent = await peer.said('sentAll')
        t.same((await Promise.all(seen)).toSorted(bySize), sent)
        t.same(
          sent.map(({ bytes }) => bytes),
          sizes
        )
        await peer.leave()
      })

      t.test('Go opens 300 substreams at once, more than may be un-acknowledged', async (t) => {
        const peer = await start(t, 'send', {
          flags: { count: 300, bytes: 1000 },
          onSubstream: (substream) => void substream.pipe(substream)
        })
        t.equal((await peer.said('sentAll')).length, 300)
        t.equal(peer.muxer.stats().accepted, 300)
        await peer.leave()
      })

      t.test('a reader that stops stops Go, one that goes on gets all of it', async (t) => {
        const total = 16 * mebibyte
        const peer = await start(t, 'flood', { flags: { bytes: total } })
        const far = await peer.accept()
        const written = (): Promise<number> => {
          peer.tell()
          return peer.said('written')
        }
        while ((await written()) < initialWindowBytes);
        await peer.roundTrip()
        t.equal(await written(), initialWindowBytes, 'Go waits at the end of the window')
        far.end()
        t.same(await digest(far, () => new Promise(setImmediate)), await peer.said('sent'))
        t.equal(far.readableLength, 0)
        await peer.leave()
      })

      for (const window of [initialWindowBytes, mebibyte]) {
        t.test(`Go does not read: a window of ${window} bytes is taken, and the rest waits`, async (t) => {
          const peer = await start(t, 'sink', { flags: { window } })
          const near = peer.muxer.open()
          const chunk = randomBytes(32 * 1024)
          const hash = createHash('sha256')
          const total = 4 * window
          let taken = 0
          const full = new Promise<void>((resolve) => {
            const write = (): void => {
              near.write(chunk, () => {
                hash.update(chunk)
                taken += chunk.length
                if (taken === window) resolve()
                if (taken < total) write()
                else near.end()
              })
            }
            write()
          })
          await full
          await peer.roundTrip()
          t.equal(taken, window)
          peer.tell()
          t.same(await peer.said('received'), { bytes: total, sha256: hash.digest('hex') })
          await readAll(near)
          await peer.leave()
        })
      }

      t.test('16 MiB each way on four substreams at once', async (t) => {
        const peer = await start(t, 'echo')
        const payload = randomBytes(4 * mebibyte)
        const expected = transferOf(payload)
        const echoes = Array.from({ length: 4 }, async () => {
          const near = peer.muxer.open()
          near.end(payload)
          t.same(await digest(near), expected)
          t.same(await peer.said('echoed'), expected)
        })
        await Promise.all(echoes)
        await peer.leave()
      })

      t.test('what Go’s backlog does not hold waits until Go accepts', nativeOnly, async (t) => {
        const peer = await start(t, 'backlog', { flags: { 'accept-backlog': 4 }, acceptBacklog: 4 })
        const echoes = Array.from({ length: 10 }, (_, index) => {
          const near = peer.muxer.open()
          near.end(`number ${index}`)
          return readAll(near)
        })
        peer.tell()
        t.equal(await peer.said('arrived'), 4)
        peer.tell()
        t.same(
          (await Promise.all(echoes)).map(String),
          echoes.map((_, index) => `number ${index}`)
        )
        await peer.leave()
      })

      t.test(
        'what Go’s backlog does not hold is reset, and the rest goes on',
        engine === 'libp2p' ? {} : { skip: `the engine ${engine} holds it back` },
        async (t) => {
          const peer = await start(t, 'backlog', { flags: { 'accept-backlog': 4 } })
          const substreams = Array.from({ length: 6 }, () => peer.muxer.open())
          const late = substreams.slice(4).map(errorOf)
          const echoes = substreams.slice(0, 4).map((near, index) => {
            near.end(`number ${index}`)
            return readAll(near)
          })
          peer.tell()
          t.equal(await peer.said('arrived'), 4)
          for (const error of late) t.match(await error, { code: 'ERR_STREAM_RESET' })
          peer.tell()
          t.same((await Promise.all(echoes)).map(String), ['number 0', 'number 1', 'number 2', 'number 3'])
          await peer.leave()
        }
      )

      t.test('2000 substreams opened at once all reach Go, which holds 256', nativeOnly, async (t) => {
        const peer = await start(t, 'echo')
        const echoes = Array.from({ length: 2000 }, async (_, index) => {
          const near = peer.muxer.open()
          near.end(`number ${index}`)
          return String(await readAll(near)) === `number ${index}`
        })
        t.ok((await Promise.all(echoes)).every(Boolean))
        await peer.leave()
      })

      t.test('silent substreams are acknowledged: Go does not give them up', async (t) => {
        const peer = await start(t, 'quiet-open', {
          flags: { 'accept-backlog': 2, 'open-timeout': '250ms' },
          onSubstream: (substream) => void substream.pipe(substream)
        })
        t.equal(await peer.said('opened'), 3)
        await peer.leave()
      })

      t.test('a substream that Go does not accept in time fails, and only that', nativeOnly, async (t) => {
        const peer = await start(t, 'backlog', { openTimeoutMs: 50 })
        const near = peer.muxer.open()
        near.write('is anybody there?')
        t.match(await errorOf(near), { code: 'ERR_STREAM_TIMEOUT' })
        peer.tell()
        t.equal(await peer.said('arrived'), 0, 'Go knows')
        peer.tell()
        await peer.roundTrip()
        await peer.leave()
      })

      t.test('Go’s close time-out resets what is not ended, after its end was read', async (t) => {
        const peer = await start(t, 'leave-open', { flags: { 'close-timeout': '200ms' } })
        const far = await peer.accept()
        const failed = errorOf(far)
        t.equal(String(await readAll(far)), 'begun')
        t.match(await failed, { code: 'ERR_STREAM_RESET' })
        await peer.roundTrip()
        await peer.leave()
      })

      t.test('a substream that Go does not end in time fails, and Go knows', nativeOnly, async (t) => {
        const peer = await start(t, 'half-closed', { closeTimeoutMs: 200 })
        const near = peer.muxer.open()
        const failed = errorOf(near)
        near.end('begun')
        t.equal((await peer.said('received')).bytes, 5)
        t.match(await failed, { code: 'ERR_STREAM_TIMEOUT' })
        peer.tell()
        t.ok(await peer.said('reset'))
        await peer.roundTrip()
        await peer.leave()
      })

      t.test('Go has ended its half, and still receives', async (t) => {
        const peer = await start(t, 'finish-first')
        const opened = peer.muxer.open()
        const payload = randomBytes(mebibyte)
        for (const substream of [await peer.accept(), opened]) {
          t.equal((await readAll(substream)).length, 0)
          substream.end(payload)
          t.same(await peer.said('received'), transferOf(payload))
        }
        await peer.leave()
      })

      t.test('our half has ended, and Go still sends', async (t) => {
        const peer = await start(t, 'finish-last', { flags: { bytes: mebibyte } })
        const opened = peer.muxer.open()
        for (const substream of [await peer.accept(), opened]) {
          substream.end()
          t.same(await digest(substream), await peer.said('sent'))
        }
        await peer.leave()
      })

      t.test('a destroyed substream is a reset in Go, for reading and writing', async (t) => {
        const peer = await start(t, 'reset')
        const near = peer.muxer.open()
        t.equal(String(await next(near)), 'begun')
        near.destroy()
        t.ok(await peer.said('reading'))
        t.ok(await peer.said('writing'))
        await peer.roundTrip()
        await peer.leave()
      })

      t.test('Go goes away: nothing can be opened, what lives ends in order', async (t) => {
        const peer = await start(t, 'go-away')
        const far = await peer.accept()
        t.equal(String(await next(far)), 'begun')
        peer.tell()
        const received = await digest(far)
        t.same(received, await peer.said('sent'))
        t.equal(received.bytes, 500)
        t.throws(() => peer.muxer.open(), { code: 'ERR_SESSION_GOAWAY' })
        const payload = randomBytes(mebibyte)
        far.end(payload)
        t.same(await peer.said('received'), transferOf(payload))
        await peer.leave()
      })

      t.test('we go away: Go can open nothing, what lives ends in order', async (t) => {
        const peer = await start(t, 'told-to-go')
        const near = peer.muxer.open()
        t.equal(String(await next(near)), 'begun')
        const left = peer.leave()
        peer.tell()
        t.ok(await peer.said('refused'))
        t.same(await digest(near), await peer.said('sent'))
        const payload = randomBytes(mebibyte)
        near.end(payload)
        t.same(await peer.said('received'), transferOf(payload))
        await left
      })

      t.test('Go closes the session without a word: an error, never an end', async (t) => {
        const peer = await start(t, 'leave')
        const near = peer.muxer.open()
        let ended = false
        near.on('end', () => (ended = true))
        t.equal(String(await next(near)), 'begun')
        const failed = errorOf(near)
        near.resume()
        peer.tell()
        t.match(await failed, { code: 'ERR_SESSION_CLOSED' })
        t.match(await peer.muxer.closed, { code: 'ERR_SESSION_CLOSED' })
        t.notOk(ended)
      })

      t.test('Go is killed in the middle of a transfer: an error, never an end', async (t) => {
        const peer = await start(t, 'flood', { flags: { bytes: 1024 * mebibyte } })
        const far = await peer.accept()
        let ended = false
        far.on('end', () => (ended = true))
        await next(far)
        const failed = errorOf(far)
        far.resume()
        peer.kill('SIGKILL')
        t.match(await failed, { code: 'ERR_SESSION_CLOSED' })
        t.match(await peer.muxer.closed, { code: 'ERR_SESSION_CLOSED' })
        t.notOk(ended)
      })

      t.test('pings are answered both ways, several at once', async (t) => {
        const peer = await start(t, 'ping', { flags: { count: 10 } })
        const trips = await Promise.all(Array.from({ length: 10 }, () => peer.muxer.ping()))
        t.ok(trips.every((ms) => ms > 0))
        t.equal(await peer.said('answered'), 10)
        await peer.leave()
      })

      t.test('Go’s keep-alive is answered, and the session lives', async (t) => {
        const peer = await start(t, 'keep-alive', { flags: { 'keep-alive': '2ms', count: 5 } })
        t.equal(await peer.said('pings'), 5)
        await peer.roundTrip()
        await peer.leave()
      })

      t.test('Go answers keep-alive, and the session lives', async (t) => {
        const peer = await start(t, 'answer-pings', { flags: { count: 5 }, keepAliveIntervalMs: 2 })
        t.equal(await peer.said('pings'), 5)
        await peer.roundTrip()
        await peer.leave()
      })

      t.test('keep-alive finds out that Go stands still', async (t) => {
        const peer = await start(t, 'echo', { keepAliveIntervalMs: 20, keepAliveTimeoutMs: 20 })
        peer.kill('SIGSTOP')
        const near = peer.muxer.open()
        t.match(await errorOf(near), { code: 'ERR_SESSION_CLOSED', cause: { code: 'ERR_SESSION_KEEPALIVE' } })
        peer.kill('SIGKILL')
        t.match(await peer.muxer.closed, { code: 'ERR_SESSION_KEEPALIVE' })
      })

      t.test('TLS inside a substream, Go serving', async (t) => {
        const peer = await start(t, 'tls-server')
        const { name, cert } = await peer.said('identity')
        const payload = randomBytes(mebibyte)
        const secured = connectTls({ socket: peer.muxer.open(), ca: cert, servername: name })
        secured.end(payload)
        t.same(await digest(secured), transferOf(payload))
        t.ok(secured.authorized)
        t.same(await peer.said('received'), transferOf(payload))
        await peer.leave()
      })

      t.test('TLS inside a substream, we serving', async (t) => {
        const peer = await start(t, 'tls-client', { flags: { bytes: mebibyte } })
        const { cert, key } = await peer.said('identity')
        const secured = new TLSSocket(await peer.accept(), { isServer: true, cert, key })
        const payload = await readAll(secured)
        t.same(transferOf(payload), await peer.said('sent'))
        secured.end(payload)
        t.same(await peer.said('received'), transferOf(payload))
        await peer.leave()
      })
    })
  }
}

function bySize(one: Transfer, other: Transfer): number {
  return one.bytes - other.bytes
}

function transferOf(payload: Buffer): Transfer {
  return { bytes: payload.length, sha256: createHash('sha256').update(payload).digest('hex') }
}

/** Reads to the end and keeps nothing; `pause`, if any, comes after each chunk. */
async function digest(source: Readable, pause?: () => Promise<void>): Promise<Transfer> {
  const hash = createHash('sha256')
  let bytes = 0
  await new Promise<void>((resolve, reject) => {
    source.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      hash.update(chunk)
      if (pause === undefined) return
      source.pause()
      void pause().then(() => source.resume())
    })
    source.once('end', resolve)
    source.once('error', reject)
    source.once('close', () => reject(new Error('closed without an end')))
    // next() has paused it.
    source.resume()
  })
  return { bytes, sha256: hash.digest('hex') }
}

/**
 * Reads to the end. Not by async iteration, which destroys a Duplex at its end: the other direction goes on.
 */
function readAll(source: Readable): Promise<Buffer> {
  return awaitedLater(
    new Promise((resolve, reject) => {
      const chunks: Buffer[] = []
      source.on('data', (chunk: Buffer) => chunks.push(chunk))
      source.once('end', () => resolve(Buffer.concat(chunks)))
      source.once('error', reject)
      source.once('close', () => reject(new Error('closed without an end')))
      source.resume()
    })
  )
}

/** The next chunk; reading stops behind it. */
async function next(source: Readable): Promise<unknown> {
  const [chunk] = await once(source, 'data')
  source.pause()
  return chunk
}

/** Waits for the error that destroys `substream`. */
function errorOf(substream: Duplex): Promise<unknown> {
  return awaitedLater(
    new Promise((resolve, reject) => {
      substream.once('error', resolve)
      substream.once('close', () => reject(new Error('closed without an error')))
    })
  )
}

/** The test may wait for something else first: until then a rejection is not unhandled. */
function awaitedLater<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {})
  return promise
}
