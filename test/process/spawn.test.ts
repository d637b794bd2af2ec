import '../helpers/plain-children.js'
import { chmodSync, existsSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { buffer, text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { isPluginError } from '../../lib/errors.js'
import { describeExit, spawnProcess, type SpawnOptions } from '../../lib/process/spawn.js'
import { terminate } from '../../lib/process/terminate.js'
import { fixture } from '../helpers/paths.js'

const env = { PATH: process.env['PATH'] ?? '' }

async function start(t: Test, command: readonly [string, ...string[]], options: Partial<SpawnOptions> = {}) {
  const child = await spawnProcess({ command, env, stream: 'fd', ...options })
  t.teardown(async () => {
    child.kill('SIGKILL', { group: true })
    child.stream!.destroy()
    await child.exited
  })
  return child
}

const shell = (script: string): [string, ...string[]] => ['sh', '-c', script]

async function spawnError(options: Partial<SpawnOptions> & Pick<SpawnOptions, 'command'>) {
  try {
    const child = await spawnProcess({ env, stream: 'fd', ...options })
    child.kill('SIGKILL')
  } catch (error) {
    if (isPluginError(error, 'ERR_PROCESS_SPAWN')) return error
    throw error
  }
  throw new Error('it was started')
}

await t.test('why a process cannot be started', async (t) => {
  const dir = t.testdir({
    'plain.sh': '#!/bin/sh\n',
    'shebang.sh': '#!/no/such/interpreter -x\n',
    'crlf.sh': '#!/bin/sh\r\nexit 0\r\n',
    bin: { tool: '#!/bin/sh\n', folder: {} },
    loop: t.fixture('symlink', 'loop')
  })
  for (const name of ['shebang.sh', 'crlf.sh']) chmodSync(join(dir, name), 0o755)
  chmodSync(join(dir, 'plain.sh'), 0o640)
  const path = (name: string): string => join(dir, name)

  await t.test('a name that is not in PATH', async (t) => {
    const error = await spawnError({ command: ['no-such-tool'], env: { PATH: '/bin:/opt/x' } })
    t.match(error, {
      message: /"no-such-tool".*PATH/,
      hint: /Searched \/bin:\/opt\/x\./,
      cause: { code: 'ENOENT' }
    })
    t.match(await spawnError({ command: ['no-such-tool'], env: {} }), { hint: /has no PATH/ })
  })

  await t.test('a path that does not exist, from the working directory of the child', async (t) => {
    const error = await spawnError({ command: ['./missing'], cwd: dir })
    t.match(error.message, `cannot start "./missing": "${path('missing')}" does not exist`)
  })

  await t.test('a file without the right to execute', async (t) => {
    const error = await spawnError({ command: [path('plain.sh')] })
    t.match(error, { message: /is not executable \(mode 0640, owner \d+:\d+\)/, hint: /chmod \+x/ })
    const found = await spawnError({ command: ['tool'], env: { PATH: path('bin') } })
    t.match(found, { message: new RegExp(`"${path('bin/tool')}" is not executable`) })
  })

  await t.test('a directory', async (t) => {
    t.match(await spawnError({ command: [dir] }), { message: /is a directory/, hint: /inside it/ })
    t.match(await spawnError({ command: ['folder'], env: { PATH: path('bin') } }), {
      message: /is a directory/
    })
  })

  await t.test('an interpreter that does not exist', async (t) => {
    const error = await spawnError({ command: [path('shebang.sh')] })
    t.match(error.message, `its interpreter "/no/such/interpreter", named in the first line of`)
    t.match(await spawnError({ command: [path('crlf.sh')] }), {
      message: /carriage return/,
      hint: /Unix line ends/
    })
  })

  await t.test('a dynamic loader that does not exist', async (t) => {
    const program = readFileSync(realpathSync('/bin/sh'))
    const at = program.indexOf('/ld-')
    if (process.platform !== 'linux' || at === -1) {
      t.pass('only on Linux with a dynamically linked shell')
      return
    }
    program.write('/xx-', at)
    writeFileSync(path('foreign'), program, { mode: 0o755 })
    t.match(await spawnError({ command: [path('foreign')] }), { message: /dynamic loader/, hint: /musl/ })
  })

  await t.test('a working directory that is none', async (t) => {
    const message = /working directory .* does not exist/
    t.match(await spawnError({ command: ['sh'], cwd: path('missing') }), { message, hint: /cwd/ })
    t.match(await spawnError({ command: ['sh'], cwd: path('plain.sh') }), { message: /is not a directory/ })
  })

  await t.test('what the system alone can tell', async (t) => {
    t.match(await spawnError({ command: ['sh', 'x'.repeat(4 * 2 ** 20)] }), { message: /E2BIG/ })
    t.match(await spawnError({ command: [path('loop')] }), { message: /ELOOP/ })
    t.match(await spawnError({ command: ['sh', 'a\0b'] }), { message: /null byte/ })
  })
})

await t.test('tells how the process ended', async (t) => {
  const cases = [
    ['exit 0', 'exited with code 0'],
    ['exit 3', 'exited with code 3'],
    ['kill -SEGV $$', 'was killed by SIGSEGV'],
    ['kill -KILL $$', 'was killed by SIGKILL']
  ] as const
  for (const [script, words] of cases) {
    const child = await start(t, shell(script))
    t.equal(describeExit(await child.exited), words)
    t.equal(child.kill('SIGTERM'), false, 'which cannot be signalled any more')
    t.equal(child.kill('SIGKILL', { group: true }), false)
  }
})

await t.test('gives the process the environment, directory and arguments it was told', async (t) => {
  const cwd = realpathSync(t.testdir({}))
  const child = await start(t, ['/usr/bin/env', 'sh', '-c', 'pwd; env; echo "$0"', 'a  b'], {
    cwd,
    env: { ...env, A: '1' }
  })
  const lines = (await text(child.stdout as Readable)).split('\n')
  t.equal(lines[0], cwd)
  t.ok(lines.includes('A=1'))
  t.notOk(lines.some((line) => line.startsWith('HOME=')))
  t.equal(lines.at(-2), 'a  b')
})

await t.test('the process leads its own group, with an empty standard input', async (t) => {
  const child = await start(t, shell('cat; echo $$; cut -d" " -f5 /proc/self/stat'))
  const [pid, group] = (await text(child.stdout as Readable)).split('\n')
  t.equal(Number(pid), child.pid)
  if (process.platform === 'linux') t.equal(Number(group), child.pid)
})

for (const stream of ['fd', 'stdio'] as const) {
  const [from, to] = stream === 'fd' ? ['<&3', '>&3'] : ['', '']

  await t.test(`8 MiB go both ways on ${stream}, and the end after them`, async (t) => {
    const child = await start(t, shell(`exec cat ${from} ${to}`), { stream })
    t.equal(child.stdout === undefined, stream === 'stdio')
    const sent = randomBytes(8 * 2 ** 20)
    child.stream!.end(sent)
    const received = await buffer(child.stream!)
    const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')
    t.equal(digest(received), digest(sent))
    t.strictSame(await child.exited, { code: 0, signal: null })
  })

  await t.test(`a writer on ${stream} waits for a process that does not read`, async (t) => {
    const child = await start(t, shell(`read go ${from}; cat ${from} >/dev/null`), { stream })
    let [written, drained] = [0, false]
    while (child.stream!.write(Buffer.alloc(65_536)) && written < 1000) written++
    child.stream!.once('drain', () => (drained = true))
    t.ok(written < 1000, 'write() says stop')
    t.notOk(drained)
    child.stream!.write('\n')
    child.stream!.end()
    await child.exited
    t.ok(child.stream!.writableFinished)
  })

  await t.test(`what a process wrote to ${stream} can be read after its end`, async (t) => {
    const child = await start(t, shell(`printf last ${to}; printf print >&2`), { stream })
    t.equal(await text(child.stderr), 'print')
    await child.exited
    t.equal(await text(child.stream!), 'last')
  })

  await t.test(`writing on ${stream} to a process that is gone breaks nothing but the stream`, async (t) => {
    const child = await start(t, shell('exit 0'), { stream })
    await child.exited
    const closed = new Promise<void>((resolve) => child.stream!.once('close', resolve))
    child.stream!.write('x')
    child.stream!.write(Buffer.alloc(2 ** 20))
    await closed
    t.ok(child.stream!.destroyed)
  })

  await t.test(`a host with an idle plugin on ${stream} ends when it was told not to wait`, async (t) => {
    const host = (...steps: string[]): [string, ...string[]] => {
      return [process.execPath, fixture('process-host.mjs'), stream, ...steps]
    }
    const options = { env: { ...env, TS_NODE_TRANSPILE_ONLY: '1' } }
    const unref = await start(t, host('unref'), options)
    t.equal(await text(unref.stdout as Readable), 'did not wait')
    const ref = await start(t, host('unref', 'ref', 'end'), options)
    t.equal(await text(ref.stdout as Readable), 'waited')
  })
}

await t.test('half a close leaves the other half usable', async (t) => {
  const child = await start(t, shell('cat <&3 >/dev/null; printf "still here" >&3'))
  child.stream!.end('x')
  t.equal(await text(child.stream!), 'still here')
})

await t.test('on stdio the process prints to stderr alone, which is captured', async (t) => {
  const child = await start(t, shell('echo out; echo err >&2'), { stream: 'stdio' })
  t.equal(child.stdout, undefined)
  t.equal(await text(child.stderr), 'err\n')
  t.equal(await text(child.stream!), 'out\n')
})

await t.test('what is left of the process group goes with the process', async (t) => {
  const child = await start(t, [process.execPath, fixture('process-tree.mjs'), 'group'], {
    drainMs: Infinity
  })
  child.stderr.resume()
  const printed = text(child.stdout as Readable)
  t.strictSame(await child.exited, { code: 0, signal: null }, 'settles although a grandchild held the pipes')
  t.match(await printed, /^\d+\n$/)
})

await t.test('a grandchild outside the group cannot hold back the exit', async (t) => {
  const child = await start(t, [process.execPath, fixture('process-tree.mjs'), 'apart'], { drainMs: 20 })
  const [line] = (await once(child.stdout as Readable, 'data')) as [Buffer]
  const grandchild = Number(line.toString())
  t.teardown(() => process.kill(grandchild, 'SIGKILL'))
  t.strictSame(await child.exited, { code: 0, signal: null })
  t.ok(child.stderr.destroyed, 'its pipes are closed')
  t.ok(process.kill(grandchild, 0), 'the grandchild still runs')
})

await t.test('a tree that ignores SIGTERM is killed as a whole', async (t) => {
  const child = await start(t, [process.execPath, fixture('process-tree.mjs'), 'stubborn'], {
    drainMs: Infinity
  })
  const stderr = text(child.stderr)
  await once(child.stdout as Readable, 'data')
  const steps: string[] = []
  const termSeen = once(child.stderr, 'data')
  const done = terminate(
    { exited: child.exited, kill: (signal, options) => child.kill(signal, options) },
    { exitMs: 1, termMs: 1000, onStep: (step) => steps.push(step) }
  )
  child.stdout?.resume()
  await termSeen
  t.strictSame(await done, { code: null, signal: 'SIGKILL' })
  t.strictSame(steps, ['SIGTERM', 'SIGKILL'])
  t.equal(await stderr, 'not now\n')
})

await t.test('a process that heeds SIGTERM is not killed', async (t) => {
  const child = await start(t, shell('trap "exit 5" TERM; echo ready; while :; do read x <&3; done'))
  await once(child.stdout as Readable, 'data')
  t.strictSame(await terminate(child, { exitMs: 1, termMs: 60_000 }), { code: 5, signal: null })
})

await t.test('no shell is involved', async (t) => {
  const dir = t.testdir({})
  const child = await start(t, ['echo', '$HOME; touch x > y'], { cwd: dir })
  t.equal(await text(child.stdout as Readable), '$HOME; touch x > y\n')
  t.notOk(existsSync(join(dir, 'x')))
})
