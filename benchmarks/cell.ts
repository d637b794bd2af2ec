import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import type { Metrics, Timing } from './measure.js'
import type { Row } from './rows.js'

/** What a host program is asked to do, as JSON in its first argument. */
export interface CellRequest extends Timing {
  readonly row: string
  readonly case: string
}

/** What came of it. */
export type CellResult =
  { readonly t: 'measured'; readonly metrics: Metrics } | { readonly t: 'failed'; readonly reason: string }

/** Where the host's plugin writes its profile; not set when it is to write none. */
export const profileVariable = 'BENCH_PLUGIN_PROFILE'

/** Flags with which Node writes a CPU profile to `file` when the process exits; none without a file. */
export function profileFlags(file: string | undefined): string[] {
  if (file === undefined) return []
  return ['--cpu-prof', `--cpu-prof-dir=${dirname(file)}`, `--cpu-prof-name=${basename(file)}`]
}

/** A cell that takes longer hangs. The longest is `live-1000`, most of it not measured. */
const cellTimeoutMs = 60_000

/** How long processes that were asked to leave may take. */
const leaveMs = 1500

/**
 * Measures one case of one row, once: in a host process of its own, which starts the plugin, with a temporary directory
 * of their own. When `signal` is aborted, the processes are ended and it rejects with the signal's reason.
 *
 * With a directory as `profile`, host and plugin of a row in Node write `CASE-ROW-host.cpuprofile` and
 * `CASE-ROW-plugin.cpuprofile` there, over those of an earlier round.
 */
export async function measureCell(
  row: Row,
  request: CellRequest,
  signal: AbortSignal,
  profile?: string
): Promise<CellResult> {
  signal.throwIfAborted()
  const directory = await mkdtemp(join(tmpdir(), 'bench-'))
  try {
    const profileOf = (end: 'host' | 'plugin'): string | undefined =>
      profile === undefined ? undefined : join(profile, `${request.case}-${row.name}-${end}.cpuprofile`)
    const [program, ...args] = hostCommand(row, profileOf('host'))
    const child = spawn(program, [...args, JSON.stringify(request)], {
      // A group of its own: also what the host has started is in it, unless it has left the group on purpose.
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...withoutLoaders(process.env), TMPDIR: directory, [profileVariable]: profileOf('plugin') }
    })
    return await watch(child, signal)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function watch(child: ChildProcess, signal: AbortSignal): Promise<CellResult> {
  const timeout = new AbortController()
  const timer = setTimeout(() => timeout.abort(), cellTimeoutMs)
  let killing: NodeJS.Timeout | undefined
  // The end of its stdin tells a host to end its plugin and itself.
  const end = (): void => {
    child.stdin!.destroy()
    killing = setTimeout(() => killGroup(child), leaveMs)
  }
  const either = AbortSignal.any([signal, timeout.signal])
  const exited = new Promise<number | string | null>((resolve) => {
    child.once('error', ({ code }: NodeJS.ErrnoException) => resolve(`${child.spawnfile}: ${code}`))
    child.once('exit', (code, by) => resolve(code ?? by))
  })
  const output = Promise.all([text(child.stdout!), text(child.stderr!)])
  either.addEventListener('abort', end, { once: true })
  try {
    const code = await exited
    // What the host has left behind holds its output open.
    killGroup(child)
    const [stdout, stderr] = await output
    signal.throwIfAborted()
    if (timeout.signal.aborted) return failed(`nothing came of it within ${cellTimeoutMs / 1000} s`)
    if (child.pid === undefined) return failed(String(code))
    if (code !== 0) return failed(messageIn(stderr) ?? `its host has ended with ${code}`)
    return { t: 'measured', metrics: JSON.parse(stdout) as Metrics }
  } finally {
    clearTimeout(timer)
    clearTimeout(killing)
    either.removeEventListener('abort', end)
  }
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // Nobody is left in it.
  }
}

function hostCommand({ host }: Row, profile: string | undefined): readonly [string, ...string[]] {
  if (host.t === 'program') return host.command
  return [process.execPath, ...profileFlags(profile), fileURLToPath(new URL('host.js', import.meta.url))]
}

/** Those of a test runner are for this process, not for what is measured. */
function withoutLoaders({ NODE_OPTIONS: _loaders, ...env }: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return env
}

function failed(reason: string): CellResult {
  return { t: 'failed', reason }
}

/** What an uncaught error prints ends with a stack and Node's version: its message is what counts. */
function messageIn(stderr: string): string | undefined {
  const lines = stderr.trim().split('\n')
  const message = lines.find((line) => /^(\w*Error|panic|fatal)\b/.test(line)) ?? lines.at(-1)
  return message?.slice(0, 300) || undefined
}
