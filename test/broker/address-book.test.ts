import t from 'tap'
import { createAddressBook } from '../../lib/broker/address-book.js'

const place = (address: string) => ({ network: 'unix', address }) as const

t.test('the last address of an ID is found, however often', async (t) => {
  const book = createAddressBook({ maxAddresses: 9, maxWaiting: 9 })
  book.add(1, place('/a'))
  book.add(2, place('/b'))
  book.add(1, place('/c'))
  t.same(await book.find(1, {}), place('/c'))
  t.same(await book.find(1, {}), place('/c'))
  t.same(await book.find(2, {}), place('/b'))
})

t.test('a new address of an ID makes it the newest, and takes nobody else its place', async (t) => {
  const book = createAddressBook({ maxAddresses: 2, maxWaiting: 9 })
  book.add(1, place('/1'))
  book.add(2, place('/2'))
  book.add(1, place('/new'))
  t.same(await book.find(2, {}), place('/2'))
  book.add(2, place('/new'))
  book.add(3, place('/3'))
  t.same(await book.find(2, {}), place('/new'))
  await t.rejects(book.find(1, { timeoutMs: 1 }))
})

t.test('everyone who waits for an ID is told of its address, and nobody else', async (t) => {
  const book = createAddressBook({ maxAddresses: 9, maxWaiting: 9 })
  const searches = [book.find(1, {}), book.find(2, {}), book.find(1, {})]
  t.equal(book.waiting, 3)
  book.add(1, place('/a'))
  t.same(await Promise.all([searches[0], searches[2]]), [place('/a'), place('/a')])
  t.equal(book.waiting, 1)
  book.add(2, place('/b'))
  t.same(await searches[1], place('/b'))
})

t.test('a removed address is not found; one that has replaced it is', async (t) => {
  const book = createAddressBook({ maxAddresses: 9, maxWaiting: 9 })
  book.add(1, place('/b'))
  book.remove(1, place('/a'))
  book.remove(1, { network: 'tcp', address: '/b' })
  book.remove(2, place('/b'))
  t.same(await book.find(1, {}), place('/b'))
  book.remove(1, place('/b'))
  await t.rejects(book.find(1, { timeoutMs: 1 }))
  t.equal(book.waiting, 0)
})

t.test('searches that wait are bounded; those that find at once are not', async (t) => {
  const book = createAddressBook({ maxAddresses: 9, maxWaiting: 1 })
  const waiting = book.find(1, {})
  await t.rejects(book.find(1, {}), { code: 'ERR_BROKER_REFUSED', id: 1 })
  book.add(2, place('/b'))
  t.same(await book.find(2, {}), place('/b'))
  book.add(1, place('/a'))
  t.same(await waiting, place('/a'))
})

t.test('addresses are bounded: those found go first, then the oldest', async (t) => {
  const book = createAddressBook({ maxAddresses: 2, maxWaiting: 9 })
  const isKnown = (id: number) => book.find(id, { timeoutMs: 1 }).then(Boolean, () => false)
  book.add(1, place('/1'))
  book.add(2, place('/2'))
  await book.find(2, {})
  book.add(3, place('/3'))
  t.equal(await isKnown(2), false, 'found')
  book.add(4, place('/4'))
  t.equal(await isKnown(1), false, 'oldest')
  t.same([await isKnown(3), await isKnown(4)], [true, true])

  const other = createAddressBook({ maxAddresses: 2, maxWaiting: 9 })
  const waiting = other.find(5, {})
  other.add(1, place('/1'))
  other.add(5, place('/5'))
  t.same(await waiting, place('/5'))
  other.add(6, place('/6'))
  await t.rejects(other.find(5, { timeoutMs: 1 }), 'being waited for counts as found')
  t.same(await other.find(1, {}), place('/1'))
})
