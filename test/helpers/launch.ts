import './plain-children.js'
import { readFileSync } from 'node:fs'
import type { Test } from 'tap'
import { type LaunchOptions, type LogFields, type Logger, type Plugin, launch } from '../../lib/host/index.js'
import { logLevels } from '../../lib/log.js'
import { fixture } from './paths.js'

/** Both forms of the stream: every test with a real child runs on each. */
export const streamForms = ['fd', 'stdio'] as const

export const echoHandshake = { cookieKey: 'ECHO_PLUGIN', cookieValue: 'echo', protocolVersion: 1 }

export { fixture } from './paths.js'

export interface LogRecord {
  readonly level: string
  readonly fields: LogFields
  readonly message: string
}

export interface RecordingLogger extends Logger {
  readonly records: LogRecord[]
  /** Resolves with the first record, past or future, that matches. */
  seen(match: (record: LogRecord) => boolean): Promise<LogRecord>
}

/** Keeps what is logged, and lets a test wait for a record instead of sleeping. */
export function recordingLogger(): RecordingLogger {
  const records: LogRecord[] = []
  const waiting = new Set<(record: LogRecord) => void>()
  const log = (level: string) => (fields: LogFields, message: string) => {
    const record = { level, fields, message }
    records.push(record)
    for (const wake of waiting) wake(record)
  }
  const methods = Object.fromEntries(logLevels.map((level) => [level, log(level)])) as unknown as Logger
  return {
    ...methods,
    records,
    seen(match) {
      const past = records.find(match)
      if (past !== undefined) return Promise.resolve(past)
      return new Promise((resolve) => {
        const wake = (record: LogRecord): void => {
          if (!match(record)) return
          waiting.delete(wake)
          resolve(record)
        }
        waiting.add(wake)
      })
    }
  }
}

export interface LaunchedFixture {
  readonly plugin: Plugin
  readonly logger: RecordingLogger
}

/** Launch options for a fixture; `behave` tells the echo plugin how to (mis)behave. */
export function fixtureOptions(
  name: string,
  { behave, ...options }: Partial<LaunchOptions> & { readonly behave?: object } = {}
): LaunchOptions {
  return {
    name: name.replace(/^plugin-|\.mjs$/g, ''),
    command: [process.execPath, fixture(name)],
    handshake: echoHandshake,
    ...options,
    env: { ...options.env, ...(behave === undefined ? {} : { ECHO_OPTIONS: JSON.stringify(behave) }) }
  }
}

/**
 * Launches a fixture. When the test is over the plugin must end, or the test fails: no process outlives its test.
 */
export async function launchFixture(
  t: Test,
  name: string,
  options: Partial<LaunchOptions> & { readonly behave?: object } = {}
): Promise<LaunchedFixture> {
  const logger = recordingLogger()
  // An idle plugin does not keep this process running, and a test may wait for nothing but a log record.
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => clearInterval(alive))
  const plugin = await launch({ logger, ...fixtureOptions(name, options) })
  t.teardown(async () => {
    await plugin.kill()
    if (isRunning(plugin.pid)) throw new Error(`plugin ${plugin.pid} outlived its test`)
  })
  return { plugin, logger }
}

/** Whether a process runs: one that has ended and waits for init to take note of it does not. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch {
    return false
  }
  if (process.platform !== 'linux') return true
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

/** Resolves once no process `pid` exists. */
export async function gone(pid: number): Promise<void> {
  while (isRunning(pid)) {
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
