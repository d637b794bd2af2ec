// What a host of this package tries with a plugin: the same as go/host/cases.go.
import { EventEmitter, once } from 'node:events'
import { readFile, readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { Echo } from '#proto/echo/v1/echo.js'
import {
  type Client,
  type LaunchOptions,
  type Plugin,
  type PluginError,
  type Served,
  implement
} from '../../lib/host/index.js'
import { type RecordingLogger, isRunning, launchFixture } from '../helpers/launch.js'
import { type Command, nodeProgram, socketsBelow } from './programs.js'
import { answersInClear, foreignCertificate, serverCertificate } from './probe.js'

/** How host and plugin are connected. */
export interface Setting {
  readonly transport: 'socket' | 'socket-mux'
  readonly autoMtls: boolean
}

/** A plugin launched for one case, with all that it says. */
export interface Session {
  readonly plugin: Plugin
  readonly echo: Client<typeof Echo>
  readonly logger: RecordingLogger
  readonly output: Output
}

interface Context {
  readonly setting: Setting
  readonly command: Command
  launch(options?: Partial<LaunchOptions>): Promise<Session>
}

type Case = (t: Test, context: Context) => Promise<void>

/** Limit of one case: a text that never comes must not hold up the others. */
const caseTimeoutMs = 30_000

const mebibyte = Buffer.alloc(1024 * 1024, '0123456789abcdef')

/** Every case by its name, in the order of the Go host's. Each has a plugin of its own. */
export const cases: Readonly<Record<string, Case>> = {
  async ping(_t, { launch }) {
    const { plugin } = await launch()
    await plugin.ping()
  },

  async unary(t, { launch }) {
    const { echo } = await launch()
    for (const payload of [Buffer.alloc(0), Buffer.from('few'), mebibyte]) {
      const answer = await echo.echo({ text: 'päck', payload })
      t.equal(answer.text, 'päck')
      t.ok(payload.equals(answer.payload), `${payload.length} bytes`)
    }
  },

  async status(t, { launch }) {
    const { echo } = await launch()
    await t.rejects(echo.fail({ code: 5, details: 'nichts da: ä' }), {
      code: 'ERR_CALL_FAILED',
      status: 5,
      details: /^nichts da: ä$/
    })
  },

  async 'server stream'(t, { launch }) {
    const { echo } = await launch()
    let count = 0
    for await (const { index, payload } of echo.repeat({ text: 'again', count: 20, payload: mebibyte })) {
      t.equal(index, count++)
      t.ok(mebibyte.equals(payload))
    }
    t.equal(count, 20)
  },

  async 'client stream'(t, { launch }) {
    const { echo } = await launch()
    const texts = ['a', 'b', 'c']
    const answer = await echo.collect(texts.map((text) => ({ text, payload: Buffer.from(text) })))
    t.match({ ...answer, payload: String(answer.payload) }, { text: 'abc', payload: 'abc', count: 3 })
  },

  async 'bidirectional stream'(t, { launch }) {
    const { echo } = await launch()
    const answers = new EventEmitter()
    const ping = async function* () {
      for (let sent = 0; sent < 100; sent++) {
        const answer = once(answers, 'next')
        yield { text: 'ball' }
        await answer
      }
    }
    let answered = 0
    for await (const { index } of echo.chat(ping())) {
      if (index !== answered) t.equal(index, answered)
      answered++
      answers.emit('next')
    }
    t.equal(answered, 100)
  },

  async deadline(t, { launch }) {
    const { echo } = await launch()
    await t.rejects(echo.sleep({ ms: 60_000 }, { timeoutMs: 50 }), { code: 'ERR_CALL_FAILED', status: 4 })
  },

  async cancellation(t, { launch }) {
    const { plugin, echo, output } = await launch()
    const cancel = new AbortController()
    const reason = new Error('no longer wanted')
    const hanging = t.rejects(echo.echo({ text: 'hang' }, { signal: cancel.signal }), reason)
    // The answer to a later call says that this one is there.
    await echo.echo({ text: 'other' })
    cancel.abort(reason)
    await hanging
    await output.seen('stderr', 'cancelled\n')
    await plugin.ping()
  },

  async 'plugin calls host'(t, { launch }) {
    const { plugin, echo } = await launch()
    t.equal(await callBack(plugin, echo, 'host: '), 'host: called back')
  },

  async 'host calls brokered service'(t, { launch }) {
    const { plugin, echo } = await launch()
    await using connection = plugin.broker.dial(await brokeredId(echo))
    const brokered = connection.dispense(Echo)
    for (let round = 0; round < 3; round++) {
      t.match(await brokered.echo({ text: 'hello' }), { text: 'brokered hello' })
    }
  },

  async 'many broker dials'(t, { launch, setting }) {
    const { plugin, echo } = await launch()
    // Those on one socket wait for each other, because go-plugin pairs them by their order. TLS with
    // go-plugin's certificates takes both processes some ms each, and go-plugin gives all of them 5 s.
    const count = setting.transport === 'socket' && !setting.autoMtls ? 200 : 50
    const numbers = Array.from({ length: count }, (_, index) => index)
    const [called, dialled] = await Promise.all([
      Promise.all(numbers.map((index) => callBack(plugin, echo, `${index} `))),
      Promise.all(
        numbers.map(async (index) => {
          await using connection = plugin.broker.dial(await brokeredId(echo))
          return (await connection.dispense(Echo).echo({ text: String(index) })).text
        })
      )
    ])
    t.same(
      called,
      numbers.map((index) => `${index} called back`)
    )
    t.same(
      dialled,
      numbers.map((index) => `brokered ${index}`)
    )
  },

  'transport security': (t, context) =>
    context.setting.transport === 'socket' ? probeSockets(t, context) : readTheWire(t, context),

  async 'stdout and stderr'(t, { launch }) {
    const { echo, output } = await launch()
    const numbers = Array.from({ length: 100 }, (_, index) => index)
    for (const number of numbers) await echo.echo({ text: 'print', payload: Buffer.from(String(number)) })
    await output.seen('stdout', 'out 99\n')
    await output.seen('stderr', 'err 99\n')
    t.equal(output.text('stdout'), numbers.map((number) => `out ${number}\n`).join(''))
    t.equal(output.text('stderr'), numbers.map((number) => `err ${number}\n`).join(''))
  },

  async logs(t, { launch }) {
    const { echo, logger } = await launch()
    await echo.echo({ text: 'log', payload: Buffer.from('mind the gap') })
    t.match(await logger.seen(({ message }) => message === 'mind the gap'), {
      level: 'warn',
      fields: { answer: 42, '@module': 'echo' }
    })
  },

  async crash(t, { launch }) {
    const { plugin, echo, logger } = await launch()
    const error = (await echo.echo({ text: 'crash' }).catch((failure: unknown) => failure)) as PluginError
    t.match(error, {
      code: 'ERR_PROCESS_EXITED',
      status: 14,
      message: /exited with code [12]; last on stderr: ".+"/,
      cause: { exitCode: Number, stderrTail: [/./] }
    })
    t.match(await logger.seen(({ message }) => message.includes('boom in the plugin')), { level: 'error' })
    await plugin.closed
    t.match(await plugin.exited, { code: Number, signal: null })
    await t.rejects(plugin.ping(), { code: 'ERR_PROCESS_EXITED' })
  },

  async shutdown(t, { launch }) {
    const { plugin, logger } = await launch()
    await plugin.ping()
    await plugin.close()
    t.same(await plugin.exited, { code: 0, signal: null })
    // A signal that had to be sent, and anything else that did not go as it should, is a warning.
    t.same(
      logger.records.filter(({ level }) => level === 'warn' || level === 'error'),
      []
    )
  }
}

/** Runs every case with a plugin of its own, which has to leave no process and nothing in TMPDIR. */
export async function runCases(t: Test, command: Command, setting: Setting): Promise<void> {
  for (const [name, run] of Object.entries(cases)) {
    await t.test(name, { timeout: caseTimeoutMs }, async (t) => {
      const sessions: Session[] = []
      const launch = async (options: Partial<LaunchOptions> = {}): Promise<Session> => {
        const session = await launchSession(t, { command, ...setting, ...options })
        sessions.push(session)
        return session
      }
      await run(t, { setting, command, launch })
      for (const { plugin } of sessions) {
        await plugin.close()
        t.notOk(isRunning(plugin.pid), 'the plugin is gone')
      }
      t.same(await readdir(tmpdir()), [], 'nothing is left behind')
    })
  }
}

/** Launches a plugin with the Echo service. */
export async function launchSession(t: Test, options: Partial<LaunchOptions>): Promise<Session> {
  const output = createOutput()
  const { plugin, logger } = await launchFixture(t, 'echo', { onOutput: output.take, ...options })
  return { plugin, logger, output, echo: plugin.dispense(Echo) }
}

/** What a plugin has printed. */
interface Output {
  readonly take: NonNullable<LaunchOptions['onOutput']>
  text(channel: 'stdout' | 'stderr'): string
  /** Resolves once a text has come. */
  seen(channel: 'stdout' | 'stderr', text: string): Promise<void>
}

function createOutput(): Output {
  const printed = { stdout: '', stderr: '' }
  const changes = new EventEmitter()
  return {
    take(channel, bytes) {
      printed[channel] += Buffer.from(bytes).toString('latin1')
      changes.emit(channel)
    },
    text: (channel) => printed[channel],
    async seen(channel, text) {
      while (!printed[channel].includes(text)) await once(changes, channel)
    }
  }
}

function serveEcho(plugin: Plugin, say: string): Served {
  const service = implement(Echo, { echo: ({ text }) => ({ text: `${say}${text}` }) })
  return plugin.broker.accept(plugin.broker.nextId(), [service])
}

/** Lets the plugin call a service of this host, which puts `say` before what it is told. */
export async function callBack(plugin: Plugin, echo: Client<typeof Echo>, say: string): Promise<string> {
  await using served = serveEcho(plugin, say)
  return (await echo.echo({ text: 'call-back', payload: idBytes(served.id) })).text
}

/** A broker ID as the plugin's `call-back` wants it. */
function idBytes(id: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(id)
  return bytes
}

/** A service that the plugin offers under a fresh ID. */
export async function brokeredId(echo: Client<typeof Echo>): Promise<number> {
  return Number((await echo.echo({ text: 'serve' })).text)
}

/** Tries the sockets of both sides, as anybody could who reaches them. */
async function probeSockets(t: Test, { launch, setting }: Context): Promise<void> {
  const { plugin, echo } = await launch()
  await brokeredId(echo)
  await using served = serveEcho(plugin, '')
  await served.ready
  const paths = await socketsBelow(tmpdir())
  t.equal(paths.length, 3, "the plugin's main socket, and a brokered one of each side")
  const certificates = new Set<string>()
  for (const path of paths) {
    t.equal(await answersInClear(path), !setting.autoMtls, 'a client without TLS')
    if (!setting.autoMtls) continue
    certificates.add((await serverCertificate(path)).certificate)
    t.notOk((await serverCertificate(path)).answered, 'a client without a certificate')
    t.notOk((await serverCertificate(path, await foreignCertificate())).answered, 'a client with another one')
  }
  t.equal(certificates.size, setting.autoMtls ? 2 : 0, 'each side has one certificate for all its sockets')
  t.equal(await callBack(plugin, echo, 'after all: '), 'after all: called back')
}

/** Looks for what is said, in all three directions, among the bytes on the one socket. */
async function readTheWire(t: Test, { launch, setting, command }: Context): Promise<void> {
  const record = join(t.testdirName, 'record')
  t.testdir({ record: '' })
  const { plugin, echo } = await launch({
    command: [...nodeProgram('eavesdrop.mjs'), ...command],
    env: { EAVESDROP: record }
  })
  await echo.echo({ text: 'said to the plugin' })
  t.equal(await callBack(plugin, echo, 'said by the host: '), 'said by the host: called back')
  await using connection = plugin.broker.dial(await brokeredId(echo))
  await connection.dispense(Echo).echo({ text: 'under an ID' })
  const bytes = await readFile(record, 'latin1')
  t.ok(bytes.length > 1000, 'it has all passed here')
  for (const text of ['said to the plugin', 'said by the host', 'brokered under an ID']) {
    t.equal(bytes.includes(text), !setting.autoMtls, text)
  }
}
