import '../helpers/plain-children.js'
import { spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { createRefGroup } from '../../lib/stream/ref-group.js'

class FakeHandle extends EventEmitter {
  readonly told: string[] = []

  ref(): void {
    this.told.push('ref')
  }

  unref(): void {
    this.told.push('unref')
  }
}

/** Timers that keep this process running. */
const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length

t.test('a group keeps the process running while it has handles and shall, in place of them', (t) => {
  const before = timers()
  const group = createRefGroup()
  t.equal(timers(), before, 'none yet')
  const first = new FakeHandle()
  const second = new FakeHandle()
  group.add(first)
  t.equal(timers(), before + 1)
  group.unref()
  group.unref()
  t.equal(timers(), before)
  group.add(second)
  t.equal(timers(), before, 'one that comes later changes nothing')
  group.ref()
  t.equal(timers(), before + 1)
  first.emit('close')
  t.equal(timers(), before + 1, 'there is one left')
  second.emit('close')
  t.equal(timers(), before)
  group.add(new FakeHandle().once('close', () => {}))
  t.equal(timers(), before + 1, 'a new one counts again')
  for (const handle of [first, second]) t.same(handle.told, ['unref'], 'whatever becomes of the group')
  group.unref()
  t.end()
})

t.test('a handle that was added twice is in the group once', (t) => {
  const before = timers()
  const group = createRefGroup()
  const handle = new FakeHandle()
  group.add(handle)
  group.add(handle)
  t.equal(handle.listenerCount('close'), 1)
  handle.emit('close')
  t.equal(timers(), before)
  t.equal(handle.listenerCount('close'), 0)
  t.end()
})

t.test('a listener and a connection do not keep a process running, until they shall again', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'refs-'))
  const module = (name: string) => JSON.stringify(join(import.meta.dirname, `../../lib/stream/${name}.js`))
  const program = join(dir, 'run.mjs')
  writeFileSync(
    program,
    `import { createRefGroup } from ${module('ref-group')}
     import { listenSocket, connectSocket } from ${module('socket')}
     const refs = createRefGroup()
     const accepted = []
     const listener = await listenSocket({
       kind: 'unix',
       dir: ${JSON.stringify(dir)},
       refs,
       onConnection(connection) {
         refs.add(connection)
         accepted.push(connection)
         if (accepted.length === 2) connection.end('served', () => process.exit(7))
       }
     })
     const connection = await connectSocket(listener)
     refs.add(connection)
     while (accepted.length === 0) await new Promise(setImmediate)
     refs.unref()
     let ends = 0
     process.on('beforeExit', () => {
       ends += 1
       if (ends > 1) return
       refs.ref()
       process.stdout.write(listener.address)
     })`
  )
  const child = spawn(process.execPath, [program], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(() => {
    child.kill('SIGKILL')
    rmSync(dir, { recursive: true })
  })
  const exited = once(child, 'exit')
  const [address] = (await once(child.stdout, 'data')) as [Buffer]
  t.equal(await text(connect(String(address))), 'served')
  t.same(await exited, [7, null])
})
