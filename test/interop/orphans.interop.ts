// A plugin ends with its host, however that one ends, and takes its sockets along.
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import t from 'tap'
import type { Transport } from '../../lib/host/index.js'
import { gone, isRunning } from '../helpers/launch.js'
import {
  goProgram,
  nodePlugin,
  nodeProgram,
  ownTemporaryDirectory,
  socketsBelow,
  startProgram
} from './programs.js'

// For the plugins: on `socket` the host's end is noticed by its staying away. On `socket-mux`, where only one
// connection is taken, a socket goes as soon as it has that.
process.env['ORPHAN_TIMEOUT_MS'] = '300'

for (const transport of ['stream', 'socket', 'socket-mux'] as const satisfies readonly Transport[]) {
  t.test(`a TypeScript plugin ends when its TypeScript host is killed, ${transport}`, async (t) => {
    await ownTemporaryDirectory(t)
    const options = JSON.stringify({ transport, inheritEnv: ['ORPHAN_TIMEOUT_MS'] })
    const { child: host, config } = await startProgram(t, [
      ...nodeProgram('host.mjs'),
      options,
      ...nodePlugin
    ])
    t.ok(isRunning(config.Pid))
    t.equal((await socketsBelow(tmpdir())).length, transport === 'socket' ? 1 : 0)
    host.kill('SIGKILL')
    await once(host, 'exit')
    await gone(config.Pid)
    t.same(await socketsBelow(tmpdir()), [])
  })
}

for (const transport of ['socket', 'socket-mux'] as const) {
  t.test(`a TypeScript plugin ends when its Go host is killed, ${transport}`, async (t) => {
    await ownTemporaryDirectory(t)
    const flags = ['-stay', `-mux=${transport === 'socket-mux'}`]
    const { child: host, config } = await startProgram(t, [goProgram('host'), ...flags, ...nodePlugin])
    t.ok(isRunning(config.Pid))
    t.equal((await socketsBelow(tmpdir())).length, transport === 'socket' ? 1 : 0)
    host.kill('SIGKILL')
    await once(host, 'exit')
    await gone(config.Pid)
    t.same(await socketsBelow(tmpdir()), [])
  })
}
