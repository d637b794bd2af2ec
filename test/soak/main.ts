import { parseArgs } from 'node:util'
import { engines, loadEngine } from '../../lib/mux/engines.js'
import { soak } from './soak.js'
import type { Engine } from '../../lib/mux/engines.js'
import type { SoakReport } from './soak.js'

const usage = `Keeps one session busy for long, and looks for what it leaves behind.

  npm run soak -- [--engine native|libp2p] [--substreams N] [--bytes N] [--json]

  --engine      which engine, at both ends; default native
  --substreams  how many are opened, echoed on and closed; default 1000000
  --bytes       how many then go through one substream; default 10737418240
  --json        prints the figures as JSON
`

interface Options {
  readonly engine: Engine
  readonly substreams: number
  readonly bytes: number
  readonly json: boolean
}

function readOptions(): Options | undefined {
  try {
    const { values } = parseArgs({
      options: {
        engine: { type: 'string', default: 'native' },
        substreams: { type: 'string', default: '1000000' },
        bytes: { type: 'string', default: String(10 * 2 ** 30) },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean' }
      }
    })
    const engine = engines.find((name) => name === values.engine)
    const [substreams = 0, bytes = 0] = [values.substreams, values.bytes].map(Number)
    if (values.help === true || engine === undefined || !(substreams >= 0) || !(bytes >= 0)) return undefined
    return { engine, substreams, bytes, json: values.json }
  } catch {
    return undefined
  }
}

function print(engine: Engine, { figures, problems }: SoakReport): void {
  const rows = Object.entries(figures).map(([name, value]) => `| ${name} | ${value.toLocaleString('en')} |`)
  process.stdout.write(`| engine | ${engine} |\n|---|--:|\n${rows.join('\n')}\n`)
  process.stdout.write(problems.map((problem) => `FAILED: ${problem}\n`).join(''))
}

const options = readOptions()
if (options === undefined) {
  process.stderr.write(usage)
  process.exitCode = 2
} else {
  const { engine, substreams, bytes, json } = options
  const report = await soak({
    create: await loadEngine(engine),
    substreams,
    bytes,
    ...(process.stdout.isTTY && !json ? { progress: (words) => process.stdout.write(`\r${words}   `) } : {})
  })
  if (process.stdout.isTTY && !json) process.stdout.write('\n')
  if (json) process.stdout.write(`${JSON.stringify({ engine, ...report })}\n`)
  else print(engine, report)
  if (report.problems.length > 0) process.exitCode = 1
}
