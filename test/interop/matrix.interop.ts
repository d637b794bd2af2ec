// Hosts and plugins of both languages on go-plugin's own transports. Every cell runs all cases of its host.
import t, { type Test } from 'tap'
import { goProgram, runProgram } from './programs.js'

/** One cell's setting. */
interface Setting {
  readonly transport: 'socket' | 'socket-mux'
  readonly autoMtls: boolean
}

interface HostKind {
  readonly language: string
  /** Launches `plugin` for each case, and reports each as an assertion of `t`. */
  run(t: Test, plugin: readonly [string, ...string[]], setting: Setting): Promise<void>
}

interface PluginKind {
  readonly language: string
  readonly command: readonly [string, ...string[]]
}

const goHost: HostKind = {
  language: 'Go',
  async run(t, plugin, { transport, autoMtls }) {
    const flags = [`-mux=${transport === 'socket-mux'}`, `-mtls=${autoMtls}`]
    const { code, stdout, stderr } = await runProgram([goProgram('host'), ...flags, ...plugin])
    const outcomes = stdout.trimEnd().split('\n').map(parseOutcome)
    for (const outcome of outcomes) t.ok(outcome.ok, outcome.case, { error: outcome.error })
    t.same(
      outcomes.map((outcome) => outcome.case),
      hostCases
    )
    t.equal(code, 0, stderr)
  }
}

/** What the Go host tries, and any other host should: see test/interop/go/host/cases.go. */
const hostCases = [
  'ping',
  'unary',
  'status',
  'server stream',
  'client stream',
  'bidirectional stream',
  'deadline',
  'cancellation',
  'plugin calls host',
  'host calls brokered service',
  'many broker dials',
  'transport security',
  'stdout and stderr',
  'logs',
  'crash',
  'shutdown'
]

interface Outcome {
  readonly case: string
  readonly ok: boolean
  readonly error: string
}

function parseOutcome(line: string): Outcome {
  return JSON.parse(line) as Outcome
}

const hosts: readonly HostKind[] = [goHost]

const plugins: readonly PluginKind[] = [{ language: 'Go', command: [goProgram('plugin')] }]

const settings: readonly Setting[] = (['socket', 'socket-mux'] as const).flatMap((transport) =>
  [false, true].map((autoMtls) => ({ transport, autoMtls }))
)

for (const host of hosts) {
  for (const plugin of plugins) {
    for (const setting of settings) {
      const { transport, autoMtls } = setting
      t.test(
        `${host.language} host, ${plugin.language} plugin, ${transport}, ${autoMtls ? 'AutoMTLS' : 'plain'}`,
        (t) => host.run(t, plugin.command, setting)
      )
    }
  }
}

t.test('a host tells which case fails, and why', async (t) => {
  const { code, stdout } = await runProgram([goProgram('host'), '-case=unary', '/bin/false'])
  t.equal(code, 1)
  t.match(parseOutcome(stdout), { case: 'unary', ok: false, error: /^launch: / })
})
