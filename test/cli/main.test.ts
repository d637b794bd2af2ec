import { once } from 'node:events'
import { closeSync, existsSync, openSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { gone } from '../helpers/launch.js'
import { packageRoot, runCli, startCli } from '../helpers/cli.js'

async function sampleDirectory(t: Test): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'muxplug-test-'))
  t.teardown(() => rm(dir, { recursive: true }))
  await mkdir(join(dir, 'sub'))
  await writeFile(join(dir, 'b.txt'), '')
  await writeFile(join(dir, 'a.txt'), '')
  return dir
}

/** Records of `--log-format json`. */
function records(stderr: string): Record<string, unknown>[] {
  return stderr
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}

for (const [transport, flags, handshake] of [
  ['auto', ['--transport', 'auto'], { stream: 'fd' }],
  ['socket', ['--transport', 'socket'], { network: 'unix', multiplexed: false, mtls: false }],
  ['socket-mux', ['--transport', 'socket-mux', '--mtls'], { network: 'unix', multiplexed: true, mtls: true }]
] as const) {
  t.test(`--transport ${transport}: the same listing, and nothing left behind`, async (t) => {
    const dir = await sampleDirectory(t)
    const temporary = await mkdtemp(join(tmpdir(), 'muxplug-test-'))
    t.teardown(() => rm(temporary, { recursive: true }))
    const env = { ...process.env, TMPDIR: temporary }
    const { code, stdout, stderr } = await runCli([...flags, '--log-format', 'json', dir], { env })
    t.equal(code, 0)
    t.equal(stdout, 'a.txt-f\nb.txt-f\nsub-d\n')
    t.match(
      records(stderr).find(({ msg }) => msg === 'handshake'),
      handshake
    )
    t.same(await readdir(temporary), [])
  })
}

t.test('a form of the stream cannot be asked for where there is none', async (t) => {
  const { code, stderr } = await runCli(['--transport', 'socket', '--stream', 'fd', tmpdir()])
  t.equal(code, 1)
  t.match(stderr, /ERR_CONFIG_CONFLICT/)
})

for (const stream of ['fd', 'stdio']) {
  t.test(
    `--stream ${stream}: the listing on stdout, the plugin's life on stderr, in its order`,
    async (t) => {
      const dir = await sampleDirectory(t)
      const { code, stdout, stderr } = await runCli(['--stream', stream, '--log-format', 'json', dir])
      t.equal(code, 0)
      t.equal(stdout, 'a.txt-f\nb.txt-f\nsub-d\n')
      const told = records(stderr)
      const messages = told.map(({ msg }) => msg)
      const story = [
        'starting plugin',
        'plugin started',
        'handshake',
        'using plugin',
        'host service registered',
        'established host services',
        'listed',
        'shutting down plugin',
        'plugin exited'
      ]
      t.same(
        messages.filter((message) => story.includes(message as string)),
        story
      )
      const find = (message: string) => told.find(({ msg }) => msg === message)
      t.match(find('starting plugin'), { level: 'debug', path: /filelister$/, args: [] })
      t.match(find('plugin started'), { pid: Number, plugin: 'filelister' })
      t.match(find('handshake'), { stream, wires: ['direct', 'h2'] })
      t.match(find('using plugin'), { version: 1, wire: 'direct' })
      t.match(find('host service registered'), { brokerId: 1 })
      t.match(find('established host services'), {
        level: 'info',
        brokerId: 1,
        '@module': 'filelister',
        stream: 'stderr'
      })
      t.match(find('plugin exited'), { exitCode: 0, signal: null })
      // Printed by the plugin with console.log, harmless on both forms.
      const printed = ['a.txt   false', 'b.txt   false', 'sub   true']
      for (const line of printed) t.match(find(line), { stream: stream === 'fd' ? 'stdout' : 'stderr' })
    }
  )
}

t.test('the default directory is the working directory, and the default log is for people', async (t) => {
  const dir = await sampleDirectory(t)
  const { code, stdout, stderr } = await runCli([], { cwd: dir })
  t.equal(code, 0)
  t.equal(stdout, 'a.txt-f\nb.txt-f\nsub-d\n')
  t.match(stderr, /DEBUG.*starting plugin/)
  t.match(stderr, /a\.txt {3}false/)
})

t.test('--quiet leaves stderr empty, --log-level drops what is below', async (t) => {
  const dir = await sampleDirectory(t)
  t.match(await runCli(['--quiet', dir]), { code: 0, stderr: '', stdout: /sub-d/ })
  const { stderr } = await runCli(['--log-level', 'info', '--log-format', 'json', dir])
  t.ok(records(stderr).length > 0)
  t.ok(records(stderr).every(({ level }) => level === 'info'))
})

t.test('--json prints the listing as JSON', async (t) => {
  const dir = await sampleDirectory(t)
  const { stdout } = await runCli(['--quiet', '--json', dir])
  t.same(JSON.parse(stdout), [
    { name: 'a.txt', isDir: false },
    { name: 'b.txt', isDir: false },
    { name: 'sub', isDir: true }
  ])
})

