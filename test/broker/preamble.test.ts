import t from 'tap'
import { answers, decodeAnswer, decodePreamble, encodePreamble, kinds } from '../../lib/broker/preamble.js'

t.test('a preamble is the kind and the ID, big-endian', (t) => {
  t.equal(encodePreamble('h2', 0).toString('hex'), '0100000000')
  t.equal(encodePreamble('h2', 7).toString('hex'), '0100000007')
  t.equal(encodePreamble('h2', 0xffff_ffff).toString('hex'), '01ffffffff')
  t.equal(encodePreamble('direct', 7).toString('hex'), '0200000007')
  t.end()
})

t.test('what was encoded decodes to the same, at any offset of a larger buffer', (t) => {
  for (const id of [0, 1, 255, 256, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]) {
    const bytes = Buffer.concat([Buffer.from('xyz'), encodePreamble('h2', id)]).subarray(3)
    t.same(decodePreamble(bytes), { kind: 'h2', id })
  }
  t.end()
})

t.test('a kind of another version is told as undefined, never guessed', (t) => {
  for (const kind of [0, 3, 0x50, 255]) {
    t.same(decodePreamble(Buffer.from([kind, 0, 0, 0, 9])), { kind: undefined, id: 9 })
  }
  t.end()
})

t.test('the numbers on the wire are pinned', (t) => {
  t.same(kinds, { h2: 1, direct: 2 })
  t.same(answers, { accepted: 0, timeout: 1, busy: 2, closed: 3, unsupported: 4, ended: 5 })
  for (const [name, byte] of Object.entries(answers)) t.equal(decodeAnswer(byte), name)
  t.equal(decodeAnswer(6), undefined)
  t.equal(decodeAnswer(255), undefined)
  t.end()
})
