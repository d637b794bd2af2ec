import t from 'tap'
import { watchForOrphan } from '../../lib/plugin/orphan.js'

/** A process whose parent and connection the test decides on; resolves with the polls that it took. */
function watched({ timeoutMs = 8 } = {}) {
  const state = { parent: 100, connected: false, orphaned: 0, polls: 0 }
  let wake = (): void => {}
  const orphan = new Promise<void>((resolve) => {
    wake = resolve
  })
  let polled = (): void => {}
  watchForOrphan(
    () => {
      state.polls += 1
      polled()
      return state.connected
    },
    timeoutMs,
    () => {
      state.orphaned += 1
      wake()
    },
    () => state.parent
  )
  const polls = (count: number): Promise<void> => {
    const goal = state.polls + count
    return new Promise((resolve) => {
      polled = () => state.polls >= goal && resolve()
    })
  }
  return { state, orphan, polls }
}

// The watch does not keep a process running, and here nothing else would.
const alive = setInterval(() => {}, 1000)
t.teardown(() => clearInterval(alive))

t.test('a plugin whose parent is gone and that nobody is connected to is an orphan, once', async (t) => {
  const { state, orphan } = watched()
  state.parent = 1
  await orphan
  t.equal(state.orphaned, 1)
})

t.test('a plugin that has its parent, or a connection, is none', async (t) => {
  const { state, orphan, polls } = watched()
  await polls(12)
  t.equal(state.orphaned, 0, 'its parent lives')
  state.parent = 1
  state.connected = true
  await polls(12)
  t.equal(state.orphaned, 0, 'another host is connected')
  state.connected = false
  await orphan
  t.equal(state.orphaned, 1)
})

t.test('without a time-out nobody is looked for', async (t) => {
  const { state } = watched({ timeoutMs: Infinity })
  state.parent = 1
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.equal(state.polls, 0)
})
