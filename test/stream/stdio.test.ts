import { once } from 'node:events'
import { PassThrough, Readable, Writable } from 'node:stream'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { joinStdio } from '../../lib/stream/stdio.js'

await t.test('bytes go in at one half and out at the other', async (t) => {
  const [input, output] = [new PassThrough(), new PassThrough()]
  const joined = joinStdio(input, output)
  joined.cork()
  for (const chunk of ['a', 'b', 'c']) joined.write(chunk)
  joined.uncork()
  joined.end()
  t.equal(await text(output), 'abc')
  input.end('reply')
  t.equal(await text(joined), 'reply', 'after our half was ended')
  await new Promise<void>((resolve) => (joined.closed ? resolve() : joined.once('close', resolve)))
  t.ok(input.destroyed && output.destroyed, 'both halves are released')
})

await t.test('our half stays usable after theirs has ended', async (t) => {
  const [input, output] = [new PassThrough(), new PassThrough()]
  const joined = joinStdio(input, output)
  input.end()
  joined.resume()
  await once(joined, 'end')
  joined.end('still here')
  t.equal(await text(output), 'still here')
})

await t.test('a reader that stops stops the source', async (t) => {
  let produced = 0
  const input = new Readable({
    read() {
      this.push(produced++ < 64 ? Buffer.alloc(16_384) : null)
    }
  })
  const joined = joinStdio(input, new PassThrough())
  await once(input, 'pause')
  t.ok(produced < 20)
  joined.resume()
  await once(joined, 'end')
  t.equal(produced, 65, 'and starts it again')
})

await t.test('a sink that stops stops the writer', async (t) => {
  const waiting: Array<() => void> = []
  const output = new Writable({ write: (_chunk, _encoding, callback) => void waiting.push(callback) })
  const joined = joinStdio(new PassThrough(), output)
  t.teardown(() => joined.destroy())
  let acknowledged = false
  while (joined.write(Buffer.alloc(16_384), () => (acknowledged = true)));
  await new Promise(setImmediate)
  t.notOk(acknowledged)
  const drained = once(joined, 'drain')
  const pump = (): void => {
    waiting.splice(0).forEach((callback) => callback())
    if (joined.writableNeedDrain) setImmediate(pump)
  }
  pump()
  await drained
  t.ok(acknowledged)
})

for (const half of ['readable', 'writable'] as const) {
  await t.test(`a failure of the ${half} half destroys the whole`, async (t) => {
    const halves = { readable: new PassThrough(), writable: new PassThrough() }
    const joined = joinStdio(halves.readable, halves.writable)
    const failed = once(joined, 'error')
    const error = new Error('broken')
    halves[half].destroy(error)
    t.strictSame(await failed, [error])
    t.ok(joined.destroyed && halves.readable.destroyed && halves.writable.destroyed)
  })
}

await t.test('a failure that nobody listens for is not thrown', async (t) => {
  const input = new PassThrough()
  const joined = joinStdio(input, new PassThrough())
  input.destroy(new Error('broken'))
  await new Promise<void>((resolve) => joined.once('close', resolve))
  t.equal(joined.errored?.message, 'broken')
})

await t.test('a truncated stream does not look like one that ended', async (t) => {
  const input = new PassThrough()
  const joined = joinStdio(input, new PassThrough())
  input.write('half')
  const read = text(joined)
  await new Promise(setImmediate)
  input.destroy()
  await t.rejects(read, { code: 'ERR_STREAM_CLOSED' })
})

await t.test('a sink closed by others does not cost what is still to be read', async (t) => {
  const [input, output] = [new PassThrough(), new PassThrough()]
  const joined = joinStdio(input, output)
  output.destroy()
  await once(output, 'close')
  input.end('last')
  const [chunk] = (await once(joined, 'data')) as [Buffer]
  t.equal(chunk.toString(), 'last')
  joined.end()
  await once(joined, 'close')
  t.equal(joined.errored, null)
})

await t.test('a sink closed by others fails the next write', async (t) => {
  const output = new PassThrough()
  const joined = joinStdio(new PassThrough(), output)
  output.destroy()
  const failed = once(joined, 'error')
  joined.write('x')
  t.match(await failed, [{ code: 'ERR_STREAM_DESTROYED' }])
})

await t.test('destroying the whole destroys both halves', async (t) => {
  const [input, output] = [new PassThrough(), new PassThrough()]
  joinStdio(input, output).destroy()
  t.ok(input.destroyed && output.destroyed)
})

await t.test('ref and unref reach the halves that have them', async (t) => {
  const calls: string[] = []
  const input = Object.assign(new PassThrough(), {
    ref: () => void calls.push('ref'),
    unref: () => void calls.push('unref')
  })
  const joined = joinStdio(input, new PassThrough())
  joined.unref()
  joined.ref()
  t.strictSame(calls, ['unref', 'ref'])
})
