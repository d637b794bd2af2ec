import t from 'tap'
import { createGuard } from '../../lib/mux/libp2p-guard.js'
import { ack, data, describe, fin, frame, goAway, ping, rst, syn, update } from '../helpers/yamux-peer.js'
import type { Guard } from '../../lib/mux/libp2p-guard.js'

const windowBytes = 262_144
const body = Buffer.from('payload')

interface Started {
  guard: Guard
  replies: string[]
}

interface Case {
  readonly title: string
  /** What the peer sends. `id` is the peer's first ID; `own` is live and was opened by this end. */
  readonly input: (id: number, own: number) => Buffer[]
  /** Frames the library shall see. */
  readonly passed?: (id: number, own: number) => string[]
  readonly replies?: (id: number, own: number) => string[]
  readonly violation?: { code: string; message?: RegExp }
  readonly goneAway?: boolean
  readonly setUp?: (guard: Guard, own: number) => void
}

const broken = (message: RegExp): { code: string; message: RegExp } => ({
  code: 'ERR_SESSION_PROTOCOL',
  message
})

const cases: Case[] = [
  {
    title: 'frames in order pass as they are',
    input: (id, own) => [
      frame(update, syn, id),
      frame(data, 0, id, body),
      frame(update, ack, own, 100),
      frame(data, 0, own, body),
      frame(update, fin, id)
    ],
    passed: (id, own) => [
      `update syn ${id} 0`,
      `data ${id} "payload"`,
      `update ack ${own} 100`,
      `data ${own} "payload"`,
      `update fin ${id} 0`
    ]
  },
  {
    title: 'a SYN may ride on data',
    input: (id) => [frame(data, syn, id, body)],
    passed: (id) => [`data syn ${id} "payload"`]
  },
  {
    title: 'a version other than 0 ends the session',
    input: (id) => [Buffer.concat([Buffer.from([1]), frame(update, syn, id).subarray(1)])],
    violation: broken(/version 1/)
  },
  {
    title: 'an unknown type ends the session',
    input: () => [frame(4, 0, 0)],
    violation: broken(/type 4/)
  },
  {
    title: 'data with ID 0 ends the session',
    input: () => [frame(data, 0, 0, body)],
    violation: broken(/ID 0/)
  },
  {
    title: 'SYN with ID 0 ends the session',
    input: () => [frame(update, syn, 0)],
    violation: broken(/ID 0/)
  },
  {
    title: 'what came before a broken frame still passes, what follows does not',
    input: (id) => [frame(data, syn, id, body), frame(9, 0, 0), frame(data, 0, id, body)],
    passed: (id) => [`data syn ${id} "payload"`],
    violation: broken(/type 9/)
  },
  {
    title: 'a ping is answered, whatever its ID and other flags',
    input: (id) => [
      frame(ping, syn, 0, 7),
      frame(ping, syn, id, 8),
      frame(ping, syn | ack, 0, 9),
      frame(ping, syn | 0x40, 0, 0xffffffff)
    ],
    replies: () => ['ping ack 0 7', 'ping ack 0 8', 'ping ack 0 9', 'ping ack 0 4294967295']
  },
  {
    title: 'a ping without a flag and replies that nobody waits for are ignored',
    input: () => [frame(ping, 0, 0, 7), frame(ping, ack, 0, 7), frame(ping, ack, 0, 7)]
  },
  {
    title: 'go-away 0 is noted, and what follows still passes',
    input: (id, own) => [frame(goAway, 0, 0, 0), frame(data, 0, own, body), frame(update, syn, id)],
    passed: (id, own) => [`data ${own} "payload"`, `update syn ${id} 0`],
    goneAway: true
  },
  {
    title: 'go-away is taken with any ID',
    input: (id) => [frame(goAway, 0, id, 0)],
    goneAway: true
  },
  {
    title: 'go-away 1 ends the session as a protocol error',
    input: () => [frame(goAway, 0, 0, 1)],
    violation: broken(/go-away code 1/)
  },
  ...[2, 3, 0xffffffff].map((code): Case => ({
    title: `go-away ${code} ends the session`,
    input: () => [frame(goAway, 0, 0, code)],
    violation: { code: 'ERR_SESSION_CLOSED', message: new RegExp(`code ${code}`) }
  })),
  {
    title: 'a SYN in our half of the IDs ends the session',
    input: (_id, own) => [frame(update, syn, own + 2)],
    violation: broken(/our own half/)
  },
  {
    title: 'a SYN for a live ID ends the session',
    input: (id) => [frame(update, syn, id), frame(update, syn, id)],
    passed: (id) => [`update syn ${id} 0`],
    violation: broken(/opened twice/)
  },
  {
    title: 'a SYN for an ID that is gone ends the session',
    input: (id) => [frame(update, syn, id), frame(update, rst, id), frame(update, syn, id)],
    passed: (id) => [`update syn ${id} 0`, `update rst ${id} 0`],
    violation: broken(/opened twice/)
  },
  {
    title: 'SYNs may overtake each other, once',
    input: (id) => [
      frame(update, syn, id + 4),
      frame(update, syn, id),
      frame(update, syn, id + 2),
      frame(update, syn, id + 2)
    ],
    passed: (id) => [`update syn ${id + 4} 0`, `update syn ${id} 0`, `update syn ${id + 2} 0`],
    violation: broken(/opened twice/)
  },
  {
    title: 'an ID skipped long ago is not remembered',
    input: (id) => [frame(update, syn, id + 10_000), frame(update, syn, id)],
    passed: (id) => [`update syn ${id + 10_000} 0`],
    violation: broken(/opened twice/)
  },
  {
    title: 'SYN with RST is nothing',
    input: (id) => [frame(data, syn | rst, id, body), frame(update, syn, id + 2)],
    passed: (id) => [`update syn ${id + 2} 0`]
  },
  {
    title: 'frames for an unknown ID are dropped with their bodies',
    input: (id, own) => [
      frame(data, 0, id, body),
      frame(data, fin, own + 2, body),
      frame(update, ack, own + 4, 5),
      frame(update, fin, id),
      frame(update, rst, id),
      frame(data, 0, own, body)
    ],
    passed: (_id, own) => [`data ${own} "payload"`]
  },
  {
    title: 'frames for an ID finished both ways are dropped',
    input: (_id, own) => [
      frame(update, fin, own),
      frame(update, 0, own, 100),
      frame(update, rst, own),
      frame(update, fin, own)
    ],
    passed: (_id, own) => [`update fin ${own} 0`],
    setUp: (guard, own) => void guard.sent(frame(update, fin, own))
  },
  {
    title: 'a second FIN ends the session',
    input: (id) => [frame(update, syn, id), frame(update, fin, id), frame(update, fin, id)],
    passed: (id) => [`update syn ${id} 0`, `update fin ${id} 0`],
    violation: broken(/finished twice/)
  },
  {
    title: 'data after FIN resets that substream at both ends',
    input: (id, own) => [
      frame(update, syn | fin, id),
      frame(data, 0, id, body),
      frame(data, 0, id, body),
      frame(data, 0, own, body)
    ],
    passed: (id, own) => [`update syn fin ${id} 0`, `update rst ${id} 0`, `data ${own} "payload"`],
    replies: (id) => [`update rst ${id} 0`]
  },
  {
    title: 'RST after FIN passes',
    input: (id) => [frame(update, syn, id), frame(update, fin, id), frame(update, rst, id)],
    passed: (id) => [`update syn ${id} 0`, `update fin ${id} 0`, `update rst ${id} 0`]
  },
  {
    title: 'data with RST resets, without its payload',
    input: (id) => [frame(data, syn, id, body), frame(data, rst, id, body), frame(data, 0, id, body)],
    passed: (id) => [`data syn ${id} "payload"`, `update rst ${id} 0`]
  },
  {
    title: 'data with FIN becomes data, then FIN',
    input: (id, own) => [frame(data, syn | fin, id, body), frame(data, ack | fin, own, body)],
    passed: (id, own) => [
      `data syn ${id} "payload"`,
      `update fin ${id} 0`,
      `data ack ${own} "payload"`,
      `update fin ${own} 0`
    ]
  },
  {
    title: 'data of length 0 carries its flags',
    input: (id, own) => [
      frame(data, syn, id),
      frame(data, fin, id),
      frame(data, ack, own),
      frame(data, rst, own)
    ],
    passed: (id, own) => [
      `data syn ${id} ""`,
      `data fin ${id} ""`,
      `data ack ${own} ""`,
      `data rst ${own} ""`
    ]
  },
  {
    title: 'a whole window passes',
    input: (id) => [frame(data, syn, id, Buffer.alloc(windowBytes))],
    passed: (id) => [`data syn ${id} ${windowBytes}`]
  },
  ...[windowBytes + 1, 2 ** 31, 2 ** 32 - 1].map((length): Case => ({
    title: `a length of ${length} is refused on the header`,
    input: (id) => [frame(update, syn, id), frame(data, 0, id, Buffer.alloc(0), length)],
    passed: (id) => [`update syn ${id} 0`],
    violation: broken(/exceeds the window/)
  })),
  {
    title: 'an impossible length is refused for an unknown ID, too',
    input: (id) => [frame(data, 0, id, Buffer.alloc(0), windowBytes + 1)],
    violation: broken(/exceeds the window/)
  },
  {
    title: 'data beyond what is left of the window ends the session on the header',
    input: (id) => [
      frame(data, syn, id, Buffer.alloc(windowBytes - 7)),
      frame(data, 0, id, Buffer.alloc(0), 8)
    ],
    passed: (id) => [`data syn ${id} ${windowBytes - 7}`],
    violation: broken(/8 bytes into a window of 7/)
  },
  {
    title: 'credit that reaches 32 bits is taken',
    input: (_id, own) => [frame(update, 0, own, 0xffffffff - windowBytes)],
    passed: (_id, own) => [`update ${own} ${0xffffffff - windowBytes}`]
  },
  {
    title: 'credit that exceeds 32 bits ends the session',
    input: (_id, own) => [frame(update, 0, own, 0xffffffff)],
    violation: broken(/exceeds 32 bits/)
  },
  {
    title: 'a SYN after our go-away is reset',
    input: (id) => [frame(data, syn, id, body), frame(data, 0, id, body)],
    replies: (id) => [`update rst ${id} 0`],
    setUp: (guard) => guard.refuse()
  },
  {
    title: 'one substream too many is reset, and one that ended makes room',
    input: (id) => [
      frame(update, syn, id),
      frame(update, syn, id + 2),
      frame(update, syn, id + 4),
      frame(update, syn, id + 6),
      frame(data, 0, id + 6, body),
      frame(update, rst, id),
      frame(update, syn, id + 8)
    ],
    passed: (id) => [
      `update syn ${id} 0`,
      `update syn ${id + 2} 0`,
      `update syn ${id + 4} 0`,
      `update rst ${id} 0`,
      `update syn ${id + 8} 0`
    ],
    replies: (id) => [`update rst ${id + 6} 0`]
  },
  {
    title: 'unknown flag bits are ignored',
    input: (id) => [frame(update, syn | 0x8000, id)],
    passed: (id) => [`update syn ${id} 0`]
  }
]

