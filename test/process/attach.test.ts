import '../helpers/plain-children.js'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { attachProcess } from '../../lib/process/attach.js'

// The watch may be told not to keep the process running, and here nothing else would.
const alive = setInterval(() => {}, 1000)
t.teardown(() => clearInterval(alive))

async function sleeper(t: Test): Promise<ChildProcess & { readonly pid: number }> {
  const child = spawn('sleep', ['1000'], { stdio: 'ignore' })
  t.teardown(() => child.kill('SIGKILL'))
  await once(child, 'spawn')
  return child as ChildProcess & { readonly pid: number }
}

t.test('the end of a process is noticed, however it ends, and nothing is known of how', async (t) => {
  const child = await sleeper(t)
  const attached = attachProcess(child.pid, true)!
  attached.unref()
  child.kill('SIGKILL')
  t.same(await attached.exited, { code: null, signal: null })
  t.equal(attached.kill('SIGTERM'), false)
})

t.test('it can be signalled, unless that is not allowed', async (t) => {
  const child = await sleeper(t)
  const guest = attachProcess(child.pid, false)!
  t.equal(guest.kill('SIGKILL'), false)
  const owner = attachProcess(child.pid, true)!
  const exit = once(child, 'exit')
  t.equal(owner.kill('SIGTERM'), true)
  t.same(await exit, [null, 'SIGTERM'])
  await Promise.all([guest.exited, owner.exited])
})

t.test('it can be let go', async (t) => {
  const child = await sleeper(t)
  const attached = attachProcess(child.pid, true)!
  attached.detach()
  await attached.exited
  t.equal(attached.kill('SIGKILL'), false)
  t.equal(child.exitCode, null)
})

t.test('where there is no process there is nothing to attach to', async (t) => {
  const child = await sleeper(t)
  const exit = once(child, 'exit')
  child.kill('SIGKILL')
  await exit
  t.equal(attachProcess(child.pid, true), undefined)
})
