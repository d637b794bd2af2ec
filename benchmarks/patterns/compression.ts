// When compression pays: on the local stream, and on a slow link. docs/patterns/compression.md has the tables.
import { randomBytes } from 'node:crypto'
import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { type DialOptions, launch } from 'muxplug/host'
import { Bench } from '../ends/service.js'
import { decodeUsage, ownUsage } from '../link.js'
import { packageRoot } from '../machine.js'
import { nodePlugin } from '../rows/spawn.js'
import { type Effort, type Table, keepGoing, medians, runPage } from './page.js'

const encodings = ['identity', 'gzip', 'deflate'] as const satisfies DialOptions['compression'][]
const kinds = ['text', 'random'] as const
const sizes = { '1 KiB': 1024, '16 KiB': 16 * 1024, '256 KiB': 256 * 1024, '4 MiB': 4 * 1024 * 1024 }
const megabytesPerSecond = [1, 10, 100]

/** Calls in flight: zlib works on four threads. */
const width = 4

/** The documentation of this package, from its beginning, as often as it takes. */
async function textOf(bytes: number): Promise<Buffer> {
  const docs = join(packageRoot, 'docs')
  const names = (await readdir(docs)).filter((name) => name.endsWith('.md')).sort()
  const text = Buffer.concat(await Promise.all(names.map((name) => readFile(join(docs, name)))))
  return Buffer.alloc(bytes, text)
}

/** A connection for each encoding, to a plugin on a link of so many bytes a second. */
async function open(bytesPerSecond?: number) {
  const throttle = fileURLToPath(new URL('throttle.js', import.meta.url))
  const through = bytesPerSecond === undefined ? [] : [process.execPath, throttle, String(bytesPerSecond)]
  const plugin = await launch({
    command: [...through, ...nodePlugin('muxplug')] as [string, ...string[]],
    handshake: { cookieKey: 'BENCH_PLUGIN', cookieValue: 'bench', protocolVersion: 1 },
    transport: 'stream',
    stream: bytesPerSecond === undefined ? 'fd' : 'stdio'
  })
  const clients = encodings.map((compression) => plugin.broker.dial(0, { compression }).dispense(Bench))
  const cpuSeconds = async (): Promise<number> => {
    const { cpuSeconds: theirs } = decodeUsage(await clients[0]!.usage(Buffer.alloc(0)))
    return theirs + ownUsage().cpuSeconds
  }
  return { clients, cpuSeconds, [Symbol.asyncDispose]: () => plugin.close() }
}

type Opened = Awaited<ReturnType<typeof open>>
type Client = Opened['clients'][number]

/** Megabytes a second of what is sent, before it is compressed, and the processor time of both ends for a gigabyte. */
async function send({ cpuSeconds }: Opened, client: Client, payload: Buffer, durationMs: number) {
  const call = (): Promise<unknown> => client.up([payload])
  await keepGoing(width, durationMs / 2, call)
  const cpuBefore = await cpuSeconds()
  const begin = performance.now()
  const megabytes = ((await keepGoing(width, durationMs, call)) * payload.length) / 1e6
  const seconds = (performance.now() - begin) / 1000
  return [megabytes / seconds, ((await cpuSeconds()) - cpuBefore) / (megabytes / 1000)]
}

async function measure({ rounds, durationMs }: Effort): Promise<readonly Table[]> {
  return [await measureLocal(rounds, durationMs), await measureSlow(4 * durationMs)]
}

async function measureLocal(rounds: number, durationMs: number): Promise<Table> {
  await using opened = await open()
  const payloads = await Promise.all(
    kinds.flatMap((kind) =>
      Object.entries(sizes).map(async ([size, bytes]) => ({
        name: `${kind}, ${size}`,
        bytes: kind === 'text' ? await textOf(bytes) : randomBytes(bytes)
      }))
    )
  )
  const cells = payloads.flatMap((payload) => opened.clients.map((client) => ({ payload, client })))
  const found = await medians(cells, rounds, ({ payload, client }) =>
    send(opened, client, payload.bytes, durationMs)
  )
  const lines = payloads.map((payload): [string, ...number[]] => {
    const figures = cells.filter((cell) => cell.payload === payload).map((cell) => found.get(cell)!)
    const sent = (100 * gzipSync(payload.bytes).length) / payload.bytes.length
    return [payload.name, ...figures.map(([speed]) => speed!), ...figures.map(([, cpu]) => cpu!), sent]
  })
  const columns = encodings.map((name) => (name === 'identity' ? 'none' : name))
  const head = [
    '',
    ...columns.map((name) => `${name}, MB/s`),
    ...columns.map((name) => `${name}, CPU s/GB`),
    'gzip sends, %'
  ]
  return { head, lines }
}

async function measureSlow(durationMs: number): Promise<Table> {
  const payload = await textOf(sizes['256 KiB'])
  const lines: [string, ...number[]][] = []
  for (const speed of megabytesPerSecond) {
    await using opened = await open(speed * 1e6)
    const found = await medians(opened.clients, 1, (client) => send(opened, client, payload, durationMs))
    lines.push([`text, 256 KiB, at ${speed} MB/s`, ...[...found.values()].map(([reached]) => reached!)])
  }
  return { head: ['', 'none, MB/s', 'gzip, MB/s', 'deflate, MB/s'], lines }
}

process.exitCode = await runPage(
  'compression',
  process.argv.slice(2),
  { rounds: 3, durationMs: 100 },
  measure
)
