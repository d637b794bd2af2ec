// The examples under plugins/ that docs/patterns tells of: each a plugin, its host, and a page.
import { access, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Test } from 'tap'
import {
  type LaunchOptions,
  type Plugin,
  type PluginError,
  isPluginError,
  launch,
  readManifest
} from 'muxplug/host'
import { readPage, runCommand } from '../docs/listings.js'
import { isRunning } from './launch.js'
import { packageRoot } from './paths.js'

/** Launches the plugin of an example as its host does, for one test. */
export async function launchExample(
  t: Test,
  example: string,
  options: Partial<LaunchOptions> = {}
): Promise<Plugin> {
  const { name, command, handshake } = await readManifest(join(packageRoot, 'plugins', example))
  // An idle plugin does not keep this process running.
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => clearInterval(alive))
  const plugin = await launch({ name, command, handshake, ...options })
  t.teardown(async () => {
    await plugin.kill()
    if (isRunning(plugin.pid)) throw new Error(`plugin ${plugin.pid} outlived its test`)
  })
  return plugin
}

/** What a call fails with: status and details are compared more easily than by `t.rejects`. */
export async function failureOf(call: Promise<unknown>): Promise<PluginError> {
  const [outcome] = await Promise.allSettled([call])
  if (outcome.status === 'fulfilled') throw new Error('the call did not fail')
  if (!isPluginError(outcome.reason)) throw outcome.reason
  return outcome.reason
}

/** Checks a page of docs/patterns: its commands print what it says, its listings are in their files, its links lead somewhere. */
export async function checkPage(t: Test, example: string): Promise<void> {
  const path = `docs/patterns/${example}.md`
  const page = await readPage(path)
  t.ok(page.commands.length > 0, 'the page runs something')
  for (const { command, output } of page.commands) {
    t.equal(await runCommand({ command }, packageRoot), output, command)
  }
  t.ok(page.parts.size > 0, 'the page shows something')
  for (const [file, listing] of page.parts) {
    const text = await readFile(join(packageRoot, file), 'utf8')
    t.ok(text.includes(listing), `the listing is a part of ${file}`)
  }
  const prose = page.text.replaceAll(/```[^]*?```/g, '')
  for (const [, target] of prose.matchAll(/\]\((?!https?:)([^)#]+)[^)]*\)/g)) {
    await t.resolves(access(join(packageRoot, dirname(path), target!)), target!)
  }
}
