import t from 'tap'
import type { Exit } from '../../lib/process/exit.js'
import { terminate } from '../../lib/process/terminate.js'

/** A process that leaves when it gets `fatal`, and a record of what it was sent. */
function fakeChild(fatal?: 'SIGTERM' | 'SIGKILL') {
  const sent: string[] = []
  const { promise: exited, resolve: leave } = withResolvers<Exit>()
  const kill = (signal: NodeJS.Signals, options?: { group?: boolean }): boolean => {
    sent.push(options?.group === true ? `${signal} to the group` : signal)
    if (signal === fatal) leave({ code: null, signal })
    return true
  }
  return { child: { exited, kill }, sent, leave }
}

function withResolvers<T>() {
  let resolve!: (value: T) => void
  const promise = new Promise<T>((fulfil) => (resolve = fulfil))
  return { promise, resolve }
}

await t.test('a process that leaves by itself gets no signal', async (t) => {
  const { child, sent, leave } = fakeChild()
  const done = terminate(child, { exitMs: Infinity, termMs: 1, onStep: () => t.fail('no step') })
  leave({ code: 0, signal: null })
  t.strictSame(await done, { code: 0, signal: null })
  t.strictSame(sent, [])
})

await t.test('one that stays gets SIGTERM', async (t) => {
  const { child, sent } = fakeChild('SIGTERM')
  const steps: string[] = []
  const exit = await terminate(child, { exitMs: 1, termMs: Infinity, onStep: (step) => steps.push(step) })
  t.strictSame(exit, { code: null, signal: 'SIGTERM' })
  t.strictSame(sent, ['SIGTERM'])
  t.strictSame(steps, ['SIGTERM'])
})

await t.test('one that ignores it is killed with its group', async (t) => {
  const { child, sent } = fakeChild('SIGKILL')
  const steps: string[] = []
  const exit = await terminate(child, { exitMs: 0, termMs: 0, onStep: (step) => steps.push(step) })
  t.strictSame(exit, { code: null, signal: 'SIGKILL' })
  t.strictSame(sent, ['SIGTERM', 'SIGKILL to the group'])
  t.strictSame(steps, ['SIGTERM', 'SIGKILL'])
})

await t.test('a signal that reached nobody is no step', async (t) => {
  const { promise: exited, resolve: leave } = withResolvers<Exit>()
  const kill = (signal: NodeJS.Signals): boolean => {
    if (signal === 'SIGKILL') leave({ code: 3, signal: null })
    return false
  }
  const exit = await terminate({ exited, kill }, { exitMs: 1, termMs: 1, onStep: () => t.fail('no step') })
  t.strictSame(exit, { code: 3, signal: null })
})
