import '../helpers/plain-children.js'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type Broker, type Connection, attach, createHostService, openRoot, serveTest, status } from 'muxplug'
import { Cache } from '#proto/cache/v1/cache.js'
import { HostService } from '#proto/hostserve/v1/hostserve.js'
import { Indexer } from '#proto/indexer/v1/indexer.js'
import { KeyValue } from '#proto/kv/v1/kv.js'
import { createCache } from '../../plugins/services/cache.js'
import { type KeyValueLimits, createKeyValue } from '../../plugins/services/key-value.js'
import { type Store, openStore } from '../../plugins/services/store.js'
import { inTransaction } from '../../plugins/services/transaction.js'
import { checkPage, failureOf, launchExample } from '../helpers/example.js'
import { packageRoot } from '../helpers/paths.js'

const handshake = { cookieKey: 'TEST_PLUGIN', cookieValue: 'test' }
const bytes = (text: string): Buffer => Buffer.from(text)

t.test('the page', (t) => checkPage(t, 'services'))

function openTestStore(t: Test): Store {
  const store = openStore(join(t.testdir(), 'test.db'))
  t.teardown(() => store[Symbol.dispose]())
  return store
}

/** Both ends of a plugin in this process. */
async function pair(t: Test) {
  let broker: Broker | undefined
  const plugin = await serveTest({ handshake, services: (own) => ((broker = own), []) })
  const host = await attach(plugin.reattachConfig)
  t.teardown(async () => {
    await host.close()
    await plugin.stop()
  })
  return { host: host.broker, plugin: broker! }
}

/** What a plugin has of a store. */
async function connect(t: Test, store: Store, limits?: KeyValueLimits) {
  const { host, plugin } = await pair(t)
  const { id } = host.serve(KeyValue, createKeyValue(store, limits))
  const connection: Connection = plugin.dial(id)
  const kv = connection.dispense(KeyValue)
  const get = async (key: string, transaction = 0): Promise<string | undefined> => {
    const { found, value } = await kv.get({ key: bytes(key), transaction })
    return found ? Buffer.from(value).toString() : undefined
  }
  const set = (key: string, value: string, transaction = 0) =>
    kv.set({ key: bytes(key), value: bytes(value), transaction })
  const begin = async (options: { signal?: AbortSignal; deadline?: number } = {}) => {
    const call = kv.begin({}, options)[Symbol.asyncIterator]()
    const { value } = await call.next()
    const over = call.next()
    // Not every test waits for it.
    over.catch(() => {})
    return { number: (value as { transaction: number }).transaction, over }
  }
  return { kv, connection, get, set, begin }
}

t.test(
  'a transaction sees what was there when it began, and nobody sees its changes before Commit',
  async (t) => {
    const store = openTestStore(t)
    const [one, other] = [await connect(t, store), await connect(t, store)]
    await one.set('a', 'before')
    const { number, over } = await one.begin()
    const reading = await other.begin()
    await one.set('a', 'inside', number)
    await one.set('b', 'inside', number)
    t.same(await one.kv.delete({ key: bytes('a'), transaction: number }), { found: true })
    t.same([await one.get('a', number), await one.get('b', number)], [undefined, 'inside'])
    for (const outside of [one, other]) {
      t.same([await outside.get('a'), await outside.get('b')], ['before', undefined])
    }
    await one.kv.commit({ transaction: number })
    t.match(await over, { done: true }, 'Begin ends well')
    t.same([await other.get('a'), await other.get('b')], [undefined, 'inside'])
    t.equal(await other.get('a', reading.number), 'before', 'a transaction that began earlier')
    t.match(await failureOf(one.get('a', number)), {
      status: status.FAILED_PRECONDITION,
      details: 'transaction 1 is not open'
    })
    await other.kv.rollback({ transaction: reading.number })
    t.match(await reading.over, { done: true })
  }
)

t.test('of two transactions that write, the second is told to begin again', async (t) => {
  const store = openTestStore(t)
  const [one, other] = [await connect(t, store), await connect(t, store)]
  const [first, second] = [await one.begin(), await other.begin()]
  await one.set('a', '1', first.number)
  const aborted = { status: status.ABORTED, details: /another transaction is writing/ }
  t.match(await failureOf(other.set('b', '2', second.number)), aborted)
  t.match(await failureOf(other.set('b', '2')), aborted, 'and so is a call by itself')
  await one.kv.commit({ transaction: first.number })
  t.match(await failureOf(other.set('b', '2', second.number)), aborted, 'what it saw is no longer so')
  await other.kv.rollback({ transaction: second.number })
  await Promise.allSettled([first.over, second.over])
  const again = await other.begin()
  await other.set('b', '2', again.number)
  await other.kv.commit({ transaction: again.number })
  t.same([await one.get('a'), await one.get('b')], ['1', '2'])
})

