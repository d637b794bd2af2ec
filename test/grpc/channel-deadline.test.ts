import t from 'tap'
import { deadlineMs, formatTimeout, onDeadline } from '../../lib/grpc/deadline.js'

t.test('grpc-timeout is rounded up and has at most 8 digits', async (t) => {
  const day = 86_400_000
  for (const [ms, text] of [
    [0.2, '1m'],
    [1, '1m'],
    [98.5, '99m'],
    [99_999_999, '99999999m'],
    [99_999_999.5, '100000S'],
    [1e8, '100000S'],
    [1e9, '1000000S'],
    [1e9 + 1, '1000001S'],
    [2_147_483_000, '2147483S'],
    [30 * day, '2147483S'],
    [1e15, '2147483S']
  ] as const) {
    t.equal(formatTimeout(ms), text)
  }
})

t.test('deadlines are dates or numbers', async (t) => {
  t.equal(deadlineMs(new Date(5)), 5)
  t.equal(deadlineMs(-Infinity), -Infinity)
  for (const deadline of [NaN, new Date('nonsense')]) t.throws(() => deadlineMs(deadline), TypeError)
})

t.test('a timer fires once its deadline has passed, in a later tick, unless cancelled', async (t) => {
  let fired = 0
  const cancel = onDeadline(Date.now() + 1, () => fired++)
  cancel()
  await new Promise<void>((resolve) => {
    onDeadline(-Infinity, resolve)
    t.equal(fired, 0)
  })
  await new Promise<void>((resolve) => onDeadline(Date.now() + 5, resolve))
  t.equal(fired, 0)
})

t.test('a deadline beyond what setTimeout takes does not fire at once', async (t) => {
  let fired = false
  const cancel = onDeadline(Date.now() + 1e12, () => {
    fired = true
  })
  await new Promise<void>((resolve) => onDeadline(Date.now() + 20, resolve))
  cancel()
  t.equal(fired, false)
})
