import '../helpers/plain-children.js'
import { execFileSync } from 'node:child_process'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { runCli } from '../helpers/cli.js'

async function directory(t: Test): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'muxplug-test-'))
  t.teardown(() => rm(dir, { recursive: true }))
  return dir
}

t.test('10,000 entries list completely and in order', async (t) => {
  const dir = await directory(t)
  const names = Array.from({ length: 10_000 }, (_, index) => `file ${String(index).padStart(5, '0')}`)
  for (const name of names) writeFileSync(join(dir, name), '')
  const { code, stdout } = await runCli(['--quiet', dir])
  t.equal(code, 0)
  t.equal(stdout, names.map((name) => `${name}-f\n`).join(''))
})

t.test('names with spaces, newlines, escapes, emoji and bytes that are not UTF-8', async (t) => {
  const dir = await directory(t)
  const raw = Buffer.concat([Buffer.from(`${dir}/caf`), Buffer.of(0xe9), Buffer.from(' ok')])
  try {
    writeFileSync(raw, '')
  } catch {
    t.pass('not here', { skip: 'this file system takes only UTF-8 names' })
    return
  }
  for (const name of [
    'two words',
    'line\nbreak',
    'esc\u001b[31m',
    'caf\u00e9',
    '\u{1F600} smile',
    'back\\slash',
    '-dash'
  ]) {
    writeFileSync(join(dir, name), '')
  }
  const { code, stdout } = await runCli(['--quiet', dir])
  t.equal(code, 0)
  t.same(stdout.split('\n'), [
    '-dash-f',
    'back\\slash-f',
    'caf\u00e9-f',
    'caf\\xe9 ok-f',
    'esc\\x1b[31m-f',
    'line\\nbreak-f',
    'two words-f',
    '\u{1F600} smile-f',
    ''
  ])
  const json = await runCli(['--quiet', '--json', dir])
  const entries = JSON.parse(json.stdout) as { name: string; rawName?: string }[]
  t.ok(
    entries.some(({ name }) => name === 'line\nbreak'),
    'exact in JSON'
  )
  const odd = entries.find(({ rawName }) => rawName !== undefined)!
  t.same(Buffer.from(odd.rawName!, 'base64'), raw.subarray(dir.length + 1))
})

t.test(
  'links, sockets and FIFOs are files; directories are directories; nothing is opened or followed',
  async (t) => {
    const dir = await directory(t)
    mkdirSync(join(dir, 'directory'))
    symlinkSync('directory', join(dir, 'link to directory'))
    symlinkSync('nowhere', join(dir, 'dangling link'))
    symlinkSync('loop', join(dir, 'loop'))
    execFileSync('mkfifo', [join(dir, 'fifo')])
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(join(dir, 'socket'), resolve))
    t.teardown(() => server.close())
    const { code, stdout } = await runCli(['--quiet', dir])
    t.equal(code, 0)
    t.equal(stdout, 'dangling link-f\ndirectory-d\nfifo-f\nlink to directory-f\nloop-f\nsocket-f\n')
  }
)

t.test('an empty directory is an empty listing', async (t) => {
  const dir = await directory(t)
  t.match(await runCli(['--quiet', dir]), { code: 0, stdout: '' })
  t.match(await runCli(['--quiet', '--json', dir]), { code: 0, stdout: '[]\n' })
})
