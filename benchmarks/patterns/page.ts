// What the measured pages of docs/patterns have in common: a command, rounds, and tables between the page's markers.
import { readFile, writeFile } from 'node:fs/promises'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { parseCommand } from '../../lib/cli/command.js'
import { describeMachine, packageRoot } from '../machine.js'
import { alignTable, digits, joinReadme, splitReadme } from '../readme.js'

/** How much is measured: all cells once in each round. */
export interface Effort {
  readonly rounds: number
  readonly durationMs: number
}

export interface Table {
  /** What the first column names, and what the others hold. */
  readonly head: readonly string[]
  /** A name and figures, in the order of the head. */
  readonly lines: readonly (readonly [string, ...number[]])[]
}

interface Options {
  readonly quick: boolean
  readonly write: boolean
  readonly json?: string
}

/**
 * Runs a measurement by the command line: prints its tables, and puts them into `docs/patterns/NAME.md` with `--write`.
 * Resolves with the exit code: 0 done, 1 failed, 2 wrong usage.
 */
export async function runPage(
  name: string,
  argv: readonly string[],
  full: Effort,
  measure: (effort: Effort) => Promise<readonly Table[]>
): Promise<number> {
  const path = `docs/patterns/${name}.md`
  const command = new Command(`node dist/benchmarks/patterns/${name}.js`)
    .description(`Measures what ${path} tells. Prints tables; takes a minute at most.`)
    .option('--quick', 'less of each: tells 2 from 1, not 1.1 from 1', false)
    .option('--json <file>', 'write the figures there too')
    .option('--write', 'put the tables into the page', false)
    .helpOption('-h, --help', 'print this help')
    .allowExcessArguments(false)
    .exitOverride()
  const code = parseCommand(command, argv)
  if (code !== undefined) return code
  const { quick, json, write } = command.opts<Options>()
  try {
    const page = join(packageRoot, path)
    // Before the work, not after it.
    if (write) splitReadme(await readFile(page, 'utf8'), path)
    const effort = quick ? { rounds: 1, durationMs: full.durationMs / 2 } : full
    const conditions = describeConditions(effort)
    const tables = await measure(effort)
    const text = [conditions, ...tables.map(render)].join('\n\n')
    process.stdout.write(`${text}\n`)
    if (json !== undefined) await writeFile(json, `${JSON.stringify({ conditions, tables }, undefined, 2)}\n`)
    if (write) await writeFile(page, joinReadme(splitReadme(await readFile(page, 'utf8'), path), text))
    return 0
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    return 1
  }
}

function describeConditions({ rounds, durationMs }: Effort): string {
  const { cpu, cores, system } = describeMachine()
  const load = loadavg()[0]?.toFixed(1)
  return [
    `Measured on ${new Date().toISOString().slice(0, 10)}: ${cpu}, ${cores} cores, ${system};`,
    `node ${process.versions.node}; load average ${load} before.`,
    `Median of ${rounds} ${rounds === 1 ? 'round' : 'rounds'}, ${durationMs} ms a cell.`
  ].join('\n')
}

function render({ head, lines }: Table): string {
  return alignTable([head, ...lines.map(([name, ...figures]) => [name, ...figures.map(digits)])])
}

/**
 * Measures every cell once in each round, each round beginning with another one, and gives the median of each figure. The round
 * before the first does not count: compilers and caches settle in it.
 */
export async function medians<Cell>(
  cells: readonly Cell[],
  rounds: number,
  measure: (cell: Cell) => Promise<readonly number[]>
): Promise<ReadonlyMap<Cell, readonly number[]>> {
  const runs = new Map<Cell, (readonly number[])[]>(cells.map((cell) => [cell, []]))
  for (let round = 0; round <= rounds; round += 1) {
    const first = round % cells.length
    for (const cell of [...cells.slice(first), ...cells.slice(0, first)]) {
      const figures = await measure(cell)
      if (round > 0) runs.get(cell)!.push(figures)
    }
  }
  return new Map(
    [...runs].map(([cell, values]) => [
      cell,
      values[0]!.map((_, at) => median(values.map((figures) => figures[at]!)))
    ])
  )
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!
}

/** Keeps `width` operations going for a while, half as long without being counted before. Gives how many a second end. */
export async function rate(
  width: number,
  durationMs: number,
  operation: () => Promise<unknown>
): Promise<number> {
  await keepGoing(width, durationMs / 2, operation)
  const begin = performance.now()
  const done = await keepGoing(width, durationMs, operation)
  return (done * 1000) / (performance.now() - begin)
}

/** The same without a warm-up, and how many have ended in all. */
export async function keepGoing(
  width: number,
  durationMs: number,
  operation: () => Promise<unknown>
): Promise<number> {
  const end = performance.now() + durationMs
  let done = 0
  const work = async (): Promise<void> => {
    do {
      await operation()
      done += 1
    } while (performance.now() < end)
  }
  await Promise.all(Array.from({ length: width }, work))
  return done
}