function start(role: 'client' | 'server', test: Case, own: number): Started {
  const replies: string[] = []
  const guard = createGuard({
    role,
    maxSubstreams: 3,
    reply: (bytes) => replies.push(...describe(Buffer.from(bytes)))
  })
  guard.open(own)
  test.setUp?.(guard, own)
  return { guard, replies }
}

for (const role of ['client', 'server'] as const) {
  const [id, own] = role === 'client' ? [2, 1] : [1, 2]
  for (const test of cases) {
    await t.test(`${test.title} (${role})`, async (t) => {
      const input = Buffer.concat(test.input(id, own))
      const expected = {
        passed: test.passed?.(id, own) ?? [],
        replies: test.replies?.(id, own) ?? [],
        goneAway: test.goneAway ?? false
      }
      const feed = (pieces: Buffer[]): void => {
        const { guard, replies } = start(role, test, own)
        const passed = Buffer.concat(pieces.flatMap((piece) => guard.push(Buffer.from(piece))))
        const seen = { passed: describe(passed), replies, goneAway: guard.peerGoneAway }
        t.same(seen, expected, `${pieces.map(({ length }) => length).join(' + ')} bytes`)
        if (test.violation === undefined) t.equal(guard.violation, undefined)
        else t.match(guard.violation, test.violation)
      }
      feed([input])
      // Large bodies are alike inside: their edges are enough.
      for (let offset = 1; offset < input.length; offset++) {
        if (input.length > 4000 && offset > 40 && offset < input.length - 40) continue
        feed([input.subarray(0, offset), input.subarray(offset)])
      }
      if (input.length < 4000) feed(Array.from(input, (_, index) => input.subarray(index, index + 1)))
    })
  }
}

