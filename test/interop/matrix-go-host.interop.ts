// A Go host and plugins of both languages on go-plugin's own transports.
import { readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import t from 'tap'
import { cases } from './cases.js'
import { testMatrix } from './matrix.js'
import { goProgram, runProgram } from './programs.js'

interface Outcome {
  readonly case: string
  readonly ok: boolean
  readonly error: string
}

function parseOutcome(line: string): Outcome {
  return JSON.parse(line) as Outcome
}

testMatrix({
  language: 'Go',
  async run(t, plugin, { transport, autoMtls }) {
    const flags = [`-mux=${transport === 'socket-mux'}`, `-mtls=${autoMtls}`]
    const { code, stdout, stderr } = await runProgram([goProgram('host'), ...flags, ...plugin])
    const outcomes = stdout.trimEnd().split('\n').map(parseOutcome)
    for (const outcome of outcomes) t.ok(outcome.ok, outcome.case, { error: outcome.error })
    t.same(
      outcomes.map((outcome) => outcome.case),
      Object.keys(cases)
    )
    t.equal(code, 0, stderr)
    // Of a Go host and a Go plugin some sockets stay.
    const own = (await readdir(tmpdir())).filter((name) => name.startsWith('plugin-mx-'))
    t.same(own, [], 'nothing of ours is left behind')
  }
})

t.test('a host tells which case fails, and why', async (t) => {
  const { code, stdout } = await runProgram([goProgram('host'), '-case=unary', '/bin/false'])
  t.equal(code, 1)
  t.match(parseOutcome(stdout), { case: 'unary', ok: false, error: /^launch: / })
})
