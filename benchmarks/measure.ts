import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { type RecordableHistogram, createHistogram } from 'node:perf_hooks'
import { type Capability, type Link, type Usage, checkChunk, chunkBytes, ownUsage } from './link.js'

/** What is measured; units are those of `units` in results.ts. */
export type Metric =
  'p50' | 'p90' | 'p99' | 'p999' | 'rate' | 'rss' | 'heap' | 'fds' | 'files' | 'cpu' | 'ratio'

export type Metrics = Partial<Record<Metric, number>>

/** How long one cell works: first to let the compiler and the caches settle, then to be measured. */
export interface Timing {
  readonly warmUpMs: number
  readonly durationMs: number
}

/** What a case gets: a way to start the plugin, which is ended for it. */
export interface Cell extends Timing {
  readonly open: () => Promise<Link>
}

/** Measures one thing of one row. */
export type Measure = (cell: Cell) => Promise<Metrics>

/** Chunks of one transfer: enough to make its beginning and end unimportant. */
const transferChunks = 128

/** One after another, each of them timed. */
export function latency(capability: 'call' | 'callback' | 'dial', payloadBytes: number): Measure {
  return withLink(async (link, timing) => {
    const operation = checked(link, capability, payloadBytes)
    await repeat(operation, timing.warmUpMs)
    const cpu = await startCpu(link)
    const histogram = await time(operation, timing.durationMs)
    return { ...percentiles(histogram), cpu: await cpu(histogram.count) }
  })
}

/** `width` calls in flight all the time. */
export function inFlight(width: number): Measure {
  return withLink(async (link, timing) => {
    const operation = checked(link, 'call', 64)
    const work = (ms: number): Promise<number> => inParallel(width, () => repeat(operation, ms))
    await work(timing.warmUpMs)
    return throughput(link, () => work(timing.durationMs))
  })
}

/** `width` dials begun at once, again and again. */
export function dialBurst(width: number): Measure {
  return withLink(async (link, timing) => {
    const operation = checked(link, 'dial', 64)
    const burst = (): Promise<number> => inParallel(width, () => repeat(operation, 0))
    await repeat(() => inParallel(16, () => repeat(operation, 0)), timing.warmUpMs)
    return throughput(link, async () => width * (await repeat(burst, timing.durationMs)))
  })
}

/** Transfers one after another. */
export function transfers(direction: 'down' | 'up' | 'both'): Measure {
  return withLink(async (link, timing) => {
    const operation = (): Promise<void> => transfer(link, direction)
    await repeat(operation, timing.warmUpMs)
    const chunks = async (): Promise<number> => transferChunks * (await repeat(operation, timing.durationMs))
    const { rate, cpu } = await throughput(link, chunks)
    // Both ways: what goes there comes back as well, and counts once.
    return { rate: (rate * chunkBytes) / 1e6, cpu }
  })
}

/** Small calls, each of them timed, while transfers go on beside them. */
export const fairness: Measure = withLink(async (link, timing) => {
  const operation = checked(link, 'call', 64)
  await repeat(operation, timing.warmUpMs)
  const over = new AbortController()
  let chunks = 0
  const bulk = (async () => {
    while (!over.signal.aborted) {
      await transfer(link, 'down', () => {
        chunks += 1
      })
    }
  })()
  // A transfer that fails ends the cell, even while calls go on.
  const timed = async (ms: number): Promise<RecordableHistogram> => {
    const calls = time(operation, ms)
    await Promise.race([calls, bulk])
    return calls
  }
  await timed(timing.warmUpMs)
  const before = chunks
  const started = performance.now()
  const cpu = await startCpu(link)
  const histogram = await timed(timing.durationMs)
  const seconds = (performance.now() - started) / 1000
  const sent = chunks - before
  const metrics = { ...percentiles(histogram), cpu: await cpu(histogram.count) }
  over.abort()
  await bulk
  return { ...metrics, rate: (sent * chunkBytes) / 1e6 / seconds }
})

/** Many broker IDs, open at the same time: what they take, and what a call costs beside them. */
export function live(ids: number): Measure {
  return withLink(async (link, timing) => {
    const keep = checked(link, 'keep', 64)
    let left = ids
    await inParallel(16, async () => {
      while (left > 0) {
        left -= 1
        await keep()
      }
      return 0
    })
    const operation = checked(link, 'call', 64)
    await repeat(operation, timing.warmUpMs)
    const { rss, heap, fds } = memory([ownUsage(), await link.usage()])
    const cpu = await startCpu(link)
    const histogram = await time(operation, timing.durationMs)
    const files = countSockets(tmpdir())
    return { rss, heap, ...fds, files, ...percentiles(histogram), cpu: await cpu(histogram.count) }
  })
}

/** The plugin's memory after one call. */
export const idle: Measure = withLink(async (link) => {
  await checked(link, 'call', 64)()
  const { rss, heap, fds } = memory([await link.usage()])
  return { rss, heap, ...fds }
})

