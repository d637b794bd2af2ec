import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { CreateMuxer, Muxer } from '../../lib/mux/muxer.js'

/**
 * How much the heap may have grown from after the warm-up to the end, in bytes. What the engine, its compiled
 * code and node:stream settle to differs by some hundred kilobytes from run to run; a substream that is kept
 * costs about two kilobytes, so that one in a few hundred of a million is noticed.
 */
export const heapMarginBytes = 4 * 1024 * 1024

/** Substreams that are open at the same time. */
const atOnce = 64

export interface SoakOptions {
  readonly create: CreateMuxer
  /** How many substreams are opened, echoed on and closed, after as many as warm the engine up. */
  readonly substreams: number
  /** How many bytes then go through one substream. */
  readonly bytes: number
  /**
   * How many substreams come first, uncounted; then 64 MiB do. Default 20 000: until the heap has settled.
   */
  readonly warmUpSubstreams?: number
  readonly progress?: (words: string) => void
}

export interface SoakReport {
  readonly figures: Readonly<Record<string, number>>
  /** What was left behind, in words; empty: nothing. */
  readonly problems: readonly string[]
}

/** Runs one session of two engines for as long as it takes. */
export async function soak(options: SoakOptions): Promise<SoakReport> {
  const { create, substreams, bytes, warmUpSubstreams = 20_000, progress = () => {} } = options
  const problems: string[] = []
  const handlesBefore = handles()
  const [near, far] = await joinSockets()
  let sunk = 0
  const client = create(near, { role: 'client', onSubstream: (substream) => void substream.destroy() })
  const server = create(far, {
    role: 'server',
    onSubstream: (substream) => {
      // The first byte says what is wanted: an echo, or a place for many bytes.
      substream.once('data', (first: Buffer) => {
        if (first[0] === 0) {
          substream.on('data', ({ length }: Buffer) => (sunk += length))
          substream.once('end', () => substream.end())
          sunk += first.length
        } else {
          substream.end(first)
        }
      })
    }
  })

  await openMany(client, warmUpSubstreams, () => {})
  await sendMany(client, 64 * 1024 * 1024, () => {})
  sunk = 0
  const heapBefore = await heap()

  const openedAt = performance.now()
  await openMany(client, substreams, (done) => progress(`${done} of ${substreams} substreams`))
  const openMs = performance.now() - openedAt
  const heapAfterSubstreams = await heap()

  const sentAt = performance.now()
  const sent = await sendMany(client, bytes, (done) => progress(`${mib(done)} of ${mib(bytes)} MiB`))
  const sendMs = performance.now() - sentAt
  const heapAfter = await heap()

  const growth = Math.max(heapAfterSubstreams, heapAfter) - heapBefore
  if (growth > heapMarginBytes) problems.push(`the heap has grown by ${growth} bytes`)
  if (sunk !== sent) problems.push(`${sunk} of ${sent} bytes have arrived`)
  for (const [side, { stats }] of Object.entries({ client, server })) {
    if (stats().substreams !== 0) problems.push(`the ${side} counts ${stats().substreams} substreams`)
  }
  const { accepted } = server.stats()
  if (accepted !== client.stats().opened)
    problems.push(`${accepted} of ${client.stats().opened} were accepted`)

  await Promise.all([client.close(), server.close()])
  await rest()
  const left = handles() - handlesBefore
  if (left > 0) problems.push(`${left} handles are left`)
  for (const stream of [near, far]) if (!stream.destroyed) problems.push('a stream is left')

  return {
    problems,
    figures: {
      substreams,
      'substreams/s': Math.round(substreams / (openMs / 1000)),
      MiB: mib(sent),
      'MiB/s': Math.round(mib(sent) / (sendMs / 1000)),
      'heap after warm-up, KiB': kib(heapBefore),
      'heap after substreams, KiB': kib(heapAfterSubstreams),
      'heap at the end, KiB': kib(heapAfter),
      'RSS at the end, KiB': kib(process.memoryUsage.rss())
    }
  }
}

/** Two joined unix sockets, as they are between processes. */
async function joinSockets(): Promise<[Socket, Socket]> {
  const folder = mkdtempSync(join(tmpdir(), 'soak-'))
  const server = createServer().listen(join(folder, 's'))
  await once(server, 'listening')
  const near = connect(join(folder, 's'))
  const [far] = (await once(server, 'connection')) as [Socket]
  server.close()
  rmSync(folder, { recursive: true, force: true })
  return [near, far]
}

async function openMany(muxer: Muxer, count: number, progress: (done: number) => void): Promise<void> {
  let begun = 0
  const work = async (): Promise<void> => {
    while (begun < count) {
      if (++begun % 10_000 === 0) progress(begun)
      await echo(muxer.open())
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))
}

const question = Buffer.from('question')

function echo(substream: Duplex): Promise<void> {
  return new Promise((resolve, reject) => {
    let read = 0
    substream.on('data', ({ length }: Buffer) => (read += length))
    substream.once('error', reject)
    substream.once('close', () => {
      if (read === question.length) resolve()
      else reject(new Error(`${read} of ${question.length} bytes came back`))
    })
    substream.end(question)
  })
}

/**
 * Sends bytes on one substream until it has taken that many, and waits until the other end has seen the last.
 */
async function sendMany(muxer: Muxer, bytes: number, progress: (done: number) => void): Promise<number> {
  const chunk = Buffer.alloc(64 * 1024)
  const substream = muxer.open()
  const closed = new Promise<void>((resolve, reject) => {
    substream.once('error', reject)
    substream.once('close', resolve)
  })
  substream.resume()
  let sent = 0
  while (sent < bytes) {
    sent += chunk.length
    if (sent % (256 * 1024 * 1024) === 0) progress(sent)
    if (!substream.write(chunk))
      await Promise.race([new Promise((resolve) => substream.once('drain', resolve)), closed])
  }
  substream.end()
  await closed
  return sent
}

/** Bytes in use on the heap, and in buffers beside it, once nothing is left to be collected. */
async function heap(): Promise<number> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  // Finalizers of one collection free what the next one finds.
  for (let round = 0; round < 4; round++) {
    await rest()
    collect()
  }
  const { heapUsed, external, arrayBuffers } = process.memoryUsage()
  return heapUsed + Math.max(external, arrayBuffers)
}

/** What holds the process: sockets, servers, timers. */
function handles(): number {
  return process.getActiveResourcesInfo().filter((name) => !/TTY|Immediate/.test(name)).length
}

async function rest(): Promise<void> {
  for (let turns = 0; turns < 10; turns++) await new Promise(setImmediate)
}

const mib = (bytes: number): number => Math.round(bytes / 2 ** 20)
const kib = (bytes: number): number => Math.round(bytes / 2 ** 10)
