import t from 'tap'
import { createLibp2pMuxer } from '../../lib/mux/libp2p.js'
import { createNativeMuxer } from '../../lib/mux/native.js'
import { ack, data, fin, frame, goAway, ping, rst, syn, update } from '../helpers/yamux-peer.js'
import { playCase } from './case.js'
import { checkEngine, judgePeer, readFrames } from './judge.js'
import type { Frame } from './judge.js'

for (const [name, create] of [
  ['native', createNativeMuxer],
  ['libp2p', createLibp2pMuxer]
] as const) {
  void t.test(`${name} withstands a hostile peer`, async (t) => {
    for (let number = 0; number < 60; number++) {
      const { problems } = await playCase(create, 20_26, number)
      if (problems.length > 0)
        t.fail(`npm run fuzz -- --engine ${name} --seed 2026 --case ${number}`, { problems })
    }
  })

  void t.test(`${name}: a case is played the same way again`, async (t) => {
    for (let number = 0; number < 10; number++) {
      const [once, again] = [await playCase(create, 7, number), await playCase(create, 7, number)]
      t.same(once.steps, again.steps)
      t.ok(once.answer.equals(again.answer), `case ${number}`)
    }
  })
}

const read = (...frames: Buffer[]): Frame[] => readFrames(Buffer.concat(frames))
const body = Buffer.from('body')

void t.test('frames are read up to one that is cut short', async (t) => {
  const frames = read(frame(data, 0, 1, body), frame(ping, syn, 0, 7), frame(data, 0, 1, 0, 9))
  t.strictSame(
    frames.map(({ type, length, whole }) => [type, length, whole]),
    [
      [data, 4, true],
      [ping, 7, true],
      [data, 9, false]
    ]
  )
  t.strictSame(read(Buffer.alloc(11)), [])
})

void t.test('a peer is judged by its frames', async (t) => {
  const judge = (...frames: Buffer[]): string => {
    const { violation, goneAway } = judgePeer(read(...frames), 'server')
    return goneAway ? `${violation}, gone` : violation
  }
  t.equal(judge(frame(update, syn, 1), frame(data, fin, 1, body), frame(goAway, 0, 0)), 'none')
  t.equal(judge(frame(update, syn, 2)), 'must', 'an ID of the engine')
  t.equal(judge(frame(update, syn, 1), frame(update, syn, 1)), 'must')
  t.equal(judge(frame(data, 0, 0)), 'must')
  t.equal(judge(frame(4, 0, 0)), 'must')
  t.equal(judge(Buffer.from('010000000000000000000000', 'hex')), 'must')
  t.equal(judge(frame(data, 0, 9, 0, 262_145)), 'must')
  t.equal(judge(frame(update, syn, 1), frame(update, fin, 1), frame(update, fin, 1)), 'may')
  t.equal(judge(frame(update, 0, 2, 2 ** 32 - 1)), 'may')
  t.equal(judge(frame(goAway, 0, 0, 2), frame(4, 0, 0)), 'none, gone')
})

void t.test('an engine is held to what it may say', async (t) => {
  const opened = frame(update, syn, 1)
  const accepted = frame(update, ack, 1)
  const check = (sent: Buffer[], received: Buffer[] = [opened]): number =>
    checkEngine(read(...sent), read(...received), 'server', 262_144).length
  t.equal(check([accepted, frame(data, syn, 2, body), frame(data, fin, 2), frame(update, rst, 1)]), 0)
  t.equal(check([accepted, frame(update, fin, 1), frame(goAway, 0, 0), frame(goAway, 0, 0, 1)]), 0)
  t.equal(check([frame(update, rst, 1)]), 0, 'a refusal')
  for (const [what, sent, received] of [
    ['data without ACK', [frame(data, 0, 1, body)]],
    ['a second ACK', [accepted, accepted]],
    ['a second SYN', [frame(update, syn, 2), frame(update, syn, 2)]],
    ['no SYN', [frame(data, 0, 2, body)]],
    ['an ID of the peer', [frame(update, syn, 3)]],
    ['data after FIN', [accepted, frame(update, fin, 1), frame(data, 0, 1, body)]],
    ['a second FIN', [accepted, frame(update, fin, 1), frame(update, fin, 1)]],
    ['a frame after RST', [accepted, frame(update, rst, 1), frame(update, 0, 1, 1)]],
    ['data beyond the window', [frame(data, syn, 2, Buffer.alloc(262_145))]],
    ['credit for nothing', [accepted, frame(update, 0, 1, 1)]],
    ['an answer to no ping', [frame(ping, ack, 0, 7)]],
    ['the wrong answer', [frame(ping, ack, 0, 7)], [frame(ping, syn, 0, 8)]],
    ['a second go-away', [frame(goAway, 0, 0), frame(goAway, 0, 0)]],
    ['a frame after a go-away with an error', [frame(goAway, 0, 0, 1), accepted]]
  ] as const) {
    t.ok(check([...sent], received === undefined ? undefined : [...received]) > 0, what)
  }
})
