import { PassThrough, Readable } from 'node:stream'
import t from 'tap'
import { eachLine } from '../../lib/process/lines.js'

type Piece = readonly [line: string, partial: boolean]

async function split(chunks: readonly Uint8Array[], maxLineBytes?: number): Promise<Piece[]> {
  const pieces: Piece[] = []
  const readable = Readable.from(chunks, { objectMode: false })
  await eachLine(
    readable,
    (...piece) => pieces.push(piece),
    maxLineBytes === undefined ? {} : { maxLineBytes }
  )
  return pieces
}

const whole = (...lines: string[]): Piece[] => lines.map((line) => [line, false])

await t.test('lines come without their ends, the last one also without an end', async (t) => {
  t.strictSame(await split([Buffer.from('one\ntwo\r\n\n\r\nfive')]), whole('one', 'two', '', '', 'five'))
  t.strictSame(await split([Buffer.from('one\n')]), whole('one'))
  t.strictSame(await split([]), [])
})

await t.test('a carriage return inside a line stays', async (t) => {
  t.strictSame(await split([Buffer.from('a\rb\r\r\nc\r')]), whole('a\rb\r', 'c'))
})

await t.test('what is not UTF-8 is replaced', async (t) => {
  t.strictSame(await split([Buffer.from('61ff62c30a', 'hex')]), whole('a\ufffdb\ufffd'))
})

await t.test('a line over the limit comes in pieces', async (t) => {
  t.strictSame(await split([Buffer.from('12345678\n')], 8), whole('12345678'), 'exactly the limit')
  t.strictSame(await split([Buffer.from('12345678\r\n')], 8), whole('12345678'), 'its end does not count')
  t.strictSame(await split([Buffer.from('123456789\n')], 8), [
    ['12345678', true],
    ['9', false]
  ])
  t.strictSame(await split([Buffer.from('1234567\r9\n')], 8), [
    ['1234567\r', true],
    ['9', false]
  ])
  t.strictSame(await split([Buffer.from('12345678'.repeat(2))], 8), [
    ['12345678', true],
    ['12345678', false]
  ])
})

await t.test('no piece ends inside a character', async (t) => {
  t.strictSame(await split([Buffer.from('1234567é9\n')], 8), [
    ['1234567', true],
    ['é9', false]
  ])
  t.strictSame(await split([Buffer.from('12345😀😀😀\n')], 8), [
    ['12345', true],
    ['😀😀', true],
    ['😀', false]
  ])
})

await t.test('where chunks are cut makes no difference', async (t) => {
  const hostile = Buffer.concat([
    Buffer.from('\r\n\n12345678\r\n123456789\n1234567é\r\r\n😀😀😀\r\n\r1234567\r\n'),
    Buffer.from('ff80808080808080808080808080c30a', 'hex'),
    Buffer.from('\0\u001b[31m\n12345678\r')
  ])
  const expected = await split([hostile], 8)
  for (let first = 0; first <= hostile.length; first++) {
    for (let second = first; second <= hostile.length; second += 3) {
      const chunks = [hostile.subarray(0, first), hostile.subarray(first, second), hostile.subarray(second)]
      const pieces = await split(
        chunks.filter((chunk) => chunk.length > 0),
        8
      )
      if (JSON.stringify(pieces) !== JSON.stringify(expected))
        t.strictSame(pieces, expected, `${first}, ${second}`)
    }
  }
  t.strictSame(
    await split(
      Array.from(hostile, (byte) => Buffer.of(byte)),
      8
    ),
    expected,
    'byte by byte'
  )
  t.ok(
    expected.every(([line]) => Buffer.byteLength(line) <= 8 * 3),
    'pieces are bounded'
  )
})

await t.test('a line of 1 GiB takes bounded memory', async (t) => {
  const chunk = Buffer.alloc(65_536, 'x')
  let left = 16_384
  const readable = new Readable({ read: () => void readable.push(left-- > 0 ? chunk : null) })
  const before = process.memoryUsage().rss
  let [bytes, longest, whole] = [0, 0, 0]
  await eachLine(readable, (line, partial) => {
    bytes += line.length
    longest = Math.max(longest, line.length)
    if (!partial) whole++
  })
  t.equal(bytes, 2 ** 30)
  t.equal(longest, 65_536)
  t.equal(whole, 1)
  t.ok(process.memoryUsage().rss - before < 256 * 2 ** 20, 'far less than the line')
})

await t.test('a stream that fails or is closed delivers what it had', async (t) => {
  for (const end of [(s: PassThrough) => s.destroy(new Error('broken')), (s: PassThrough) => s.destroy()]) {
    const readable = new PassThrough()
    const lines: string[] = []
    const done = eachLine(readable, (line) => {
      lines.push(line)
      if (line === 'one') end(readable)
    })
    readable.write('one\ntw')
    await done
    t.strictSame(lines, ['one', 'tw'])
  }
})

await t.test('a stream that is over already, or paused, is no reason to wait', async (t) => {
  const ended = Readable.from([])
  await ended.resume().toArray()
  await eachLine(ended, () => t.fail('no line'))
  await eachLine(new PassThrough().destroy(), () => t.fail('no line'))

  const paused = new PassThrough()
  paused.pause()
  paused.end('line\n')
  const lines: string[] = []
  await eachLine(paused, (line) => lines.push(line))
  t.strictSame(lines, ['line'])
})
