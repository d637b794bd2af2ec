import '../helpers/plain-children.js'
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, copyFileSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Duplex, Readable, Writable } from 'node:stream'
import { buffer, text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import ts from 'typescript'
import { joinStdio } from '../../lib/stream/stdio.js'
import { packageRoot } from '../helpers/paths.js'

const root = packageRoot
const sources = ['errors', 'duplex', 'stream/descriptor', 'stream/fd', 'stream/stdio'].map(
  (name) => `lib/${name}.ts`
)

/** The fixture beside the compiled modules it imports: a child that compiles for itself takes seconds to start. */
function compiledFixture(): string {
  const target = t.testdir({
    'package.json': '{ "type": "module" }',
    lib: { stream: {} },
    test: { fixtures: {} }
  })
  const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023 }
  for (const source of sources) {
    const { outputText } = ts.transpileModule(readFileSync(join(root, source), 'utf8'), { compilerOptions })
    writeFileSync(join(target, source.replace('.ts', '.js')), outputText)
  }
  const fixture = 'test/fixtures/process-stream.mjs'
  copyFileSync(join(root, fixture), join(target, fixture))
  return join(target, fixture)
}

const fixture = compiledFixture()
const node = [process.execPath, fixture]
const env = { PATH: process.env['PATH'] }

function reap(t: Test, child: ChildProcess): void {
  const exited = once(child, 'exit')
  t.teardown(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    try {
      process.kill(-(child.pid as number), 'SIGKILL')
    } catch {
      // Gone already.
    }
    await exited
  })
}

/** The fixture on stdio that Node made: sockets. */
function onSockets(t: Test, args: readonly string[], stdio: StdioOptions): ChildProcess {
  const [program, ...rest] = [...node, ...args] as [string, ...string[]]
  const child = spawn(program, rest, { stdio, env, detached: true })
  reap(t, child)
  return child
}

/** The fixture on stdio that a shell made: plain pipes, as behind ssh or docker. */
function onPipes(t: Test, ...args: string[]): ChildProcess {
  const quoted = [...node, ...args].map((word) => `'${word}'`).join(' ')
  // The shell must not hold the ends itself.
  const script = `exec 3<&0; cat <&3 3<&- | ${quoted} 3<&- | cat 3<&- & exec 3<&- >&-; wait`
  const child = spawn('sh', ['-c', script], { stdio: 'pipe', env, detached: true })
  reap(t, child)
  return child
}

function fdStream(child: ChildProcess): Duplex {
  const stream = child.stdio[3] as Duplex
  stream.allowHalfOpen = true
  return stream
}

function stdioStream(child: ChildProcess): Duplex {
  return joinStdio(child.stdout as Readable, child.stdin as Writable)
}

const kinds = {
  'descriptor 3': (t: Test, act: string) => {
    const child = onSockets(t, ['3', act], ['ignore', 'pipe', 'pipe', 'pipe'])
    return { child, stream: fdStream(child) }
  },
  'stdio that is sockets': (t: Test, act: string) => {
    const child = onSockets(t, ['stdio', act], 'pipe')
    return { child, stream: stdioStream(child) }
  },
  'stdio that is pipes': (t: Test, act: string) => {
    const child = onPipes(t, 'stdio', act)
    return { child, stream: stdioStream(child) }
  }
}

