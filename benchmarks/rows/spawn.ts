import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { profileFlags, profileVariable } from '../cell.js'

/** The command of a program in `plugins/`. It writes a profile where the cell asks for one. */
export function nodePlugin(name: string): [string, ...string[]] {
  return [process.execPath, ...profileFlags(process.env[profileVariable]), pluginPath(name)]
}

/** The file of a program in `plugins/`. */
export function pluginPath(name: string): string {
  return fileURLToPath(new URL(`../plugins/${name}.js`, import.meta.url))
}

/** Starts a plugin of a row that has no launcher of its own. */
export function spawnPlugin(
  name: string,
  stdio: StdioOptions,
  options: { readonly env?: NodeJS.ProcessEnv; readonly serialization?: 'advanced' } = {}
): ChildProcess {
  const [program, ...args] = nodePlugin(name)
  const child = spawn(program, args, { stdio, ...options, env: { ...process.env, ...options.env } })
  // The calls that it leaves without an answer must not wait for ever.
  child.once('exit', (code, signal) => {
    if (code !== 0) throw new Error(`the plugin has ended by itself: ${signal ?? code}`)
  })
  return child
}

export async function exited(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
}
