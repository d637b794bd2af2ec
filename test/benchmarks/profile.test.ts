import '../helpers/plain-children.js'
import { readFile, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { measureCell } from '../../benchmarks/cell.js'
import { type Profile, bundleMaps, formatSummary, summariseProfile } from '../../benchmarks/profile.js'
import { rows } from '../../benchmarks/rows.js'

const urls = {
  1: ['(idle)', ''],
  2: ['(garbage collector)', ''],
  3: ['send', 'file:///app/dist/lib/mux/turns.js'],
  4: ['start', 'file:///app/node_modules/@grpc/grpc-js/build/src/call.js'],
  5: ['ondata', 'node:internal/http2/core'],
  6: ['writev', ''],
  7: ['read', 'file:///app/node_modules/@chainsafe/libp2p-yamux/dist/src/decode.js']
} as const

/** A sample of each node, for as many milliseconds as given. */
function profileOf(...samples: readonly [id: number, ms: number][]): Profile {
  const total = samples.reduce((sum, [, ms]) => sum + ms * 1000, 0)
  return {
    nodes: Object.entries(urls).map(([id, [functionName, url]]) => ({
      id: Number(id),
      callFrame: { functionName, url, lineNumber: 9, columnNumber: 0 }
    })),
    startTime: 5000,
    endTime: 5000 + total,
    samples: samples.map(([id]) => id),
    timeDeltas: samples.map((_, index) => (index === 0 ? 0 : samples[index - 1]![1] * 1000))
  }
}

t.test('time belongs to what a sample shows until the next; idle time is in no share', (t) => {
  const summary = summariseProfile(profileOf([1, 50], [3, 6], [4, 3], [1, 50], [5, 1]))
  t.match(summary, { busyMs: 10, idleMs: 100 })
  t.same(summary.groups, [
    { name: 'lib/mux', ms: 6, share: 0.6 },
    { name: '@grpc/grpc-js', ms: 3, share: 0.3 },
    { name: 'node:http2', ms: 1, share: 0.1 }
  ])
  t.equal(summary.functions[0]?.name, 'send  dist/lib/mux/turns.js:10', 'lines count from 1')
  t.end()
})

t.test('what has no file, and the packages of libp2p, have groups of their own', (t) => {
  const { groups } = summariseProfile(profileOf([2, 3], [6, 2], [7, 1]))
  t.same(
    groups.map(({ name }) => name),
    ['(garbage collector)', '(native)', 'libp2p']
  )
  t.end()
})

t.test('a summary has all groups and as many functions as asked for', (t) => {
  const text = formatSummary('a', summariseProfile(profileOf([3, 6], [4, 4])), 1)
  t.match(text, /^a: 10 ms busy, 0 ms idle\n/)
  t.match(text, / 60\.0 % {7}6\.0 ms  send/)
  t.notMatch(text, /start/)
  t.end()
})

t.test('a profile that is idle throughout, or refers to nothing', (t) => {
  t.match(summariseProfile(profileOf([1, 5])), { busyMs: 0, idleMs: 5, groups: [] })
  t.throws(() => summariseProfile(profileOf([8, 5])), { message: /node 8/ })
  t.end()
})

t.test('host and plugin of a cell each write a profile, and none unless asked to', async (t) => {
  const directory = t.testdir()
  const timing = { warmUpMs: 1, durationMs: 50 }
  const { signal } = new AbortController()
  for (const name of ['raw-socketpair', 'stream-h2-libp2p']) {
    const row = rows.find((one) => one.name === name)!
    const request = { row: name, case: 'unary-64B', ...timing }
    t.match(await measureCell(row, request, signal), { t: 'measured' })
    t.same(await readdir(directory), [])
    t.match(await measureCell(row, request, signal, directory), { t: 'measured' })
    for (const end of ['host', 'plugin']) {
      const file = join(directory, `unary-64B-${name}-${end}.cpuprofile`)
      const text = await readFile(file, 'utf8')
      const { functions, groups } = summariseProfile(JSON.parse(text) as Profile, bundleMaps())
      t.ok(functions.length > 0, `${end} of ${name}`)
      const folders = groups.map((group) => group.name)
      t.equal(folders.includes('lib/grpc'), name === 'stream-h2-libp2p', 'the bundle is taken apart')
    }
    for (const file of await readdir(directory)) await rm(join(directory, file))
  }
})
