import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { once } from 'node:events'
import { watch } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { packageRoot, startCli } from '../helpers/cli.js'

/** Inodes of every socket in this network namespace that listens, of every family that a program could use. */
function listeningInodes(): Set<string> {
  const inodes = new Set<string>()
  const table = (file: string): string[][] => {
    return readFileSync(`/proc/net/${file}`, 'utf8')
      .trimEnd()
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
  }
  for (const file of ['tcp', 'tcp6']) for (const row of table(file)) if (row[3] === '0A') inodes.add(row[9]!)
  // Any UDP socket would be one too many.
  for (const file of ['udp', 'udp6']) for (const row of table(file)) inodes.add(row[9]!)
  // Flag 0x10000 is set on a unix socket that listens (linux/net.h, __SO_ACCEPTCON).
  for (const row of table('unix')) if (parseInt(row[3]!, 16) & 0x10000) inodes.add(row[6]!)
  return inodes
}

interface OpenFiles {
  readonly listening: string[]
  readonly writableFiles: string[]
}

function openFiles(pid: number): OpenFiles {
  const inodes = listeningInodes()
  const listening: string[] = []
  const writableFiles: string[] = []
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    const seen = descriptor(pid, fd)
    if (seen === undefined) continue
    const inode = /^socket:\[(\d+)\]$/.exec(seen.target)?.[1]
    if (inode !== undefined && inodes.has(inode)) listening.push(seen.target)
    if (!seen.target.startsWith('/') || seen.target.startsWith('/dev/')) continue
    if (seen.flags & 0o3) writableFiles.push(seen.target)
  }
  return { listening, writableFiles }
}

/** What a descriptor is and how it was opened; undefined when it has been closed meanwhile. */
function descriptor(
  pid: number,
  fd: string
): { readonly target: string; readonly flags: number } | undefined {
  try {
    const target = readlinkSync(`/proc/${pid}/fd/${fd}`)
    const flags = /^flags:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))![1]!
    return { target, flags: parseInt(flags, 8) }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Children of a process, as the kernel lists them. */
function children(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .trim()
    .split(/\s+/)
    .filter(Boolean)
    .map(Number)
}

const skip = process.platform !== 'linux' && 'it reads /proc'

t.test(
  'during a whole run neither process listens on anything, and no file is created',
  { skip },
  async (t) => {
    const dir = await mkdtemp(join(tmpdir(), 'muxplug-test-'))
    t.teardown(() => rm(dir, { recursive: true }))
    const listed = join(dir, 'listed')
    const temporary = join(dir, 'tmp')
    const working = join(dir, 'cwd')
    const { mkdir } = await import('node:fs/promises')
    await Promise.all([listed, temporary, working].map((path) => mkdir(path)))
    // So many entries that the log of them does not fit into a pipe: the host stops in the middle of its run, for as
    // long as nobody reads its stderr.
    const names = Array.from({ length: 5000 }, (_, index) => `entry-${String(index).padStart(4, '0')}`)
    await Promise.all(names.map((name) => writeFile(join(listed, name), '')))

    for (const [what, stream, TMPDIR] of [
      ['an empty TMPDIR', 'fd', temporary],
      ['a TMPDIR that does not exist', 'stdio', join(dir, 'nowhere')]
    ] as const) {
      await t.test(`${what}, stream ${stream}`, async (t) => {
        const changes: string[] = []
        const watchers = [temporary, working, listed, dir].map((path) =>
          watch(path, (event, name) => changes.push(`${event} ${path}/${name}`))
        )
        t.teardown(() => watchers.forEach((watcher) => watcher.close()))
        const { NODE_OPTIONS: _loaders, ...env } = process.env
        const child = startCli(['--stream', stream, '--log-format', 'json', listed], {
          cwd: working,
          env: { ...env, TMPDIR }
        })
        const closed = once(child, 'close')
        const stdout = text(child.stdout!)
        const host = child.pid!
        // The host is stopped once its log holds more than a pipe does; until then, look again and again.
        let samples = 0
        let plugin: number | undefined
        const before = { blocked: 0, at: -1 }
        while (before.blocked < 20) {
          await new Promise((resolve) => setTimeout(resolve, 5))
          plugin ??= children(host)[0]
          for (const pid of [host, plugin]) {
            if (pid === undefined) continue
            const { listening, writableFiles } = openFiles(pid)
            if (listening.length > 0 || writableFiles.length > 0) t.same({ listening, writableFiles }, {})
            samples += 1
          }
          const written = Number(/^wchar: (\d+)/m.exec(readFileSync(`/proc/${host}/io`, 'utf8'))![1])
          before.blocked = plugin !== undefined && written === before.at ? before.blocked + 1 : 0
          before.at = written
        }
        t.ok(samples > 20)
        t.ok(plugin !== undefined)
        child.stderr!.resume()
        const [code] = (await closed) as [number]
        t.equal(code, 0)
        t.equal((await stdout).trimEnd().split('\n').length, names.length)
        t.same(changes, [], 'nothing was created, changed or removed')
        t.same(await readdir(temporary), [])
        t.same(await readdir(working), [])
      })
    }
    t.ok((await readdir(packageRoot)).includes('package.json'))
  }
)
