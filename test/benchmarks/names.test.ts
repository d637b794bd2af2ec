import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { cases } from '../../benchmarks/cases.js'
import { metricNames } from '../../benchmarks/results.js'
import { baseline, rows } from '../../benchmarks/rows.js'
import { packageRoot } from '../helpers/paths.js'

/** The names in the first column of the tables of docs/benchmarks.md. */
async function documented(): Promise<readonly string[]> {
  const text = await readFile(join(packageRoot, 'docs/benchmarks.md'), 'utf8')
  const cells = text.split('\n').map((line) => /^\| ([^|]*)\|/.exec(line)?.[1] ?? '')
  return cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!))
}

t.test('docs/benchmarks.md explains every case, row and metric', async (t) => {
  const known = await documented()
  for (const { name } of [...cases, ...rows, ...metricNames.map((metric) => ({ name: metric }))]) {
    // `inflight-1`, `-8` and so on share a line, and so do those of `live`.
    const short = name.replace(/^(inflight|live)/, '')
    t.ok(known.includes(name) || (short !== name && known.includes(short)), name)
  }
})

t.test('names of cases and rows are unique, and the baseline is one of the rows', (t) => {
  for (const all of [cases, rows]) t.equal(new Set(all.map(({ name }) => name)).size, all.length)
  t.ok(rows.some(({ name }) => name === baseline))
  t.end()
})