for (const [name, start] of Object.entries(kinds)) {
  await t.test(`8 MiB come back over ${name}, and the end after them`, async (t) => {
    const { child, stream } = start(t, 'echo')
    const exited = once(child, 'exit')
    const sent = randomBytes(8 * 2 ** 20)
    stream.end(sent)
    const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')
    t.equal(digest(await buffer(stream)), digest(sent))
    t.strictSame(await exited, [0, null])
  })

  await t.test(`the plugin may end its half of ${name} first`, async (t) => {
    const { child, stream } = start(t, 'end-first')
    t.equal(await readToEnd(stream), 'last words\n')
    stream.end('heard you')
    t.equal(await text(child.stderr as Readable), 'heard you')
  })

  await t.test(`the plugin may answer over ${name} after the host has ended its half`, async (t) => {
    const { stream } = start(t, 'reply-after-end')
    stream.end('question')
    t.equal(await readToEnd(stream), 'heard all')
  })

  await t.test(`the end of ${name} is seen while the plugin stays`, async (t) => {
    const { stream } = start(t, 'end-and-stay')
    t.equal(await text(stream), 'bye')
  })

  await t.test(`destroying ${name} is seen while the plugin stays`, async (t) => {
    const { stream } = start(t, 'destroy-and-stay')
    const closed = new Promise((resolve) => stream.once('close', resolve).once('end', resolve))
    stream.on('error', () => {})
    stream.resume()
    stream.write('go')
    await closed
    t.pass('the stream ended')
  })

  await t.test(`a plugin writing to ${name} survives the end of its host`, async (t) => {
    const { child, stream } = start(t, 'write-on')
    stream.on('error', () => {})
    await once(stream, 'data')
    const exited = once(child, 'exit')
    stream.destroy()
    // The `cat` that makes the pipe may have a complaint of its own to add, before or after.
    t.match(await text(child.stderr as Readable), /closed/)
    t.strictSame((await exited)[1], null)
  })
}

/** As `text()`, which would destroy the stream after its end. */
async function readToEnd(stream: Duplex): Promise<string> {
  let received = ''
  stream.on('data', (chunk: Buffer) => (received += chunk.toString()))
  await once(stream, 'end')
  return received
}

async function problem(child: ChildProcess): Promise<unknown> {
  return JSON.parse(await text(child.stderr as Readable))
}

await t.test('descriptors that cannot carry the stream are named with their kind', async (t) => {
  const file = openSync(fixture, 'r')
  t.teardown(() => closeSync(file))
  const code = 'ERR_HANDSHAKE_TRANSPORT'
  const hint = /npx, npm run, tsx.*stdio/

  const closed = onSockets(t, ['200'], ['ignore', 'pipe', 'pipe'])
  t.match(await problem(closed), {
    code,
    message: 'descriptor 200 is closed, not a socket that carries both directions',
    hint
  })
  const dropped = onSockets(t, ['3'], ['ignore', 'pipe', 'pipe'])
  t.match(await problem(dropped), { code, message: /^descriptor 3 is / }, 'Node has opened it for itself')
  const onFile = onSockets(t, ['3'], ['ignore', 'pipe', 'pipe', file])
  t.match(await problem(onFile), { code, message: /^descriptor 3 is a file,/, hint })
  const noInput = onSockets(t, ['stdio'], ['ignore', 'pipe', 'pipe'])
  t.match(await problem(noInput), {
    code,
    message: 'descriptor 0 is a device, not a pipe or a socket',
    hint: /ssh -t/
  })
  const toFile = onSockets(t, ['stdio'], ['pipe', file, 'pipe'])
  t.match(await problem(toFile), { code, message: /^descriptor 1 is a file,/ })
})

await t.test('a one-way pipe cannot carry both directions', async (t) => {
  const script = `echo | exec 3<&0 ${node.map((word) => `'${word}'`).join(' ')} 3`
  const child = spawn('sh', ['-c', script.replace('exec 3<&0 ', '') + ' 3<&0'], {
    stdio: 'pipe',
    env,
    detached: true
  })
  reap(t, child)
  t.match(await problem(child), { code: 'ERR_HANDSHAKE_TRANSPORT', message: /^descriptor 3 is a pipe,/ })
})

await t.test('standard input has one reader: the stream, or process.stdin', async (t) => {
  t.match(await problem(onSockets(t, ['stdio', 'stdin-first'], 'pipe')), {
    code: 'ERR_HANDSHAKE_TRANSPORT',
    message: 'descriptor 0 is already being read by this process',
    hint: /process\.stdin/
  })
  t.match(await problem(onSockets(t, ['stdio', 'stdin-after'], 'pipe')), { code: 'EEXIST' })
})
