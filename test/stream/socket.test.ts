import '../helpers/plain-children.js'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, lstatSync, mkdirSync, readdirSync, unlinkSync, writeFileSync } from 'node:fs'
import { type AddressInfo, Server, type Socket, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { buffer, text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { type RefHandle, createRefGroup } from '../../lib/stream/ref-group.js'
import { createSocketDir } from '../../lib/stream/socket-dir.js'
import { groupId } from '../../lib/stream/socket-group.js'
import {
  longestPathBytes,
  newSocketPath,
  parseSocketName,
  processSpace
} from '../../lib/stream/socket-path.js'
import { type ListenSocketOptions, connectSocket, listenSocket } from '../../lib/stream/socket.js'
import { shortDir } from '../helpers/short-dir.js'

async function listen(t: Test, options: Partial<ListenSocketOptions> & { kind: 'unix' | 'tcp' }) {
  const connections: Socket[] = []
  const listener = await listenSocket({
    onConnection: (connection) => {
      connections.push(connection)
      connection.end('hello')
    },
    ...options
  })
  t.teardown(() => {
    for (const connection of connections) connection.destroy()
    return listener.close()
  })
  return listener
}

t.test('a unix socket takes connections under a name that begins with plugin', async (t) => {
  const dir = shortDir(t)
  const listener = await listen(t, { kind: 'unix', dir })
  t.equal(listener.network, 'unix')
  t.match(basename(listener.address), /^plugin/)
  t.match(parseSocketName(basename(listener.address)), { pid: process.pid, space: processSpace() })
  t.same(readdirSync(dir), [basename(listener.address)])
  t.equal(await text(await connectSocket(listener)), 'hello')
  t.equal(await text(await connectSocket(listener)), 'hello')
})

t.test('without a directory it is in the temporary one', async (t) => {
  const listener = await listen(t, { kind: 'unix' })
  t.equal(join(listener.address, '..'), tmpdir())
})

t.test('only this user may connect, whatever the umask, which is left as it was', async (t) => {
  const before = process.umask(0)
  t.teardown(() => process.umask(before))
  const dir = shortDir(t)
  const { address } = await listen(t, { kind: 'unix', dir })
  t.equal(lstatSync(address).mode & 0o777, 0o600)
  t.equal(process.umask(), 0)
})

t.test('it is so from the moment the file is there', async (t) => {
  const { umask } = process
  const set: unknown[] = []
  t.teardown(() => Object.assign(process, { umask }))
  const before = umask()
  Object.assign(process, {
    umask: (mask: number) => {
      set.push(mask)
      return umask.call(process, mask)
    }
  })
  await listen(t, { kind: 'unix', dir: shortDir(t) })
  t.same(set, [0o177, before])
})

t.test('a group may connect too when it is named, by number or name', async (t) => {
  const dir = shortDir(t)
  const gid = process.getgid?.() ?? 0
  const { address } = await listen(t, { kind: 'unix', dir, group: String(gid) })
  t.equal(lstatSync(address).mode & 0o777, 0o660)
  t.equal(lstatSync(address).gid, gid)
  if (process.getuid?.() !== 0) return
  const other = await listen(t, { kind: 'unix', dir, group: '54321' })
  t.equal(lstatSync(other.address).gid, 54_321)
})

t.test('groups are numbers first, then names of the group file', async (t) => {
  const file = join(
    t.testdir({ group: 'root:x:0:\nplugins:x:777:alice,bob\n12:x:99:\nbroken\nplug:x:no:\n' }),
    'group'
  )
  t.equal(await groupId('1000', file), 1000)
  t.equal(await groupId('12', file), 12, 'a number, even where a group is called so')
  t.equal(await groupId('plugins', file), 777)
  for (const name of ['plug', 'alice', '', '-1', '4294967295', '99999999999', 'broken']) {
    await t.rejects(groupId(name, file), { code: 'ERR_CONFIG_INVALID' }, name)
  }
  await t.rejects(groupId('plugins', join(file, 'none')), { code: 'ERR_CONFIG_INVALID' })
  await t.rejects(listenSocket({ kind: 'unix', group: 'no such group', onConnection: () => {} }), {
    code: 'ERR_CONFIG_INVALID'
  })
})

t.test('closing removes the file and takes nobody any more; connections stay', async (t) => {
  const dir = shortDir(t)
  const accepted: Socket[] = []
  const listener = await listen(t, {
    kind: 'unix',
    dir,
    onConnection: (connection) => accepted.push(connection)
  })
  const connection = await connectSocket(listener)
  connection.write('still here')
  await listener.close()
  await listener.close()
  t.notOk(existsSync(listener.address))
  await t.rejects(connectSocket(listener), { code: 'ERR_SOCKET_CONNECT', cause: { code: 'ENOENT' } })
  connection.end()
  t.equal(String(await buffer(accepted[0]!)), 'still here')
})

t.test('in a directory of ours the name is short', async (t) => {
  const { path } = await createSocketDir({ dir: shortDir(t) })
  const { address } = await listen(t, { kind: 'unix', dir: path })
  t.match(basename(address), /^plugin[0-9a-f]{10}$/)
})

t.test('listening keeps the process running as the group says', async (t) => {
  for (const kind of ['unix', 'tcp'] as const) {
    const refs = createRefGroup()
    const added: RefHandle[] = []
    await listen(t, {
      kind,
      refs: {
        ...refs,
        add(handle) {
          added.push(handle)
          refs.add(handle)
        }
      }
    })
    t.equal(added.length, 1)
    t.equal(added[0] instanceof Server, true)
  }
})

t.test('a path that is too long is refused with its length, nothing being made', async (t) => {
  const dir = join(shortDir(t), 'd'.repeat(100))
  mkdirSync(dir)
  await t.rejects(listen(t, { kind: 'unix', dir }), {
    code: 'ERR_CONFIG_INVALID',
    message: new RegExp(`${Buffer.byteLength(newName(dir))} bytes`)
  })
  t.same(readdirSync(dir), [])
  await t.rejects(connectSocket({ network: 'unix', address: join(dir, 'x') }), { code: 'ERR_CONFIG_INVALID' })

  const room = longestPathBytes - Buffer.byteLength(newName(''))
  const base = shortDir(t)
  const fits = join(base, 'd'.repeat(room - Buffer.byteLength(base) - 2))
  mkdirSync(fits)
  const longest = await listen(t, { kind: 'unix', dir: fits })
  t.equal(Buffer.byteLength(longest.address), longestPathBytes)
  t.equal(await text(await connectSocket(longest)), 'hello')
})

function newName(dir: string): string {
  return join(dir, basename(newSocketPath('/')))
}

t.test('a directory that is not there, or may not be used, is named in the error', async (t) => {
  const dir = join(shortDir(t), 'none')
  await t.rejects(listen(t, { kind: 'unix', dir }), {
    code: 'ERR_SOCKET_LISTEN',
    message: /none/,
    cause: { syscall: 'listen' }
  })
})

t.test('the files go with the process, but not what has taken the place of one', async (t) => {
  const dir = shortDir(t)
  const module = JSON.stringify(join(import.meta.dirname, '../../lib/stream/socket.js'))
  writeFileSync(
    join(dir, 'run.mjs'),
    `import { listenSocket } from ${module}
     const options = { kind: 'unix', dir: ${JSON.stringify(dir)}, onConnection: () => {} }
     const [{ address }] = [await listenSocket(options), await listenSocket(options)]
     process.stdout.write(address + '\\n')
     process.stdin.on('data', () => process.exit(3))`
  )
  const child = spawn(process.execPath, [join(dir, 'run.mjs')], {
    stdio: ['pipe', 'pipe', 'inherit']
  })
  t.teardown(() => child.kill('SIGKILL'))
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  const address = line.toString().trim()
  t.equal(readdirSync(dir).length, 3)
  unlinkSync(address)
  writeFileSync(address, 'not a socket')
  child.stdin.write('go')
  const [code] = (await once(child, 'exit')) as [number]
  t.equal(code, 3)
  t.same(readdirSync(dir).sort(), [basename(address), 'run.mjs'])
})

t.test('a tcp socket is on a free port of this machine only', async (t) => {
  const listener = await listen(t, { kind: 'tcp' })
  t.equal(listener.network, 'tcp')
  t.match(listener.address, /^127\.0\.0\.1:\d+$/)
  t.equal(await text(await connectSocket(listener)), 'hello')
  await listener.close()
  await t.rejects(connectSocket(listener), {
    code: 'ERR_SOCKET_CONNECT',
    cause: { code: 'ECONNREFUSED' }
  })
})

t.test('ports are tried upward from the lowest, both ends included', async (t) => {
  const taken = await occupy(t)
  const next = await listen(t, { kind: 'tcp', minPort: taken, maxPort: taken + 20 })
  const port = Number(next.address.split(':')[1])
  t.ok(port > taken && port <= taken + 20, 'the one that is taken is passed over')
  await t.rejects(listen(t, { kind: 'tcp', minPort: taken, maxPort: taken }), {
    code: 'ERR_SOCKET_LISTEN',
    cause: { cause: { code: 'EADDRINUSE' } }
  })
  await next.close()
  const same = await listen(t, { kind: 'tcp', minPort: port, maxPort: port })
  t.equal(same.address, next.address)
})

async function occupy(t: Test): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

t.test('ports that are none are refused', async (t) => {
  for (const [minPort, maxPort] of [
    [2, 1],
    [10_000, 0],
    [-1, 5],
    [0, 65_536],
    [1.5, 2],
    [Number.NaN, 0]
  ] as const) {
    await t.rejects(listen(t, { kind: 'tcp', minPort, maxPort }), { code: 'ERR_CONFIG_INVALID' })
  }
})

t.test('addresses that are none are refused', async (t) => {
  for (const [network, address] of [
    ['unix', ''],
    ['unix', '\0abstract'],
    ['tcp', '127.0.0.1'],
    ['tcp', '127.0.0.1:0'],
    ['tcp', '127.0.0.1:65536'],
    ['tcp', '127.0.0.1:http'],
    ['udp', '127.0.0.1:53']
  ] as const) {
    await t.rejects(
      connectSocket({ network, address }),
      { code: 'ERR_CONFIG_INVALID' },
      JSON.stringify(address)
    )
  }
  await t.rejects(connectSocket({ network: 'unix', address: '/x', timeoutMs: 0 }), {
    code: 'ERR_CONFIG_INVALID'
  })
})

t.test('a tcp address without a host is this machine', async (t) => {
  const { address } = await listen(t, { kind: 'tcp' })
  const connection = await connectSocket({ network: 'tcp', address: `:${address.split(':')[1]}` })
  t.equal(await text(connection), 'hello')
})

t.test('an aborted signal rejects with its reason, and so does one that aborts in time', async (t) => {
  const listener = await listen(t, { kind: 'unix', dir: shortDir(t) })
  const reason = new Error('enough')
  await t.rejects(connectSocket({ ...listener, signal: AbortSignal.abort(reason) }), reason)
  const controller = new AbortController()
  const connecting = connectSocket({ ...listener, signal: controller.signal })
  controller.abort(reason)
  await t.rejects(connecting, reason)
})

t.test('names are ours only when they are exactly so', async (t) => {
  const name = basename(newSocketPath('/'))
  t.same(parseSocketName(name), { space: processSpace(), pid: process.pid })
  for (const other of [
    'plugin123456',
    `${name}.lock`,
    `x${name}`,
    name.toUpperCase(),
    'plugin-mx-abcdef-0-0123456789ab',
    'plugin-mx-abcdef-1-0123456789a',
    'plugin-mx-abcdeg-1-0123456789ab',
    'plugin-mx-abcdef--1-0123456789ab'
  ]) {
    t.equal(parseSocketName(other), undefined, other)
  }
})
