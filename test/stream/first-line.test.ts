import { once } from 'node:events'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { readFirstLine } from '../../lib/stream/first-line.js'

const parse = (line: string): string | undefined => (line.startsWith('1|') ? line : undefined)

await t.test('takes the line and gives the rest back, wherever the bytes are cut', async (t) => {
  const bytes = Buffer.from('Wilkommen é\r\n\n1|2|x\r\n\0\u0000yamux\n1|no')
  for (let cut = 0; cut <= bytes.length; cut++) {
    const stream = new PassThrough()
    const found = readFirstLine(stream, { parse })
    stream.write(bytes.subarray(0, cut))
    await new Promise(setImmediate)
    stream.end(bytes.subarray(cut))
    t.strictSame(await found, { t: 'line', value: '1|2|x', junk: ['Wilkommen é', ''] })
    t.equal(await text(stream), '\0\0yamux\n1|no', `cut at ${cut}`)
  }
})

await t.test('leaves a stream that does not flow, and that starts for whoever reads next', async (t) => {
  const stream = new PassThrough()
  stream.write('1|x\nrest')
  await readFirstLine(stream, { parse })
  t.equal(stream.readableFlowing, null)
  t.strictSame(
    ['readable', 'end', 'error', 'close'].filter((name) =>
      stream.listeners(name).some((one) => /on(End|Read)/.test(one.name))
    ),
    [],
    'no listener is left'
  )
  const [chunk] = (await once(stream, 'data')) as [Buffer]
  t.equal(chunk.toString(), 'rest')
})

await t.test('an end before the line gives the junk', async (t) => {
  t.strictSame(await readFirstLine(Readable.from(['a\nb'], { objectMode: false }), { parse }), {
    t: 'end',
    junk: ['a', 'b']
  })
  t.strictSame(await readFirstLine(Readable.from([]), { parse }), { t: 'end', junk: [] })
})

await t.test('a last line needs no newline', async (t) => {
  const stream = Readable.from(['a\n1|x\r'], { objectMode: false })
  t.strictSame(await readFirstLine(stream, { parse }), { t: 'line', value: '1|x', junk: ['a'] })
})

await t.test('a failure or a close is an end', async (t) => {
  for (const error of [new Error('broken'), undefined]) {
    const stream = new PassThrough()
    stream.on('error', () => {})
    const found = readFirstLine(stream, { parse })
    stream.write('a\nb')
    await new Promise(setImmediate)
    stream.destroy(error)
    t.strictSame(await found, { t: 'end', junk: ['a', 'b'] })
    t.strictSame(await readFirstLine(stream, { parse }), { t: 'end', junk: [] }, 'also when it came before')
  }
})

await t.test('the line must end within the limit', async (t) => {
  const read = (content: string, maxJunkBytes: number, size = content.length) => {
    const chunks = content.match(new RegExp(`[^]{1,${size}}`, 'g')) ?? []
    return readFirstLine(Readable.from(chunks, { objectMode: false }), { parse, maxJunkBytes })
  }
  for (const size of [1, 3, 100]) {
    t.match(await read('ab\n1|x\nrest', 7, size), { t: 'line', value: '1|x' })
    t.strictSame(await read('ab\n1|x\nrest', 6, size), { t: 'overflow', junk: ['ab', '1|x'] })
    t.strictSame(await read('abcdefgh', 6, size), { t: 'overflow', junk: ['abcdef'] })
    t.strictSame(await read('a\nb\nc\n', 4, size), { t: 'overflow', junk: ['a', 'b'] })
  }
})

await t.test('without an option the limit is 64 KiB', async (t) => {
  const line = '1|x\n'
  const banner = (length: number) =>
    Readable.from([`${'-'.repeat(length - line.length - 1)}\n${line}`], { objectMode: false })
  t.match(await readFirstLine(banner(65_536), { parse }), { t: 'line' })
  t.match(await readFirstLine(banner(65_537), { parse }), { t: 'overflow' })
})

await t.test('bytes that are no UTF-8 are shown escaped', async (t) => {
  const stream = Readable.from([Buffer.from('80ff610a', 'hex'), Buffer.from('é\n')], { objectMode: false })
  t.strictSame(await readFirstLine(stream, { parse }), { t: 'end', junk: ['\\x80\\xffa', 'é'] })
})

await t.test('a signal rejects with its reason, and every byte is given back', async (t) => {
  const reason = { not: 'an error' }
  const stream = new PassThrough()
  const controller = new AbortController()
  const found = readFirstLine(stream, { parse, signal: controller.signal })
  stream.write('junk\nhalf')
  await new Promise(setImmediate)
  controller.abort(reason)
  t.equal(await found.catch((error: unknown) => error), reason)
  stream.end(' a line\n')
  t.equal(await text(stream), 'junk\nhalf a line\n')

  const untouched = new PassThrough()
  untouched.end('1|x\n')
  const late = readFirstLine(untouched, { parse, signal: controller.signal })
  t.equal(await late.catch((error: unknown) => error), reason, 'also one that fired before')
  t.equal(await text(untouched), '1|x\n')
})

await t.test('a signal that fires afterwards does nothing', async (t) => {
  const controller = new AbortController()
  const stream = new PassThrough()
  stream.end('1|x\nrest')
  await readFirstLine(stream, { parse, signal: controller.signal })
  controller.abort()
  t.equal(await text(stream), 'rest')
})
