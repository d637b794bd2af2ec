import '../helpers/plain-children.js'
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { fixture, gone } from '../helpers/launch.js'
import { watchTraces } from '../helpers/traces.js'

const traces = watchTraces(t)

interface Early {
  readonly plugin: string
  readonly transport: 'auto' | 'socket' | 'socket-mux' | 'stream'
  /** The record at which the host ends. */
  readonly at: string
  readonly leave: 'exit' | 'SIGKILL'
}

/** Runs a host that ends within its launch, and gives the plugin's process. */
async function leaveEarly(t: Test, { plugin, transport, at, leave }: Early): Promise<number> {
  const host = spawn(process.execPath, [fixture('host-leaves-early.mjs')], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      TRANSPORT: transport,
      AT: at,
      LEAVE: leave,
      COMMAND: JSON.stringify([process.execPath, fixture(plugin)])
    }
  })
  t.teardown(() => host.kill('SIGKILL'))
  for await (const line of createInterface(host.stdout)) return Number(line)
  throw new Error('the host has ended before it started its plugin')
}

t.test('a host that exits while it launches takes with it what would not notice', async (t) => {
  // It prints its line and listens to nobody.
  const plugin = 'plugin-go-style.mjs'
  for (const transport of ['auto', 'socket', 'socket-mux', 'stream'] as const) {
    await gone(await leaveEarly(t, { plugin, transport, at: 'plugin started', leave: 'exit' }))
  }
  await gone(await leaveEarly(t, { plugin, transport: 'socket', at: 'handshake', leave: 'exit' }))
  await traces.gone()
})

t.test('a plugin whose host is killed before it can answer ends', async (t) => {
  const plugin = 'plugin-go-serves.mjs'
  for (const transport of ['auto', 'socket', 'socket-mux', 'stream'] as const) {
    await gone(await leaveEarly(t, { plugin, transport, at: 'plugin started', leave: 'SIGKILL' }))
  }
})
