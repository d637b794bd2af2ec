import { assert, asyncProperty, array, constantFrom, integer, oneof, record, tuple } from 'fast-check'
import t from 'tap'
import { createLibp2pMuxer } from '../../lib/mux/libp2p.js'
import { createNativeMuxer } from '../../lib/mux/native.js'
import { acts, playHistory } from './model.js'
import type { Arbitrary } from 'fast-check'
import type { CreateMuxer } from '../../lib/mux/muxer.js'
import type { Action, History } from './model.js'

/**
 * `SEED` and `PATH_OF_RUN` replay what a failure prints; `RUNS` is how many histories each pair of engines
 * plays.
 */
const { SEED, RUNS, PATH_OF_RUN } = process.env
if (RUNS !== undefined) t.setTimeout(0)

/** How often each act comes; the ends of a session seldom, for most of its life lies before them. */
const shares: Record<Action['act'], number> = {
  open: 8,
  write: 14,
  end: 4,
  destroy: 2,
  pause: 3,
  resume: 6,
  read: 4,
  cork: 2,
  uncork: 2,
  freeze: 2,
  thaw: 2,
  turn: 12,
  ping: 1,
  close: 0.4,
  abort: 0.2,
  lose: 0.2
}
const weighted = acts.flatMap((act) => Array.from({ length: Math.ceil(shares[act] * 5) }, () => act))

const sizes = oneof(
  { arbitrary: integer({ min: 0, max: 30 }), weight: 4 },
  { arbitrary: integer({ min: 0, max: 70_000 }), weight: 3 },
  {
    arbitrary: constantFrom(0, 1, 12, 13, 65_536, 131_072, 262_143, 262_144, 262_145, 800_000),
    weight: 2
  }
)
const action: Arbitrary<Action> = record({
  act: constantFrom(...weighted),
  side: integer({ min: 0, max: 1 }),
  which: integer({ min: 0, max: 9 }),
  size: sizes
})
const histories: Arbitrary<History> = record({
  actions: array(action, { maxLength: 60, size: 'max' }),
  cuts: oneof(
    { arbitrary: tuple(constantFrom(Infinity, 65_536, 4096, 1000)), weight: 3 },
    { arbitrary: array(integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 }), weight: 1 },
    { arbitrary: array(integer({ min: 100, max: 100_000 }), { minLength: 1, maxLength: 5 }), weight: 2 }
  ),
  highWaterMarkBytes: constantFrom(1, 1024, 16_384, 65_536),
  kernelBytes: constantFrom(0, 200_000)
})

/** A history in one line: `open 0; write 0 2 100` is side 0, its substream 2, 100 bytes. */
function history(
  text: string,
  cuts: number[] = [Infinity],
  highWaterMarkBytes = 65_536,
  kernelBytes = 0
): History {
  const actions = text.split('; ').map((words): Action => {
    const [act = 'turn', side = 0, which = 0, size = 0] = words.split(' ')
    return { act: act as Action['act'], side: Number(side), which: Number(which), size: Number(size) }
  })
  return { actions, cuts, highWaterMarkBytes, kernelBytes }
}

/** Histories that once went wrong, or are worth playing every time. */
const regressions: [History][] = [
  [history('open 0; write 0 0 800000; end 0; turn 0 2; resume 1; write 1 0 800000; end 1')],
  [history('open 0; open 1; write 0 0 5; destroy 0; turn; write 1 0 5; destroy 1', [1], 1)],
  [history('open 0; open 0; open 0; open 0; open 0; write 0 4 300000; destroy 0 1; turn 0 2; close 0')],
  [history('open 0; write 0 0 300000; turn 0 2; freeze 0; write 0 0 9; lose 0', [4096])],
  [history('open 0; turn; write 1 0 70000; freeze 1; ping 0; abort 1', [1000, 7], 1024)],
  [history('close 0; open 1; turn; close 1')],
  // Writers that wait for a stream that then takes everything at once, and so never tells of a drain.
  [history('open 0; open 0; turn; write 1 3 4097; write 1 1 1; write 1 0 262145', [Infinity], 1, 200_000)],
  // What is written to a lost session is dropped, so that its reader reads on.
  [history('open 0; turn; write 1 0 800000; write 0 0 1; turn; lose 0; turn 0 1; read 0 0 4', [100], 1)]
]

const pairs: [string, CreateMuxer, CreateMuxer, number][] = [
  ['native and native', createNativeMuxer, createNativeMuxer, 300],
  ['native and libp2p', createNativeMuxer, createLibp2pMuxer, 100],
  ['libp2p and libp2p', createLibp2pMuxer, createLibp2pMuxer, 60]
]
for (const [name, client, server, runs] of pairs) {
  void t.test(`${name} agree with the model of a session, whatever is done to it`, async () => {
    await assert(
      asyncProperty(histories, (played) => playHistory(client, server, played)),
      {
        numRuns: RUNS === undefined ? runs : Number(RUNS),
        examples: regressions,
        ...(SEED === undefined ? {} : { seed: Number(SEED) }),
        ...(PATH_OF_RUN === undefined ? {} : { path: PATH_OF_RUN })
      }
    )
  })
}
