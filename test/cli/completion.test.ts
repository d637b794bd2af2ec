import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { binHost, packageRoot, runCli } from '../helpers/cli.js'

const run = promisify(execFile)

t.test('bash completes options, their choices, commands, plugins and directories', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'muxplug-test-'))
  t.teardown(() => rm(dir, { recursive: true }))
  await mkdir(join(dir, 'plums and pears'))
  const { stdout: script } = await runCli(['completion', 'bash'])
  const cases = [
    [['--tra'], ['--transport']],
    [
      ['--transport', 's'],
      ['stream', 'socket', 'socket-mux']
    ],
    [
      ['--transport', '='],
      ['auto', 'stream', 'socket', 'socket-mux']
    ],
    [['--transport', '=', 'a'], ['auto']],
    [['-q', '--log-level', 'w'], ['warn']],
    [['pl'], ['plugins', 'plums and pears']],
    [['-q', 'pl'], ['plums and pears']],
    [['plugins', '--j'], ['--json']],
    [
      ['completion', ''],
      ['bash', 'zsh', 'fish', '-h', '--help']
    ],
    [['--plugin', 'filel'], ['filelister']],
    [['--plugins-in', 'pl'], ['plums and pears']]
  ] as const
  const asked = cases.map(([words]) => {
    const quoted = [binHost, ...words].map((word) => `'${word}'`).join(' ')
    return `COMP_WORDS=(${quoted}); COMP_CWORD=${words.length}; _muxplug_host; printf '%s|' "\${COMPREPLY[@]}"; echo`
  })
  const { NODE_OPTIONS: _loaders, ...env } = process.env
  const { stdout, stderr } = await run(
    'bash',
    ['-c', `${script}\n${asked.join('\n')}\ncomplete -p bin/host`],
    { cwd: dir, env }
  )
  t.equal(stderr, '')
  const [registered, ...answers] = stdout.trimEnd().split('\n').toReversed()
  for (const [index, [words, expected]] of cases.entries()) {
    t.same(answers[cases.length - 1 - index]!.split('|').slice(0, -1), expected, words.join(' '))
  }
  t.match(registered, /-F _muxplug_host bin\/host/)
})

for (const [shell, marks] of [
  ['zsh', ['#compdef muxplug-host', ':value:(auto stream socket socket-mux)', '_describe command commands']],
  ['fish', ["-l transport -x -a 'auto stream socket socket-mux'", '-a plugins -d', "go-plugin\\'s sockets"]]
] as const) {
  t.test(`${shell} gets a script that it can read, with the same words`, async (t) => {
    const { code, stdout } = await runCli(['completion', shell])
    t.equal(code, 0)
    for (const mark of marks) t.ok(stdout.includes(mark), mark)
    const reading = run(shell, ['-n', '-c', stdout], { cwd: packageRoot }).catch(
      (error: NodeJS.ErrnoException) => {
        // Few machines have them all.
        if (error.code !== 'ENOENT') throw error
      }
    )
    await t.resolves(reading)
  })
}

t.test('another shell is wrong usage', async (t) => {
  t.match(await runCli(['completion', 'tcsh']), { code: 2, stdout: '', stderr: /bash, zsh, fish/ })
})
