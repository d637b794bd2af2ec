import '../helpers/plain-children.js'
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { Report } from '../../benchmarks/results.js'
import { fixture, packageRoot } from '../helpers/paths.js'

const program = join(packageRoot, 'dist/benchmarks/main.js')

interface Run {
  readonly child: ChildProcess
  /** Where the program and all that it starts put their files. */
  readonly directory: string
  readonly ended: Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }>
}

/** Starts the program with arguments that spaces set apart. */
async function start(t: Test, args: string): Promise<Run> {
  const directory = await mkdtemp(join(tmpdir(), 'mx-'))
  const child = spawn(process.execPath, [program, ...args.split(' ')], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TMPDIR: directory }
  })
  const exit = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const ended = Promise.all([exit, text(child.stdout), text(child.stderr)])
  t.teardown(async () => {
    child.kill('SIGTERM')
    await exit
    await rm(directory, { recursive: true, force: true })
  })
  return { child, directory, ended: ended.then(([code, stdout, stderr]) => ({ code, stdout, stderr })) }
}

/** The IDs of the processes that work in a directory below this one. Known on Linux only. */
async function processesBelow(directory: string): Promise<number[]> {
  const ids = (await readdir('/proc')).map(Number).filter(Number.isInteger)
  const found = await Promise.all(
    ids.map(async (id) => {
      // Not to be read: another user's, or gone by now.
      const environment = await readFile(`/proc/${id}/environ`, 'utf8').catch(() => '')
      return environment.includes(`TMPDIR=${directory}/`)
    })
  )
  return ids.filter((_, index) => found[index])
}

t.test('a run writes what docs/benchmarks.md describes', async (t) => {
  const file = join(t.testdir(), 'results.json')
  const chosen = ['raw-socketpair', 'per-dial', 'stream-h2-libp2p']
  const { directory, ended } = await start(
    t,
    `--only=unary-64B,dial --rows=${chosen.join()} --runs=1 --duration-ms=50 --json=${file}`
  )
  const { code, stdout, stderr } = await ended
  t.equal(stderr, '', 'quiet where there is no terminal')
  t.equal(code, 0)
  t.same(await readdir(directory), [], 'leaves no file')

  const report = JSON.parse(await readFile(file, 'utf8')) as Report
  t.same(
    Object.keys(report),
    'date machine versions commit options results ratios missing'.split(' '),
    'the parts of the file'
  )
  t.ok(Date.parse(report.date) > 0)
  t.match(report.machine, { cpu: String, cores: Number, memoryBytes: Number, system: String })
  t.match(report.versions, { node: process.versions.node, muxplug: String, '@grpc/grpc-js': String })
  t.same(report.options, { rounds: 1, warmUpMs: 100, durationMs: 50 })
  t.same(report.missing, [
    { case: 'dial', row: 'raw-socketpair', reason: 'it has no broker IDs: one service at each end' }
  ])

  for (const row of chosen) {
    t.ok(
      report.results.some((one) => one.case === 'unary-64B' && one.row === row && one.metric === 'cpu'),
      `${row} was measured`
    )
  }
  for (const result of report.results) {
    t.same(Object.keys(result), ['case', 'row', 'metric', 'unit', 'median', 'min', 'max', 'runs'])
    t.match(result, { unit: result.metric === 'cpu' ? 's/10k calls' : 'us', runs: [result.median] })
    t.ok(result.median > 0 && result.min === result.median && result.max === result.median)
    t.ok(stdout.includes(result.row))
  }
  const median = (row: string): number =>
    report.results.find((one) => one.case === 'unary-64B' && one.row === row && one.metric === 'p50')!.median
  for (const ratio of report.ratios) {
    t.same(Object.keys(ratio), ['case', 'row', 'metric', 'vs', 'ratio', 'low', 'high'])
    t.match(ratio, { vs: 'per-dial', low: ratio.ratio, high: ratio.ratio })
    t.not(ratio.row, 'per-dial')
  }
  t.match(
    report.ratios.find(({ row, metric }) => row === 'stream-h2-libp2p' && metric === 'p50'),
    { ratio: median('stream-h2-libp2p') / median('per-dial') }
  )
  t.match(stdout, /^dial: .*\n.*p50 us.*\nraw-socketpair +it has no broker IDs/m)
})

t.test('what the command line has wrong is said, with exit code 2', async (t) => {
  const wrong: readonly (readonly [args: string, message: RegExp])[] = [
    ['--only unary-64B,unary-65B', /There is no case "unary-65B"\. There are: unary-64B, /],
    ['--rows carrier-pigeon', /There is no row "carrier-pigeon"\. There are: raw-socketpair, /],
    ['--runs 0', /'0' is invalid/],
    ['--slow', /unknown option '--slow'/],
    ['unary-64B', /too many arguments/]
  ]
  const runs = await Promise.all(wrong.map(([args]) => start(t, args)))
  for (const [index, { ended }] of runs.entries()) {
    const [args, message] = wrong[index]!
    t.match(await ended, { code: 2, stdout: '', stderr: message }, args)
  }
})

t.test('a report is drawn again from a file', async (t) => {
  const html = join(t.testdir(), 'report.html')
  const from = fixture('benchmarks-report.json')
  const { code, stdout, stderr } = await (await start(t, `--from=${from} --html=${html}`)).ended
  t.equal(stderr, '')
  t.equal(code, 0)
  t.match(stdout, /^unary-64B: .*\n.*p50 us/m)
  t.match(await readFile(html, 'utf8'), /^<!doctype html>.*Where we lose/is)

  const broken = t.testdir({ 'broken.json': '{ "date": 1 }' })
  const faults: readonly (readonly [args: string, code: number, message: RegExp])[] = [
    [`--from=${from} --html=/nowhere/report.html`, 1, /nowhere/],
    [`--from=${join(broken, 'broken.json')}`, 1, /broken\.json.*date/],
    [`--from=${from} --quick`, 2, /--from/]
  ]
  for (const [args, expected, message] of faults) {
    t.match(await (await start(t, args)).ended, { code: expected, stdout: '', stderr: message }, args)
  }
})

t.test('--help lists cases and rows', async (t) => {
  const { ended } = await start(t, '--help')
  t.match(await ended, { code: 0, stderr: '', stdout: /Cases .*unary-64B \* .*Rows:.*stream-h2-libp2p/s })
})

t.test(
  'Ctrl-C leaves no process',
  { skip: process.platform !== 'linux' && 'processes are looked up in /proc' },
  async (t) => {
    for (const row of ['per-dial', 'per-dial-own', 'stream-h2-libp2p']) {
      const { child, directory, ended } = await start(t, `--only unary-64B --rows ${row}`)
      // Both the host and the plugin run.
      while ((await processesBelow(directory)).length < 2) await delay(10)
      child.kill('SIGINT')
      t.match(await ended, { code: 130, stdout: '', stderr: 'ended by SIGINT' }, row)
      while ((await processesBelow(directory)).length > 0) await delay(10)
      t.same(await readdir(directory), [], `${row} leaves no file`)
    }
  }
)
