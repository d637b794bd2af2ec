import t from 'tap'
import { FrameDecoder, frameMessage } from '../../lib/grpc/message-frames.js'

function decode(chunks: readonly Buffer[], maxBytes = Infinity): string[] {
  const decoder = new FrameDecoder(maxBytes)
  const seen: string[] = []
  for (const chunk of chunks) {
    decoder.push(chunk)
    for (let frame = decoder.read(); frame !== undefined; frame = decoder.read()) {
      seen.push(`${frame.flag}:${frame.payload.toString('hex')}`)
    }
  }
  if (decoder.partial) seen.push('partial')
  return seen
}

const bytes = Buffer.from('00000000020102' + '0100000000' + '000000000103', 'hex')
const frames = ['0:0102', '1:', '0:03']

t.test('a frame is flag, length and payload', async (t) => {
  t.equal(frameMessage(1, Buffer.from('hi')).toString('hex'), '01000000026869')
  t.equal(frameMessage(0, new Uint8Array()).toString('hex'), '0000000000')
})

t.test('frames are found however the bytes are cut', async (t) => {
  t.strictSame(decode([bytes]), frames)
  t.strictSame(decode(Array.from(bytes, (byte) => Buffer.from([byte]))), frames)
  for (let i = 0; i <= bytes.length; i++) {
    for (let j = i; j <= bytes.length; j++) {
      t.strictSame(
        decode([bytes.subarray(0, i), bytes.subarray(i, j), bytes.subarray(j)]),
        frames,
        `${i} ${j}`
      )
    }
  }
})

t.test('bytes of an unfinished frame are known', async (t) => {
  for (let i = 1; i < 7; i++) t.strictSame(decode([bytes.subarray(0, i)]), ['partial'])
})

t.test('a length over the limit is refused before its payload comes', async (t) => {
  t.strictSame(decode([bytes], 2), frames)
  t.throws(() => decode([bytes.subarray(0, 5)], 1), { message: 'Received message larger than max (2 vs 1)' })
})

t.test('bytes that come one at a time are kept in few pieces', async (t) => {
  const decoder = new FrameDecoder(Infinity)
  const sent = frameMessage(0, Buffer.from('abc'))
  for (let i = 0; i < 10_000; i++) {
    for (const byte of sent) decoder.push(Buffer.of(byte))
  }
  t.ok(decoder.pieces <= 10, `80 000 bytes are in ${decoder.pieces} pieces`)
  let count = 0
  for (let frame = decoder.read(); frame !== undefined; frame = decoder.read()) {
    if (frame.payload.toString() === 'abc') count++
  }
  t.strictSame([count, decoder.partial, decoder.pieces], [10_000, false, 0])
})

t.test('a payload that was given is not touched by what comes after it', async (t) => {
  const decoder = new FrameDecoder(Infinity)
  const pushEach = (hex: string): void => {
    for (const byte of Buffer.from(hex, 'hex')) decoder.push(Buffer.of(byte))
  }
  pushEach('0000000002abcd00')
  const first = decoder.read()
  pushEach('00000002')
  t.equal(decoder.read(), undefined)
  pushEach('ef01')
  const second = decoder.read()
  t.equal(first?.payload.toString('hex'), 'abcd')
  t.equal(second?.payload.toString('hex'), 'ef01')
  t.equal(decoder.partial, false)
})