const newGuard = (): Guard => createGuard({ role: 'client', maxSubstreams: 10, reply: () => {} })

await t.test('an end of the stream between frames is no violation', async (t) => {
  const guard = newGuard()
  guard.push(frame(data, syn, 2, body))
  guard.end()
  t.equal(guard.violation, undefined)
})

for (const missing of [1, 7, 8, 18]) {
  await t.test(
    `an end of the stream ${missing} bytes before the end of a frame is a violation`,
    async (t) => {
      const guard = newGuard()
      const bytes = frame(data, syn, 2, body)
      guard.push(bytes.subarray(0, bytes.length - missing))
      t.equal(guard.violation, undefined)
      guard.end()
      t.match(guard.violation, { code: 'ERR_SESSION_PROTOCOL', message: /truncated frame/ })
      t.equal(guard.violationCode, undefined, 'nobody is left to be told')
    }
  )
}

await t.test('the transform throws the violation after what came before it', async (t) => {
  const guard = newGuard()
  const passed: Uint8Array[] = []
  await t.rejects(
    async () => {
      const source = (async function* () {
        yield Buffer.concat([frame(update, syn, 2), frame(9, 0, 0)])
      })()
      for await (const slices of guard.transform(source)) passed.push(...slices)
    },
    { code: 'ERR_SESSION_PROTOCOL' }
  )
  t.same(describe(Buffer.concat(passed)), ['update syn 2 0'])
  t.equal(guard.violationCode, 1)
})

