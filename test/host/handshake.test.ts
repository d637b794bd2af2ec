import '../helpers/plain-children.js'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Echo } from '#proto/echo/v1/echo.js'
import { type LaunchOptions, PluginError, launch } from '../../lib/host/index.js'
import { fixtureOptions, launchFixture, recordingLogger, streamForms } from '../helpers/launch.js'
import { fileURLToPath } from 'node:url'

/** Launches what must fail, and gives the error. */
async function failure(options: LaunchOptions): Promise<PluginError> {
  try {
    const plugin = await launch(options)
    await plugin.kill()
  } catch (error) {
    if (error instanceof PluginError) return error
    throw error
  }
  throw new Error('the launch did not fail')
}

for (const stream of streamForms) {
  t.test(`stream ${stream}`, async (t) => {
    t.test('exit before the line: exit code and last stderr lines are in the message', async (t) => {
      const error = await failure(fixtureOptions('plugin-exits-early.mjs', { stream }))
      t.match(error, {
        code: 'ERR_PROCESS_EXITED',
        exitCode: 7,
        signal: null,
        stderrTail: ['first line of trouble', 'cannot read its configuration'],
        message: /exited with code 7 .*"first line of trouble" "cannot read its configuration"/,
        hint: String
      })
    })

    t.test('death by a signal before the line: the signal is in the message', async (t) => {
      const error = await failure(fixtureOptions('plugin-dies-early.mjs', { stream }))
      t.match(error, { code: 'ERR_PROCESS_EXITED', exitCode: null, signal: 'SIGKILL', message: /SIGKILL/ })
    })

    t.test('no line in time: the time and what to do are told, and the process is gone', async (t) => {
      const error = await failure(fixtureOptions('plugin-silent.mjs', { stream, startTimeoutMs: 50 }))
      t.match(error, {
        code: 'ERR_HANDSHAKE_TIMEOUT',
        message: /within 50 ms/,
        hint: /startTimeoutMs/,
        pid: Number
      })
      t.throws(() => process.kill(error.pid!, 0), { code: 'ESRCH' })
    })

    t.test('junk instead of the line is quoted, escaped and bounded', async (t) => {
      const error = await failure(fixtureOptions('plugin-junk.mjs', { stream }))
      t.match(error, { code: 'ERR_HANDSHAKE_MALFORMED', message: /"Welcome to the\\u001b\[31m machine"/ })
      t.match(error.message, /and \d+ more lines/)
      t.ok(error.message.length < 2000)
    })

    for (const [mode, code, message] of [
      ['core', 'ERR_HANDSHAKE_MALFORMED', /2/],
      ['version', 'ERR_HANDSHAKE_MALFORMED', /one/],
      ['network', 'ERR_HANDSHAKE_MALFORMED', /carrier pigeon/],
      ['netrpc', 'ERR_HANDSHAKE_TRANSPORT', /netrpc/],
      ['wire', 'ERR_HANDSHAKE_TRANSPORT', /smoke-signals.*h2/]
    ] as const) {
      t.test(`a line with a wrong ${mode} is refused with the value seen`, async (t) => {
        const error = await failure(fixtureOptions('plugin-half-line.mjs', { stream, env: { MODE: mode } }))
        t.match(error, { code, message, hint: String })
      })
    }

    t.test('half a line and silence is a time-out, half a line and the end is not a handshake', async (t) => {
      const half = fixtureOptions('plugin-half-line.mjs', {
        stream,
        env: { MODE: 'half' },
        startTimeoutMs: 500
      })
      t.match(await failure(half), { code: 'ERR_HANDSHAKE_TIMEOUT' })
      const closes = fixtureOptions('plugin-half-line.mjs', { stream, env: { MODE: 'closes' } })
      t.match(await failure(closes), { code: 'ERR_HANDSHAKE_MALFORMED' })
    })

    t.test('no version in common: both lists are shown', async (t) => {
      const error = await failure(
        fixtureOptions('plugin-versions.mjs', { stream, versions: { 1: [], 4: [] } })
      )
      t.match(error, { code: 'ERR_HANDSHAKE_VERSION', message: /2, 3.*1, 4/, hint: String })
    })

    t.test('the newest version in common is spoken, with its own services', async (t) => {
      for (const [versions, chosen] of [
        [{ 1: [], 2: [Echo], 3: [Echo], 9: [] }, 3],
        [{ 1: [], 2: [Echo] }, 2]
      ] as const) {
        const { plugin } = await launchFixture(t, 'plugin-versions.mjs', {
          stream,
          handshake: { cookieKey: 'ECHO_PLUGIN', cookieValue: 'echo' },
          versions
        })
        t.equal(plugin.version, chosen)
        t.equal((await plugin.dispense(Echo).echo({})).text, `version ${chosen}`)
      }
    })

    t.test('a wrong cookie is told as such, without its value', async (t) => {
      const handshake = { cookieKey: 'ECHO_PLUGIN', cookieValue: 'sesame', protocolVersion: 1 }
      const error = await failure(fixtureOptions('plugin-echo.mjs', { stream, handshake }))
      t.match(error, { code: 'ERR_HANDSHAKE_COOKIE', message: /ECHO_PLUGIN/, exitCode: 1 })
      t.notMatch(error.message, /sesame/)
    })
  })
}

