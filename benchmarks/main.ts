import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { access, mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { type Arguments, parseArguments } from './args.js'
import type { Case } from './cases.js'
import { formatHtml } from './html/report.js'
import { describeMachine, packageRoot } from './machine.js'
import { type Progress, createProgress } from './progress.js'
import { readReport } from './report-file.js'
import { readmeGap, renderReadme, splitReadme } from './readme.js'
import { type Report, compare, summarise } from './results.js'
import { goVersions } from './rows/go.js'
import { type Row, baseline } from './rows.js'
import { type Outcome, run } from './run.js'
import { formatTable } from './table.js'
import { listenForSignals } from '../lib/cli/command.js'

/** Packages that take part, where they are installed. */
const packages = ['@grpc/grpc-js', '@chainsafe/libp2p-yamux', 'vscode-jsonrpc', 'comlink']

const readmePath = join(packageRoot, 'README.md')

/** Resolves with the exit code: 0 done, 1 failed, 2 wrong usage, 128 + n for a signal. */
async function main(argv: readonly string[]): Promise<number> {
  const parsed = parseArguments(argv)
  if (parsed.t === 'exit') return parsed.code
  const { args } = parsed
  const interrupted = listenForSignals((name) => new Error(`ended by ${name}`))
  const progress = createProgress(process.stderr)
  try {
    // Before the work, not after it.
    for (const file of [args.json, args.html]) {
      if (file !== undefined) await access(dirname(file), constants.W_OK)
    }
    if (args.readme) splitReadme(await readFile(readmePath, 'utf8'))
    if (args.profile !== undefined) await mkdir(args.profile, { recursive: true })
    const report =
      args.from === undefined
        ? await measure(args, progress, interrupted.signal)
        : await readReport(args.from)
    const [cases, rows] = shownOf(report, args)
    process.stdout.write(formatTable(report, cases, rows))
    if (args.json !== undefined) await writeFile(args.json, `${JSON.stringify(report, undefined, 2)}\n`)
    if (args.html !== undefined) await writeFile(args.html, formatHtml(report))
    if (args.readme) {
      const gap = readmeGap({ cases, rows })
      if (gap !== undefined) throw new Error(gap)
      await writeFile(readmePath, renderReadme(await readFile(readmePath, 'utf8'), report))
    }
    if (args.profile !== undefined) {
      process.stdout.write(
        `\nSummary of the profiles: npm run bench:profile -- ${args.profile}/*.cpuprofile\n`
      )
    }
    return 0
  } catch (error) {
    progress.clear()
    console.error(error instanceof Error ? error.message : error)
    return interrupted.code ?? 1
  }
}

async function measure(args: Arguments, progress: Progress, signal: AbortSignal): Promise<Report> {
  const outcome = await run(args, progress, signal)
  progress.clear()
  return describe(outcome, args)
}

/** The cases and rows of the table: those that were asked for, or those that a file has. */
function shownOf(
  { results, missing }: Report,
  { cases, rows, from }: Arguments
): readonly [readonly Case[], readonly Row[]] {
  if (from === undefined) return [cases, rows]
  const all = [...results, ...missing]
  return [
    cases.filter(({ name }) => all.some((one) => one.case === name)),
    rows.filter(({ name }) => all.some((one) => one.row === name))
  ]
}

async function describe(outcome: Outcome, { timing }: Arguments): Promise<Report> {
  return {
    date: new Date().toISOString(),
    machine: describeMachine(),
    versions: await readVersions(new Set(outcome.measurements.map(({ row }) => row))),
    commit: await readCommit(),
    options: { rounds: outcome.rounds, ...timing },
    results: summarise(outcome.measurements),
    ratios: compare(outcome.measurements, baseline),
    missing: outcome.missing
  }
}

async function readVersions(measured: ReadonlySet<string>): Promise<Record<string, string>> {
  const versions: Record<string, string> = { node: process.versions.node }
  const folders = packages.map((name) => [name, join(packageRoot, 'node_modules', name)] as const)
  for (const [name, folder] of [['muxplug', packageRoot] as const, ...folders]) {
    const text = await readFile(join(folder, 'package.json'), 'utf8').catch(() => undefined)
    if (text !== undefined) versions[name] = (JSON.parse(text) as { version: string }).version
  }
  const withGo = ['go-per-dial', 'go-mux'].some((row) => measured.has(row))
  return withGo ? { ...versions, ...(await goVersions()) } : versions
}

/** The commit, marked when files differ from it; null where there is no repository. */
async function readCommit(): Promise<string | null> {
  try {
    const { stdout } = await promisify(execFile)('git', ['describe', '--always', '--dirty', '--abbrev=12'], {
      cwd: packageRoot
    })
    return stdout.trim()
  } catch {
    return null
  }
}

process.exitCode = await main(process.argv.slice(2))
