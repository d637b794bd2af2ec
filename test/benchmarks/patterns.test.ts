import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { keepGoing, medians, runPage } from '../../benchmarks/patterns/page.js'
import { joinReadme, splitReadme } from '../../benchmarks/readme.js'
import { packageRoot } from '../helpers/paths.js'

t.test('cells are measured in turns, and the first round does not count', async (t) => {
  const order: string[] = []
  const figures = [1000, 1000, 3, 30, 10, 1, 2, 20]
  const found = await medians(['a', 'b'], 3, async (cell) => {
    order.push(cell)
    return [figures.shift()!]
  })
  t.equal(order.join(''), 'abbaabba')
  t.same(
    [...found],
    [
      ['a', [20]],
      ['b', [2]]
    ]
  )
})

t.test('so many operations are under way all the time, each of them at least once', async (t) => {
  let most = 0
  let now = 0
  const done = await keepGoing(3, 0, async () => {
    now += 1
    most = Math.max(most, now)
    await Promise.resolve()
    now -= 1
  })
  t.same([most, done], [3, 3])
})

t.test('an option that there is not is wrong usage', async (t) => {
  t.equal(
    await runPage('pool', ['--nonsense'], { rounds: 1, durationMs: 1 }, () =>
      Promise.reject(new Error('measured'))
    ),
    2
  )
})

for (const name of ['compression', 'pool']) {
  t.test(`the page ${name} has a place for its tables, and they are there`, async (t) => {
    const page = await readFile(join(packageRoot, `docs/patterns/${name}.md`), 'utf8')
    const parts = splitReadme(page, name)
    t.equal(joinReadme(parts, '').length < page.length - 500, true)
    t.throws(() => splitReadme(page.replace('<!-- benchmarks:end -->', ''), name), {
      message: `${name} has the marker <!-- benchmarks:end --> 0 times in place of once`
    })
  })
}
