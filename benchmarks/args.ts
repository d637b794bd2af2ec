import { resolve as toAbsolute } from 'node:path'
import { Command, InvalidArgumentError, Option } from 'commander'
import { type Case, cases } from './cases.js'
import type { Timing } from './measure.js'
import { readmeGap } from './readme.js'
import { type Row, rows } from './rows.js'
import { parseCommand } from '../lib/cli/command.js'

/** The command line, checked. */
export interface Arguments {
  readonly cases: readonly Case[]
  readonly rows: readonly Row[]
  /** Whether the rows are those of the command line rather than all. */
  readonly rowsNamed: boolean
  readonly timing: Timing
  /** How many rounds; without a number, as many as fit the limit, at least one and at most `most`. */
  readonly rounds:
    | { readonly t: 'exact'; readonly count: number }
    | { readonly t: 'within'; readonly limitMs: number; readonly most: number }
  /** Where to write the results. */
  readonly json: string | undefined
  /** Where to write them as a page. */
  readonly html?: string
  /** A file with results; then nothing is measured. */
  readonly from?: string
  /** The directory that takes a CPU profile of each host and plugin in Node. */
  readonly profile?: string
  /** Whether to rewrite the tables of README.md. */
  readonly readme?: boolean
}

/** What the command line asks for: the job, or an exit with what was to be printed already printed. */
export type Parsed =
  { readonly t: 'run'; readonly args: Arguments } | { readonly t: 'exit'; readonly code: number }

/**
 * Times that a run of all cases and rows keeps on two cores: 2 and 15 minutes, less what ends it. No further round begins
 * that would not fit.
 */
const limits = { quickMs: 110_000, fullMs: 14 * 60_000 }

const mostRounds = 5

/** Options that say what to measure. */
const measuring = ['quick', 'only', 'rows', 'runs', 'durationMs', 'profile']

interface Options {
  readonly quick: boolean
  readonly only?: readonly Case[]
  readonly rows?: readonly Row[]
  readonly runs?: number
  readonly durationMs?: number
  readonly json?: string
  readonly html?: string
  readonly from?: string
  readonly profile?: string
  readonly readme: boolean
}

/** Reads the arguments after the program's name. Prints help on stdout, and what is wrong on stderr. */
export function parseArguments(argv: readonly string[]): Parsed {
  const command = new Command('npm run bench --')
    .description(
      'Compares ways for two processes to call each other. Prints a table; takes 15 minutes at most.'
    )
    .option('--quick', 'fewer cases, less of each: 2 minutes at most', false)
    .option('--only <case,..>', 'these cases alone', (text) => pick('case', cases, text))
    .option('--rows <row,..>', 'these rows alone; ratios need per-dial among them', (text) =>
      pick('row', rows, text)
    )
    .option('--runs <n>', `rounds (default: as many as the time allows, at most ${mostRounds})`, positive)
    .option('--duration-ms <ms>', 'how long a cell is measured (default: 350, quick: 200)', positive)
    .option('--json <file>', 'write all results there too')
    .option('--html <file>', 'write a page with charts there')
    .addOption(
      new Option('--from <file>', 'show what --json wrote, and measure nothing').conflicts(measuring)
    )
    .option('--profile <dir>', 'write CPU profiles of hosts and plugins in Node there; slows them down')
    .option('--readme', 'put the results into README.md; not with --quick', false)
    .helpOption('-h, --help', 'print this help')
    .addHelpText('after', `\nCases (* also in a quick run):\n${list(cases)}\n\nRows:\n${list(rows)}`)
    .showHelpAfterError('Run with --help for the names.')
    .allowExcessArguments(false)
    .exitOverride()
  const code = parseCommand(command, argv)
  if (code !== undefined) return { t: 'exit', code }
  const options = command.opts<Options>()
  const args = resolve(options)
  const gap = options.readme ? readmeConflict(options.quick, args) : undefined
  if (gap === undefined) return { t: 'run', args }
  console.error(`error: ${gap}`)
  return { t: 'exit', code: 2 }
}

function resolve({
  quick,
  only,
  rows: chosen,
  runs,
  durationMs,
  json,
  html,
  from,
  profile,
  readme
}: Options): Arguments {
  const measuredMs = durationMs ?? (quick ? 200 : 350)
  return {
    cases: only ?? cases.filter((one) => one.quick || !quick),
    rows: chosen ?? rows,
    rowsNamed: chosen !== undefined,
    timing: { durationMs: measuredMs, warmUpMs: 2 * measuredMs },
    rounds:
      runs === undefined
        ? { t: 'within', limitMs: quick ? limits.quickMs : limits.fullMs, most: mostRounds }
        : { t: 'exact', count: runs },
    json,
    ...(html !== undefined && { html }),
    ...(from !== undefined && { from }),
    ...(profile !== undefined && { profile: toAbsolute(profile) }),
    readme
  }
}

/** Why these arguments do not go with `--readme`; undefined when they do. */
function readmeConflict(quick: boolean, args: Arguments): string | undefined {
  if (quick) return '--readme needs a full run: leave out --quick.'
  if (args.profile !== undefined) return '--readme needs figures that no profile has slowed down.'
  return readmeGap(args)
}

/** Those that are named, in their usual order. */
export function pick<T extends { readonly name: string }>(
  what: string,
  all: readonly T[],
  text: string
): readonly T[] {
  const names = text.split(',')
  const unknown = names.filter((name) => !all.some((one) => one.name === name))
  if (unknown.length > 0) {
    const known = all.map(({ name }) => name).join(', ')
    throw new InvalidArgumentError(`There is no ${what} "${unknown.join('", "')}". There are: ${known}.`)
  }
  return all.filter(({ name }) => names.includes(name))
}

/** A whole number above 0. */
export function positive(text: string): number {
  const number = Number(text)
  if (Number.isSafeInteger(number) && number > 0) return number
  throw new InvalidArgumentError('It has to be a whole number above 0.')
}

function list(
  all: readonly { readonly name: string; readonly text: string; readonly quick?: boolean }[]
): string {
  const width = Math.max(...all.map(({ name }) => name.length)) + 3
  return all
    .map(({ name, text, quick }) => `  ${(quick ? `${name} *` : name).padEnd(width)}${text}`)
    .join('\n')
}