t.test('every transport flag takes its values and says which there are', async (t) => {
  const dir = await sampleDirectory(t)
  t.match(await runCli(['-q', '--stream', 'fd', '--wire', 'h2', '--muxer', 'libp2p', dir]), { code: 0 })
  for (const flag of ['--stream', '--wire', '--muxer', '--log-level', '--log-format']) {
    t.match(await runCli([flag, 'nonsense', dir]), { code: 2, stdout: '', stderr: /Allowed choices are/ })
  }
})

t.test('wrong usage exits with 2 and says how to get help', async (t) => {
  for (const args of [['--nonsense'], ['one', 'two'], ['']]) {
    t.match(await runCli(args), { code: 2, stdout: '', stderr: /--help/ })
  }
})

t.test('--help and --version print to stdout and exit with 0', async (t) => {
  const help = await runCli(['--help'])
  t.match(help, { code: 0, stderr: '' })
  for (const word of ['--stream', '--wire', '--muxer', '--quiet', '--json', 'Exit codes', 'Examples']) {
    t.ok(help.stdout.includes(word), word)
  }
  const { version } = JSON.parse(await readFile(join(packageRoot, 'package.json'), 'utf8')) as {
    version: string
  }
  t.match(await runCli(['--version']), { code: 0, stdout: `${version}\n`, stderr: '' })
})

t.test('a directory that cannot be listed: exit code 1 and one paragraph naming it', async (t) => {
  const dir = await sampleDirectory(t)
  const missing = join(dir, 'missing')
  t.match(await runCli([missing]), { code: 1, stdout: '', stderr: `host: ${missing} does not exist.` })
  const file = join(dir, 'a.txt')
  t.match(await runCli([file]), { code: 1, stdout: '', stderr: `host: ${file} is not a directory.` })
  const json = await runCli(['--log-format', 'json', '-q', missing])
  t.match(JSON.parse(json.stderr), {
    level: 'error',
    code: 'ERR_CONFIG_INVALID',
    msg: /does not exist/,
    hint: String
  })
})

const noUsers = process.getuid === undefined && 'no users on this platform'

t.test('a directory that may not be read is told as such', { skip: noUsers }, async (t) => {
  const dir = await sampleDirectory(t)
  const locked = join(dir, 'locked')
  await mkdir(locked, { mode: 0o000 })
  // The superuser may read everything, so as root the command runs as nobody.
  const asNobody = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {}
  if (process.getuid?.() === 0) {
    const { chmod } = await import('node:fs/promises')
    await chmod(dir, 0o755)
  }
  const result = await runCli([locked], asNobody)
  t.match(result, { code: 1, stdout: '', stderr: `host: ${locked} may not be read by this user.` })
})

t.test('a reader that has seen enough is no failure', async (t) => {
  const dir = await sampleDirectory(t)
  const child = startCli(['-q', dir])
  child.stdout!.destroy()
  const [code] = (await once(child, 'close')) as [number]
  t.equal(code, 0)
})

const noFull = !existsSync('/dev/full') && 'there is no /dev/full here'

t.test('a listing that cannot be written is a failure with its reason', { skip: noFull }, async (t) => {
  const dir = await sampleDirectory(t)
  const full = openSync('/dev/full', 'w')
  t.teardown(() => closeSync(full))
  const child = startCli(['-q', dir], { stdio: ['ignore', full, 'pipe'] })
  const [stderr, [code]] = await Promise.all([text(child.stderr!), once(child, 'close') as Promise<[number]>])
  t.equal(code, 1)
  t.match(stderr, /cannot be written to stdout: ENOSPC/)
})

t.test('a name given by the user cannot break the message or reach the terminal', async (t) => {
  const { code, stderr } = await runCli(['no\nsuch\u001b[31m'])
  t.equal(code, 1)
  t.match(stderr, 'host: no\\nsuch\\x1b[31m does not exist.')
})

t.test('a signal ends the host also while nobody reads its stdout', async (t) => {
  const dir = await sampleDirectory(t)
  // More than a pipe holds.
  await Promise.all(
    Array.from({ length: 3000 }, (_, index) => writeFile(join(dir, `${'long '.repeat(40)}${index}`), ''))
  )
  const child = startCli(['--log-format', 'json', dir])
  for await (const line of createInterface(child.stderr!)) {
    if ((JSON.parse(line) as { msg: string }).msg === 'plugin exited') break
  }
  child.stderr!.resume()
  // Nothing is left to do but to write the listing.
  const exited = once(child, 'exit') as Promise<[number]>
  child.kill('SIGTERM')
  const [code] = await exited
  t.equal(code, 143)
})

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143]
] as const) {
  t.test(`${signal} ends the plugin first, then the host with code ${code}`, async (t) => {
    const dir = await sampleDirectory(t)
    const child = startCli(['--log-format', 'json', dir])
    let pid = 0
    for await (const line of createInterface(child.stderr!)) {
      const record = JSON.parse(line) as { msg: string; pid: number }
      if (record.msg !== 'plugin started') continue
      pid = record.pid
      child.kill(signal)
      break
    }
    child.stderr!.resume()
    const [exitCode] = (await once(child, 'close')) as [number]
    t.equal(exitCode, code)
    await gone(pid)
  })
}
