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

t.test('handles are as the group is, also those that come later', (t) => {
  const group = createRefGroup()
  const first = new FakeHandle()
  const second = new FakeHandle()
  group.add(first)
  group.unref()
  group.add(second)
  group.ref()
  t.same(first.told, ['ref', 'unref', 'ref'])
  t.same(second.told, ['unref', 'ref'])
  t.end()
})

t.test('nothing is said twice', (t) => {
  const group = createRefGroup()
  const handle = new FakeHandle()
  group.add(handle)
  group.ref()
  group.unref()
  group.unref()
  t.same(handle.told, ['ref', 'unref'])
  t.end()
})

t.test('a handle that has closed is told nothing more', (t) => {
  const group = createRefGroup()
  const handle = new FakeHandle()
  group.add(handle)
  group.add(handle)
  t.equal(handle.listenerCount('close'), 1, 'being added twice, it is in it once')
  handle.emit('close')
  group.unref()
  t.same(handle.told, ['ref', 'ref'])
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
