import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { type LaunchOptions, PluginError, launch } from '../../lib/host/index.js'
import { isRunning } from './launch.js'

/** What a test file could leave behind. */
export interface Traces {
  /** A temporary directory of its own, for this process and the plugins that it launches. */
  readonly dir: string
  /** What is in it. */
  files(): string[]
  /** Resolves once no file is left, and nothing more that keeps this process running than at first. */
  gone(): Promise<void>
}

/** Makes a temporary directory for the rest of this process, and takes note of what is open. */
export function watchTraces(t: Test): Traces {
  const before = process.env['TMPDIR']
  const dir = mkdtempSync(join(tmpdir(), 'traces-'))
  process.env['TMPDIR'] = dir
  t.teardown(() => {
    if (before === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = before
    rmSync(dir, { recursive: true })
  })
  const first = openResources()
  const files = (): string[] => readdirSync(dir)

  function left(): string[] {
    const more = openResources()
    for (const kind of first) {
      const at = more.indexOf(kind)
      if (at >= 0) more.splice(at, 1)
    }
    return [...more, ...files()]
  }

  return {
    dir,
    files,
    async gone() {
      // What has been closed goes a moment later.
      const deadline = performance.now() + 3000
      while (left().length > 0) {
        if (performance.now() > deadline) throw new Error(`left behind: ${left().join(', ')}`)
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
  }
}

/** Kinds of what keeps this process running, standard output and what passes by itself aside. */
function openResources(): string[] {
  return process.getActiveResourcesInfo().filter((kind) => !/^(?:Immediate|FSReq|GetAddrInfo)/.test(kind))
}

/** Launches what must fail, and gives the error. By then the process has to be gone. */
export async function launchFailure(options: LaunchOptions): Promise<PluginError> {
  const failure = await launch(options).then(
    (plugin) => plugin.kill(),
    (error: Error) => error
  )
  if (failure === undefined) throw new Error('the launch did not fail')
  if (!(failure instanceof PluginError)) throw failure
  if (failure.pid !== undefined && isRunning(failure.pid)) throw new Error(`plugin ${failure.pid} still runs`)
  return failure
}