t.test('a transaction belongs to the plugin that began it', async (t) => {
  const store = openTestStore(t)
  const [one, other] = [await connect(t, store), await connect(t, store)]
  const { number } = await one.begin()
  await one.set('a', '1', number)
  const refused = { status: status.FAILED_PRECONDITION }
  t.match(await failureOf(other.get('a', number)), refused)
  t.match(await failureOf(other.kv.commit({ transaction: number })), refused)
  t.match(await failureOf(other.kv.rollback({ transaction: number })), refused)
  t.equal(await one.get('a', number), '1')
})

t.test('a transaction is rolled back, and its lock gone, when', async (t) => {
  const store = openTestStore(t)
  const other = await connect(t, store)
  const ways: Record<string, (one: Awaited<ReturnType<typeof connect>>) => Promise<void>> = {
    'it is rolled back': async ({ kv, set, begin }) => {
      const { number, over } = await begin()
      await set('a', 'lost', number)
      await kv.rollback({ transaction: number })
      await over
    },
    'its work fails': async ({ kv, set }) => {
      const work = inTransaction(kv, async (number) => {
        await set('a', 'lost', number)
        throw new Error('work')
      })
      await t.rejects(work, { message: 'work' })
    },
    'the call that began it is cancelled': async ({ set, begin }) => {
      const controller = new AbortController()
      const { number, over } = await begin({ signal: controller.signal })
      await set('a', 'lost', number)
      controller.abort(new Error('enough'))
      await t.rejects(over, { message: 'enough' })
    },
    'its connection ends': async ({ connection, set, begin }) => {
      const { number, over } = await begin()
      await set('a', 'lost', number)
      connection.abort(new Error('gone'))
      await failureOf(over)
    },
    'it has been open for too long': async ({ set, begin }) => {
      const { number, over } = await begin()
      await set('a', 'lost', number)
      t.match(await failureOf(over), {
        status: status.DEADLINE_EXCEEDED,
        details: /was open for 200 ms: it is rolled back/
      })
    }
  }
  for (const [name, run] of Object.entries(ways)) {
    await t.test(name, async (t) => {
      // The host may see a cancelled call a moment later than the caller: so it is told how long that takes.
      let released = (): void => {}
      const gone = new Promise<void>((resolve) => (released = resolve))
      const watched: Store = {
        ...store,
        connect() {
          const session = store.connect()
          const dispose = (): void => (session[Symbol.dispose](), released())
          return { ...session, [Symbol.dispose]: dispose }
        }
      }
      await run(await connect(t, watched, { maxTransactionMs: 200 }))
      await gone
      await other.set('b', name)
      t.same([await other.get('a'), await other.get('b')], [undefined, name])
    })
  }
})

t.test('a page ends at a number of entries or of bytes, and keys at the prefix', async (t) => {
  const { kv } = await connect(t, openTestStore(t), { maxPageEntries: 3, maxPageBytes: 100 })
  const keys = ['a', 'b\x00', 'b\x01', 'b\x02x', 'b\xff', 'b\xff\xff', 'c'].map((key) =>
    Buffer.from(key, 'latin1')
  )
  for (const key of keys) await kv.set({ key, value: Buffer.alloc(key.length === 3 ? 90 : 20) })
  const scan = async (prefix: Buffer, pageSize = 0) => {
    const pages: Buffer[][] = []
    let pageToken: Uint8Array = Buffer.alloc(0)
    do {
      const page = await kv.scan({ prefix, pageSize, pageToken })
      pages.push(page.entries.map(({ key }) => Buffer.from(key)))
      pageToken = page.nextPageToken
    } while (pageToken.length > 0)
    return pages
  }
  const [a, b0, b1, b2x, bf, bff, c] = keys
  t.same(
    await scan(Buffer.from('b')),
    [[b0, b1], [b2x], [bf], [bff]].map((page) => page),
    'by bytes'
  )
  t.same(await scan(Buffer.alloc(0), 1), [[a], [b0], [b1], [b2x], [bf], [bff], [c]])
  t.same(await scan(Buffer.from('b\xff', 'latin1')), [[bf], [bff]])
  t.same(await scan(Buffer.from('d')), [[]])
})

