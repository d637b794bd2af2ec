import t from 'tap'
import { answerVersion, chooseVersion } from '../../lib/handshake/version.js'

await t.test('the newest version that both list wins, in whatever order', async (t) => {
  t.equal(chooseVersion([1, 2, 10], [10, 2, 3]), 10)
  t.equal(chooseVersion([10, 9, 2], [2, 9]), 9)
  t.equal(chooseVersion([0], [0]), 0)
  t.equal(answerVersion([1, 2, 10], [2, 1]), 2)
})

await t.test('without a common version there is no choice, and the plugin answers its lowest', async (t) => {
  t.equal(chooseVersion([1, 2], [3]), undefined)
  t.equal(chooseVersion([1, 2], []), undefined)
  t.equal(answerVersion([10, 9], [3]), 9)
  t.equal(answerVersion([0, 2], []), 0)
})

await t.test('the lists are left as they were', async (t) => {
  const own = Object.freeze([1, 3, 2])
  t.equal(chooseVersion(own, Object.freeze([3, 1])), 3)
})