t.test('a banner before the line on stdio is skipped and logged', async (t) => {
  const { plugin, logger } = await launchFixture(t, 'plugin-banner.mjs', { stream: 'stdio' })
  t.equal((await plugin.dispense(Echo).echo({ text: 'fine' })).text, 'fine')
  const skipped = logger.records.filter(({ message }) => message === 'skipped before the handshake')
  t.same(
    skipped.flatMap(({ fields }) => fields['lines']),
    ['Last login: yesterday', '', '*** authorised use only ***']
  )
})

t.test('a plugin that answers with a socket is refused where only the stream will do', async (t) => {
  for (const stream of streamForms) {
    const error = await failure(fixtureOptions('plugin-go-style.mjs', { transport: 'stream', stream }))
    t.match(error, { code: 'ERR_HANDSHAKE_TRANSPORT', message: /unix/, hint: /auto/ })
  }
})

t.test('a plugin that answers with a socket nobody listens on cannot be reached', async (t) => {
  for (const stream of streamForms) {
    const error = await failure(fixtureOptions('plugin-go-style.mjs', { stream }))
    t.match(error, { code: 'ERR_SOCKET_CONNECT', message: /plugin-not-there/ })
  }
})

t.test('behind a launcher that drops the extra descriptor', async (t) => {
  const options = fixtureOptions('plugin-echo.mjs')
  const script = `require('node:child_process').spawn(process.execPath, process.argv.slice(1), { stdio: 'inherit' })
    .on('exit', (code) => process.exit(code))`
  const [node, ...args] = options.command
  const behind = { ...options, command: [node, '-e', script, ...args] as const, stream: 'fd' } as const

  t.test('a plugin that may only use the stream says what has happened', async (t) => {
    const error = await failure({ ...behind, transport: 'stream' })
    t.match(error, { code: 'ERR_HANDSHAKE_TRANSPORT', hint: /stdio/ })
  })

  t.test('a plugin answers on a socket where the host takes that too', async (t) => {
    const plugin = await launch(behind)
    t.equal(plugin.transport, 'socket-mux')
    t.equal((await plugin.dispense(Echo).echo({ text: 'inside' })).text, 'inside')
    await plugin.close()
  })
})

t.test('a program known to forward only stdin and stdout gets the stream stdio by default', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'muxplug-test-'))
  t.teardown(() => rm(dir, { recursive: true }))
  const launcher = join(dir, 'docker')
  await writeFile(launcher, '#!/bin/sh\nexec 3>&-\nexec "$@"\n')
  await chmod(launcher, 0o755)
  const options = fixtureOptions('plugin-echo.mjs')
  const logger = recordingLogger()
  const plugin = await launch({ ...options, command: [launcher, ...options.command], logger })
  t.equal((await plugin.dispense(Echo).echo({ text: 'inside' })).text, 'inside')
  t.ok(logger.records.some(({ message }) => /forwards only stdin and stdout/.test(message)))
  await plugin.close()
})

t.test('a program that cannot be started is told with what to do', async (t) => {
  const options = fixtureOptions('plugin-echo.mjs')
  const missing = await failure({ ...options, command: ['muxplug-no-such-program'] })
  t.match(missing, { code: 'ERR_PROCESS_SPAWN', message: /muxplug-no-such-program/, hint: String })
  const notExecutable = await failure({
    ...options,
    command: [fileURLToPath(import.meta.url)]
  })
  t.match(notExecutable, { code: 'ERR_PROCESS_SPAWN', hint: String })
})
