import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process'
import type { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { joinHalves, type RefDuplex } from '../duplex.js'
import { settlesWithin } from '../signal.js'
import type { Exit } from './exit.js'
import { spawnFailure } from './diagnose.js'

export { describeExit, type Exit } from './exit.js'

export interface SpawnOptions {
  /** Program and arguments; no shell is involved. A name without a slash is searched for in `env.PATH`. */
  readonly command: readonly [string, ...string[]]
  /** Default: this process's. A relative program path starts there. */
  readonly cwd?: string | undefined
  /** The whole environment: nothing is inherited. */
  readonly env: Readonly<Record<string, string>>
  /**
   * `fd`: one more stdio slot, a socket on descriptor 3. `stdio`: the child's standard input and output. `none`: neither.
   */
  readonly stream: 'fd' | 'stdio' | 'none'
  /** Standard input where it is not the stream. Default `ignore`: the null device. */
  readonly stdin?: 'ignore' | 'inherit' | undefined
  /** How long `exited` waits for output pipes that outlive the process. Default 1000. */
  readonly drainMs?: number
}

/** A process that was started, as far as the host deals with it. */
export interface ChildProcessHandle extends ProcessHandle {
  /**
   * The stream between host and plugin, with half-close. It belongs to the caller, who reads, ends and unrefs it.
   * undefined where none was asked for.
   */
  readonly stream: RefDuplex | undefined
  /** What the process prints, for someone to read all the time; undefined where standard output is the stream. */
  readonly stdout: Readable | undefined
  readonly stderr: Readable
}

/** A process, however it came to be. */
export interface ProcessHandle {
  readonly pid: number
  /**
   * Settles once the process has ended. Never rejects. A child is reaped then, what is left of its process group has been
   * killed, and its output pipes have ended, at most `drainMs` later: a process outside the group may hold them open,
   * and so does a reader that stopped. They are destroyed then.
   */
  readonly exited: Promise<Exit>
  /**
   * Sends a signal to the process, or to its whole process group. False when it is gone already, or is one that this
   * user may not signal (sudo). On Windows it ends the process alone, whatever the signal (untested).
   */
  kill(signal: NodeJS.Signals, options?: { readonly group?: boolean }): boolean
  /** Whether the process and its output pipes, not the stream, keep this process's event loop alive. At first they do. */
  ref(): void
  unref(): void
}

/**
 * Starts a process as the leader of its own process group, so that a Ctrl-C at the terminal reaches the host alone.
 * @throws `ERR_PROCESS_SPAWN` when it cannot be started, with the reason found and its cure as hint
 */
export async function spawnProcess(options: SpawnOptions): Promise<ChildProcessHandle> {
  const { command, cwd, env, drainMs = 1000 } = options
  const [file, ...args] = command
  let child: ChildProcess
  try {
    child = spawn(file, args, {
      cwd,
      env,
      stdio: slots(options),
      detached: process.platform !== 'win32',
      windowsHide: true
    })
  } catch (cause) {
    throw spawnFailure(cause, options)
  }
  const handle = superviseChild(child, options.stream, drainMs)

  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', (cause) => reject(spawnFailure(cause, options)))
  })
  return handle
}

function slots({ stream, stdin = 'ignore' }: SpawnOptions): StdioOptions {
  if (stream === 'stdio') return ['pipe', 'pipe', 'pipe']
  if (stream === 'none') return [stdin, 'pipe', 'pipe']
  return [stdin, 'pipe', 'pipe', process.platform === 'win32' ? 'overlapped' : 'pipe']
}

function superviseChild(
  child: ChildProcess,
  kind: SpawnOptions['stream'],
  drainMs: number
): ChildProcessHandle {
  const [stdin, stdout, stderr, slot] = child.stdio as unknown as [Socket | null, Socket, Socket, Socket?]
  const outputs = kind === 'stdio' ? [stderr] : [stdout, stderr]
  for (const emitter of [child, stdin, stdout, stderr, slot]) emitter?.on('error', () => {})

  // As the child exits, Node sets every pipe listed here flowing, which would drop what nobody has read yet.
  ;(child.stdio as unknown[]).fill(null)
  // Node makes the slot close its own half when the peer has closed the other.
  if (slot !== undefined) slot.allowHalfOpen = true

  // Undefined only if the child was never spawned; then nobody gets this handle.
  const pid = child.pid ?? Number.NaN
  const killGroup = (signal: NodeJS.Signals): boolean => {
    if (process.platform === 'win32') return child.kill(signal)
    try {
      return process.kill(-pid, signal)
    } catch {
      return false
    }
  }

  let exit: Exit | undefined
  const reaped = new Promise<Exit>((resolve) => {
    child.once('exit', (code, signal) => {
      exit = { code, signal }
      killGroup('SIGKILL')
      resolve(exit)
    })
  })
  const drained = Promise.all(
    outputs.map((pipe) => new Promise<void>((resolve) => pipe.once('close', resolve)))
  )
  const exited = reaped.then(async (exit) => {
    await settlesWithin(drained, drainMs)
    for (const pipe of outputs) pipe.destroy()
    return exit
  })

  return {
    pid,
    stream: kind === 'stdio' ? joinHalves(stdout, stdin as Socket) : slot,
    stdout: kind === 'stdio' ? undefined : stdout,
    stderr,
    exited,
    kill: (signal, { group = false } = {}) => {
      if (exit !== undefined) return false
      return group ? killGroup(signal) : child.kill(signal)
    },
    ref: () => [child, ...outputs].forEach((part) => part.ref()),
    unref: () => [child, ...outputs].forEach((part) => part.unref())
  }
}