/** From the start of the plugin to its first answer, and beside it a Node process that does nothing. */
export async function coldStart({ open, durationMs }: Cell): Promise<Metrics> {
  const starts: number[] = []
  const empty: number[] = []
  let cpuSeconds = 0
  const end = performance.now() + 4 * durationMs
  do {
    empty.push(await emptyNode())
    const before = ownUsage().cpuSeconds
    const started = performance.now()
    const link = await open()
    try {
      await checked(link, 'call', 64)()
      starts.push(performance.now() - started)
      cpuSeconds += ownUsage().cpuSeconds - before + (await link.usage()).cpuSeconds
    } finally {
      await link.close()
    }
  } while (starts.length < 2 || performance.now() < end)
  const ms = middle(starts)
  return { p50: ms * 1000, ratio: ms / middle(empty), cpu: (cpuSeconds / starts.length) * 10_000 }
}

async function emptyNode(): Promise<number> {
  const started = performance.now()
  await once(spawn(process.execPath, ['-e', ''], { stdio: 'ignore' }), 'exit')
  return performance.now() - started
}

function withLink(measure: (link: Link, timing: Timing) => Promise<Metrics>): Measure {
  return async (cell) => {
    const link = await cell.open()
    try {
      return await measure(link, cell)
    } finally {
      await link.close()
    }
  }
}

/** An operation of the link, with its answer checked. */
function checked(
  link: Link,
  capability: Exclude<Capability, 'down' | 'up' | 'both'>,
  payloadBytes: number
): () => Promise<void> {
  const payload = Buffer.alloc(payloadBytes, 'muxplug ')
  const operation = provided(link, capability)
  return async () => {
    const answer = await operation(payload)
    if (!payload.equals(answer)) throw new Error(`${capability}: the answer is not what was sent`)
  }
}

async function transfer(
  link: Link,
  direction: 'down' | 'up' | 'both',
  onReceived = (): void => {}
): Promise<void> {
  let count = 0
  const onChunk = (bytes: Uint8Array): void => {
    checkChunk(bytes, count)
    count += 1
    onReceived()
  }
  if (direction === 'up') {
    const received = await provided(link, 'up')(transferChunks)
    if (received.bytes === received.count * chunkBytes) count = received.count
  } else {
    await provided(link, direction)(transferChunks, onChunk)
  }
  if (count !== transferChunks) throw new Error(`${direction}: ${count} chunks came of ${transferChunks}`)
}

function provided<C extends Capability>(link: Link, capability: C): NonNullable<Link[C]> {
  const operation = link[capability]
  if (operation === undefined) throw new Error(`this row has no ${capability}`)
  return operation.bind(link) as NonNullable<Link[C]>
}

/** Repeats until the time is over, at least once. Returns how often. */
async function repeat(operation: () => Promise<unknown>, ms: number): Promise<number> {
  const end = performance.now() + ms
  let count = 0
  do {
    await operation()
    count += 1
  } while (performance.now() < end)
  return count
}

async function inParallel(width: number, work: () => Promise<number>): Promise<number> {
  const counts = await Promise.all(Array.from({ length: width }, work))
  return counts.reduce((sum, count) => sum + count, 0)
}

async function time(operation: () => Promise<void>, ms: number): Promise<RecordableHistogram> {
  const histogram = createHistogram()
  await repeat(async () => {
    const started = process.hrtime.bigint()
    await operation()
    histogram.record(process.hrtime.bigint() - started)
  }, ms)
  return histogram
}

/** In microseconds. A percentile that fewer than one sample in all would lie above is none, and is left out. */
function percentiles(histogram: RecordableHistogram): Metrics {
  const at = (percent: number): number => histogram.percentile(percent) / 1000
  const { count } = histogram
  return {
    p50: at(50),
    ...(count >= 10 ? { p90: at(90) } : {}),
    ...(count >= 100 ? { p99: at(99) } : {}),
    ...(count >= 1000 ? { p999: at(99.9) } : {})
  }
}

/** Operations a second, and what they cost. */
async function throughput(
  link: Link,
  work: () => Promise<number>
): Promise<{ readonly rate: number; readonly cpu: number }> {
  const cpu = await startCpu(link)
  const started = performance.now()
  const count = await work()
  const seconds = (performance.now() - started) / 1000
  return { rate: count / seconds, cpu: await cpu(count) }
}

/** Both processes' processor time from now on, for 10,000 operations of which there were so many. */
async function startCpu(link: Link): Promise<(operations: number) => Promise<number>> {
  const used = async (): Promise<number> => (await link.usage()).cpuSeconds + ownUsage().cpuSeconds
  const before = await used()
  return async (operations) => (((await used()) - before) / operations) * 10_000
}

function memory(usages: readonly Usage[]): {
  readonly rss: number
  readonly heap: number
  readonly fds: { readonly fds?: number }
} {
  const sum = (of: (usage: Usage) => number): number => usages.reduce((total, usage) => total + of(usage), 0)
  const known = usages.every(({ fds }) => fds !== undefined)
  return {
    rss: sum(({ rssBytes }) => rssBytes),
    heap: sum(({ heapBytes }) => heapBytes),
    fds: known ? { fds: sum(({ fds }) => fds ?? 0) } : {}
  }
}

/** The cell has a temporary directory of its own: whatever lies there is of its making. */
function countSockets(directory: string): number {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isSocket()).length
}

function middle(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const half = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2
}
