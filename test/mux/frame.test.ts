import t from 'tap'
import {
  decodeHeader,
  encodeHeader,
  frameFlags,
  frameTypes,
  goAwayCodes,
  headerBytes,
  initialWindowBytes,
  maxUint32,
  yamuxVersion
} from '../../lib/mux/frame.js'

await t.test('the constants are those of the yamux spec', async (t) => {
  t.same(frameTypes, { data: 0, windowUpdate: 1, ping: 2, goAway: 3 })
  t.same(frameFlags, { syn: 1, ack: 2, fin: 4, rst: 8 })
  t.same(goAwayCodes, { normal: 0, protocolError: 1, internalError: 2 })
  t.same([yamuxVersion, headerBytes, initialWindowBytes, maxUint32], [0, 12, 262_144, 4_294_967_295])
})

const samples = [
  { hex: '000000000000000100000005', type: 0, flags: 0, streamId: 1, length: 5 },
  { hex: '000100010000000200040000', type: 1, flags: 1, streamId: 2, length: 262_144 },
  { hex: '000200020000000000000007', type: 2, flags: 2, streamId: 0, length: 7 },
  { hex: '000300000000000000000002', type: 3, flags: 0, streamId: 0, length: 2 },
  { hex: '0000000fffffffffffffffff', type: 0, flags: 15, streamId: maxUint32, length: maxUint32 },
  { hex: '00ffffff8000000080000000', type: 255, flags: 65_535, streamId: 2 ** 31, length: 2 ** 31 }
]

for (const { hex, type, flags, streamId, length } of samples) {
  await t.test(`${hex} is written and read`, async (t) => {
    t.equal(encodeHeader(type, flags, streamId, length).toString('hex'), hex)
    const bytes = Buffer.from(`aabb${hex}cc`, 'hex')
    t.same(decodeHeader(bytes, 2), { version: 0, type, flags, streamId, length })
  })
}

await t.test('every mix of type and flags survives the round trip', async (t) => {
  for (let type = 0; type < 5; type++) {
    for (let flags = 0; flags < 32; flags++) {
      const bytes = encodeHeader(type, flags, 0x01_02_03_04, 0xf1_f2_f3_f4)
      t.same(decodeHeader(bytes), { version: 0, type, flags, streamId: 0x01_02_03_04, length: 0xf1_f2_f3_f4 })
    }
  }
})

await t.test('the version is read, not assumed', async (t) => {
  t.equal(decodeHeader(Buffer.from('010000000000000000000000', 'hex')).version, 1)
})

await t.test('a header must be whole', async (t) => {
  t.throws(() => decodeHeader(Buffer.alloc(11)), RangeError)
  t.throws(() => decodeHeader(Buffer.alloc(20), 9), RangeError)
  t.doesNotThrow(() => decodeHeader(Buffer.alloc(20), 8))
})
