// One connection beside several to the same services, on sockets and on the stream. docs/patterns/pool.md has the table.
import { type Client, type Plugin, launch } from 'muxplug/host'
import { createPool } from '../../plugins/pool/pool.js'
import { Bench } from '../ends/service.js'
import { nodePlugin } from '../rows/spawn.js'
import { type Effort, type Table, keepGoing, medians, rate, runPage } from './page.js'

const transports = ['socket', 'stream'] as const
const poolSizes = [1, 2, 8]
const small = Buffer.alloc(64, 1)
const large = Buffer.alloc(1024 * 1024, 1)

type Call = (payload: Buffer) => Promise<unknown>

interface Cell {
  readonly name: string
  readonly call: Call
}

function start(transport: (typeof transports)[number]): Promise<Plugin> {
  return launch({
    command: nodePlugin('muxplug'),
    handshake: { cookieKey: 'BENCH_PLUGIN', cookieValue: 'bench', protocolVersion: 1 },
    transport
  })
}

function poolOf(plugin: Plugin, size: number): Cell {
  const pool = createPool(plugin.broker, 0, Bench, size)
  const call = (payload: Buffer) => pool.run((client: Client<typeof Bench>) => client.echo(payload))
  return { name: `\`${plugin.transport}\`, ${size} connection${size === 1 ? '' : 's'}`, call }
}

/** The median of small calls one after another, in microseconds, while four large ones are under way. */
async function beside(call: Call, durationMs: number): Promise<number> {
  const over = new AbortController()
  const work = async (): Promise<void> => {
    while (!over.signal.aborted) await call(large)
  }
  const load = Promise.all(Array.from({ length: 4 }, work))
  const taken: number[] = []
  try {
    await keepGoing(1, durationMs, async () => {
      const begin = performance.now()
      await call(small)
      taken.push((performance.now() - begin) * 1000)
    })
  } finally {
    over.abort()
    await load
  }
  return taken.toSorted((a, b) => a - b)[Math.floor(taken.length / 2)]!
}

async function measure({ rounds, durationMs }: Effort): Promise<readonly Table[]> {
  const plugins = await Promise.all(transports.map(start))
  try {
    const cells = plugins.flatMap((plugin) => poolSizes.map((size) => poolOf(plugin, size)))
    const found = await medians(cells, rounds, async ({ call }) => [
      await rate(1, durationMs, () => call(small)),
      await rate(8, durationMs, () => call(small)),
      await rate(64, durationMs, () => call(small)),
      ((await rate(8, durationMs, () => call(large))) * large.length) / 1e6,
      await beside(call, durationMs)
    ])
    const head = ['', '1 in flight', '8 in flight', '64 in flight', '1 MiB, MB/s', 'small beside large, µs']
    return [{ head, lines: [...found].map(([{ name }, figures]) => [name, ...figures]) }]
  } finally {
    await Promise.all(plugins.map((plugin) => plugin.close()))
  }
}

process.exitCode = await runPage('pool', process.argv.slice(2), { rounds: 9, durationMs: 100 }, measure)
