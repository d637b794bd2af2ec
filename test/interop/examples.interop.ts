// The examples of go-plugin, unmodified.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { goProgram, runProgram } from './programs.js'

/** What serves each example: a shell command, which is how the Go hosts start it. */
interface ExamplePlugin {
  readonly language: string
  readonly kv: string
  readonly counter: string
}

const plugins: readonly ExamplePlugin[] = [
  { language: 'Go', kv: goProgram('kv/plugin'), counter: goProgram('counter/plugin') }
]

/** The plugins keep their data in files of the working directory. */
async function emptyDirectory(t: Test): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'muxplug-interop-'))
  t.teardown(() => rm(path, { recursive: true }))
  return path
}

for (const { language, kv, counter } of plugins) {
  t.test(`Go host, ${language} plugin: KV stores and finds a value`, async (t) => {
    const cwd = await emptyDirectory(t)
    const env = { ...process.env, KV_PLUGIN: kv, KV_PROTO: 'grpc' }
    t.match(await runProgram([goProgram('kv/host'), 'put', 'colour', 'green'], { cwd, env }), {
      code: 0,
      stdout: ''
    })
    t.match(await runProgram([goProgram('kv/host'), 'get', 'colour'], { cwd, env }), {
      code: 0,
      stdout: /^green\s+Written from plugin-go-grpc/
    })
    t.match(await runProgram([goProgram('kv/host'), 'get', 'absent'], { cwd, env }), { code: 1 })
  })

  t.test(`Go host, ${language} plugin: Counter lets its host do the sum`, async (t) => {
    const cwd = await emptyDirectory(t)
    const env = { ...process.env, COUNTER_PLUGIN: counter }
    for (const add of ['40', '2']) {
      t.match(await runProgram([goProgram('counter/host'), 'put', 'answer', add], { cwd, env }), { code: 0 })
    }
    t.match(await runProgram([goProgram('counter/host'), 'get', 'answer'], { cwd, env }), {
      code: 0,
      stdout: '42\n'
    })
  })
}

t.test('Go host, Go plugin: Streaming writes a file in chunks and reads it back', async (t) => {
  const file = join(await emptyDirectory(t), 'text')
  await writeFile(file, '')
  const { code, stderr } = await runProgram([goProgram('streaming/host'), file], {
    cwd: goProgram('streaming')
  })
  t.equal(code, 0, stderr)
  t.match(stderr, /received 26 bytes.*Lorem ipsum dolor sit amet/)
})
