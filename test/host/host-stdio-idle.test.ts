import '../helpers/plain-children.js'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { fixture } from '../helpers/launch.js'

t.test('a stream that the plugin has not taken does not keep the host running', async (t) => {
  const host = spawn(process.execPath, [fixture('host-stdio-idle.mjs')], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(() => host.kill('SIGKILL'))
  const [printed, [code]] = await Promise.all([text(host.stdout), once(host, 'exit')])
  t.equal(printed, 'socket-mux\n')
  t.equal(code, 0)
})
