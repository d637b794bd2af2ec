import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join, relative } from 'node:path'
import t, { type Test } from 'tap'
import { Echo } from '#proto/echo/v1/echo.js'
import type { LaunchOptions } from '../../lib/host/index.js'
import { fixtureOptions, launchFixture } from '../helpers/launch.js'
import { launchFailure, watchTraces } from '../helpers/traces.js'

const traces = watchTraces(t)

/** Another temporary directory for the rest of the test. */
function temporaryDirectory(t: Test, path: string): void {
  process.env['TMPDIR'] = path
  t.teardown(() => {
    process.env['TMPDIR'] = traces.dir
  })
}

/** Launches, calls, dials the plugin and is dialled by it. Gives the transport. */
async function use(t: Test, options: Partial<LaunchOptions>): Promise<string> {
  const { plugin } = await launchFixture(t, 'plugin-echo.mjs', options)
  const echo = plugin.dispense(Echo)
  const { text } = await echo.echo({ text: 'serve' })
  const answer = await plugin.broker.dial(Number(text)).dispense(Echo).echo({ text: 'dialled' })
  t.equal(answer.text, 'brokered dialled')
  const served = plugin.broker.serve(Echo, {
    echo: ({ text }: { text: string }) => ({ text: `host: ${text}` })
  } as never)
  const payload = Buffer.alloc(4)
  payload.writeUInt32BE(served.id)
  t.match(await echo.echo({ text: 'call-back', payload }), { text: 'host: called back' })
  await plugin.close()
  return plugin.transport
}

t.test('a temporary directory with a path too long for sockets does not matter', async (t) => {
  const long = join(traces.dir, 'd'.repeat(90))
  mkdirSync(long)
  temporaryDirectory(t, long)
  t.equal(await use(t, {}), 'stream')
  t.equal(await use(t, { transport: 'socket' }), 'socket')
  t.equal(await use(t, { transport: 'socket-mux' }), 'socket-mux')
  rmSync(long, { recursive: true })
})

t.test('without a temporary directory a plugin on the stream does as well', async (t) => {
  temporaryDirectory(t, join(traces.dir, 'not-there'))
  t.equal(await use(t, {}), 'stream')
  const error = await launchFailure(fixtureOptions('plugin-echo.mjs', { transport: 'socket' }))
  t.match(error, { code: 'ERR_SOCKET_LISTEN', message: /not-there/ })
})

t.test(
  'a relative directory is that of the host, whatever the working directory of the plugin',
  async (t) => {
    const above = mkdtempSync(join(traces.dir, 'a '))
    t.teardown(() => rmSync(above, { recursive: true, force: true }))
    const dir = relative(process.cwd(), above)
    const cwd = join(above, 'below')
    mkdirSync(cwd)
    for (const transport of ['socket', 'socket-mux'] as const) {
      t.equal(await use(t, { transport, cwd, socketDir: dir }), transport)
    }
    temporaryDirectory(t, dir)
    for (const transport of ['socket', 'socket-mux'] as const) {
      t.equal(await use(t, { transport, cwd }), transport)
    }
  }
)

t.test('nothing is left', () => traces.gone())
