import t from 'tap'
import { MessageQueue } from '../../lib/grpc/message-queue.js'

function queueWithLog() {
  const log: string[] = []
  const queue = new MessageQueue<number>({ onRoom: () => log.push('room'), onLeave: () => log.push('left') })
  return { queue, log }
}

t.test('messages are read in their order, before and after they come', async (t) => {
  const { queue } = queueWithLog()
  const early = [queue.next(), queue.next()]
  t.equal(queue.push(1, 1), true)
  t.equal(queue.push(2, 1), true)
  t.equal(queue.push(3, 1), true)
  queue.end()
  t.same(await Promise.all(early), [
    { done: false, value: 1 },
    { done: false, value: 2 }
  ])
  t.same(await queue.next(), { done: false, value: 3 })
  t.same(await queue.next(), { done: true, value: undefined })
  t.same(await queue.next(), { done: true, value: undefined })
})

t.test('it is full after 64 messages or 64 KiB, and says once when there is room again', async (t) => {
  for (const [bytes, most] of [
    [1, 64],
    [16_384, 4]
  ] as const) {
    const { queue, log } = queueWithLog()
    for (let count = 1; count < most; count++) t.equal(queue.push(count, bytes), true)
    t.equal(queue.push(most, bytes), false)
    await queue.next()
    await queue.next()
    t.same(log, ['room'])
  }
})

t.test('an error at the end comes after what was there, and one time', async (t) => {
  const { queue } = queueWithLog()
  queue.push(1, 1)
  queue.end(() => new Error('late'))
  t.same(await queue.next(), { done: false, value: 1 })
  await t.rejects(queue.next(), { message: 'late' })
  t.same(await queue.next(), { done: true, value: undefined })
})

t.test('a failure comes at once, to the first who waits, and drops what was not read', async (t) => {
  const { queue } = queueWithLog()
  const waiting = [queue.next(), queue.next()]
  queue.fail(() => new Error('now'))
  await t.rejects(waiting[0]!, { message: 'now' })
  t.same(await waiting[1], { done: true, value: undefined })

  const unread = queueWithLog().queue
  unread.push(1, 1)
  unread.end()
  unread.fail(() => new Error('over'))
  await t.rejects(unread.next(), { message: 'over' })
})

t.test('a reader that leaves is told of once, and nothing is kept for it', async (t) => {
  const { queue, log } = queueWithLog()
  queue.push(1, 1)
  const waiting = queueWithLog()
  const next = waiting.queue.next()
  await waiting.queue.return()
  t.same(await next, { done: true, value: undefined })
  await queue.return()
  await queue.return()
  t.same(log, ['left'])
  t.equal(queue.push(2, 1_000_000), true)
  t.same(await queue.next(), { done: true, value: undefined })
})