t.test('keys, values and the number of transactions have limits', async (t) => {
  const limits = { maxKeyBytes: 4, maxValueBytes: 8, maxTransactions: 2 }
  const { kv, set, get, begin } = await connect(t, openTestStore(t), limits)
  await set('key4', '12345678')
  t.equal(await get('key4'), '12345678')
  await set('none', '')
  t.equal(await get('none'), '')
  const invalid = (details: string) => ({ status: status.INVALID_ARGUMENT, details })
  t.match(await failureOf(set('', '')), invalid('the key is empty'))
  t.match(await failureOf(get('key-5')), invalid('the key has 5 bytes, more than 4'))
  t.match(await failureOf(set('a', '123456789')), invalid('the value has 9 bytes, more than 8'))
  const [first, second] = [await begin(), await begin()]
  const third = kv.begin({})[Symbol.asyncIterator]()
  t.match(await failureOf(third.next()), {
    status: status.RESOURCE_EXHAUSTED,
    details: '2 transactions are open'
  })
  await kv.rollback({ transaction: first.number })
  const next = await begin()
  for (const { number } of [second, next]) await kv.rollback({ transaction: number })
  for (const { over } of [first, second, next]) t.match(await over, { done: true })
})

for (const transport of ['stream', 'socket', 'socket-mux'] as const) {
  t.test(`${transport}: a plugin that dies in a transaction leaves nothing behind`, async (t) => {
    const store = openTestStore(t)
    store.main.set(bytes('cache/v1/cache.js'), bytes('before'))
    const root = await openRoot(join(packageRoot, 'proto'))
    t.teardown(() => root.close())
    const start = async () => {
      const plugin = await launchExample(t, 'services', { transport })
      const ids = {
        files: plugin.broker.serve(HostService, createHostService({ root })).id,
        store: plugin.broker.serve(KeyValue, createKeyValue(store, { maxTransactionMs: 60_000 })).id,
        cache: plugin.broker.serve(Cache, createCache()).id
      }
      return { plugin, index: plugin.dispense(Indexer).index, ids }
    }
    const [one, other] = [await start(), await start()]
    const dying = one.index({ ...one.ids, dir: 'cache/v1', die: true })
    t.match(await failureOf(dying), { code: 'ERR_PROCESS_EXITED' })
    await one.plugin.closed
    const entries = [...store.main.entries(new Uint8Array())].map(({ value }) =>
      Buffer.from(value).toString()
    )
    t.same(entries, ['before'], 'the data are as before')
    t.match(await other.index({ ...other.ids, dir: 'cache/v1' }), { files: 3 }, 'another one begins at once')
    t.equal([...store.main.entries(new Uint8Array())].length, 3)
  })
}

t.test('the cache forgets what was not used for longest, and what is too old', async (t) => {
  const { host, plugin } = await pair(t)
  let time = 1000
  const options = { maxBytes: 3 * 200, maxEntryBytes: 100, maxTtlMs: 5000, now: () => time }
  const cache = plugin.dial(host.serve(Cache, createCache(options)).id).dispense(Cache)
  const value = Buffer.alloc(60, 1)
  const has = async (key: string): Promise<boolean> => (await cache.get({ key })).found

  for (const key of ['a', 'b', 'c']) await cache.put({ key, value })
  t.same(await cache.get({ key: 'a' }), { found: true, value })
  await cache.put({ key: 'd', value })
  t.same([await has('a'), await has('b'), await has('c'), await has('d')], [true, false, true, true])

  await cache.put({ key: 'short', ttlMs: 100 })
  await cache.put({ key: 'long', ttlMs: 2 ** 32 - 1 })
  t.same([await has('short'), await has('long')], [true, true])
  time += 101
  t.same([await has('short'), await has('long')], [false, true])
  time += 5000
  t.equal(await has('long'), false, 'not longer than the host allows')

  const invalid = { status: status.INVALID_ARGUMENT }
  t.match(await failureOf(cache.get({ key: '' })), invalid)
  t.match(await failureOf(cache.put({ key: 'big', value: Buffer.alloc(98) })), invalid)
})