await t.test('bodies are passed as slices of what came in', async (t) => {
  const guard = newGuard()
  const chunk = Buffer.concat([frame(data, syn, 2, body), frame(data, 0, 2, body), frame(update, 0, 2, 9)])
  const slices = guard.push(chunk)
  t.equal(slices.length, 1)
  t.equal(slices[0]?.buffer, chunk.buffer)
  t.equal(slices[0]?.byteLength, chunk.length)
})

await t.test('credit is counted both ways', async (t) => {
  const guard = newGuard()
  const flow = guard.open(1)
  guard.sent(frame(data, syn, 1, Buffer.alloc(1000)))
  t.equal(flow.sendWindow, windowBytes - 1000)
  guard.push(frame(update, ack, 1, 600))
  t.equal(flow.sendWindow, windowBytes - 400)
  t.same(guard.takeCredited(), [flow])
  t.same(guard.takeCredited(), [])
  guard.push(frame(data, 0, 1, Buffer.alloc(300)))
  t.equal(flow.receiveWindow, windowBytes - 300)
  t.same(describe(Buffer.from(guard.grant(flow, 200))), ['update 1 200'])
  t.equal(flow.receiveWindow, windowBytes - 100)
})

await t.test('credit that leaves no more than a header is known to be withheld by the library', async (t) => {
  const guard = newGuard()
  const flow = guard.open(1)
  guard.sent(frame(data, syn, 1, Buffer.alloc(windowBytes)))
  for (const [credit, withheld] of [
    [10, true],
    [2, true],
    [1, false]
  ] as const) {
    guard.push(frame(update, 0, 1, credit))
    t.equal(flow.withheld, withheld, `${flow.sendWindow} bytes`)
  }
})

await t.test('only the frames that are the library’s to send leave', async (t) => {
  const guard = newGuard()
  guard.open(1)
  t.notOk(guard.sent(frame(update, 0, 1, 100)), 'credit for bytes that nobody has read')
  t.notOk(guard.sent(frame(goAway, 0, 0, 0)), 'go-away')
  t.notOk(guard.sent(frame(ping, ack, 0, 0)), 'ping')
  t.notOk(guard.sent(frame(update, fin, 3)), 'a frame for an ID that is gone')
  const opening = frame(update, syn, 1, 100)
  t.ok(guard.sent(opening))
  t.same(describe(opening), ['update syn 1 0'], 'without credit')
  t.ok(guard.sent(frame(data, 0, 1, body)))
  t.ok(guard.sent(frame(update, fin, 1)))
  t.ok(guard.sent(frame(update, rst, 1)))
  t.notOk(guard.sent(frame(update, rst, 1)), 'a second RST')
})

await t.test('an ID is live until both FINs or a RST, either way', async (t) => {
  const guard = newGuard()
  guard.open(1)
  guard.open(3)
  guard.push(Buffer.concat([frame(update, syn, 2), frame(update, syn, 4)]))
  t.same([guard.live, guard.liveOwn], [4, 2])
  guard.sent(frame(update, fin, 1))
  guard.push(frame(update, fin, 2))
  t.same([guard.live, guard.liveOwn], [4, 2])
  guard.push(frame(update, fin, 1))
  guard.sent(frame(update, fin, 2))
  t.same([guard.live, guard.liveOwn], [2, 1])
  guard.push(frame(update, rst, 3))
  guard.sent(frame(update, rst, 4))
  t.same([guard.live, guard.liveOwn], [0, 0])
})

await t.test('the IDs end before they exceed 32 bits', async (t) => {
  const client = newGuard()
  t.ok(client.idsLeft)
  client.open(0xffffffff - 2)
  t.ok(client.idsLeft)
  client.open(0xffffffff)
  t.notOk(client.idsLeft)
  const server = createGuard({ role: 'server', maxSubstreams: 10, reply: () => {} })
  server.open(0xfffffffe - 2)
  t.ok(server.idsLeft)
  server.open(0xfffffffe)
  t.notOk(server.idsLeft)
})
