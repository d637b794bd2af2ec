// Builds the Go programs of test/interop/go, then runs the tests that need them: all, or those named.
// Arguments go to tap.
// Without Go there is nothing to run, which only continuous integration takes for a failure.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const go = join(root, 'test/interop/go')
const examples = 'github.com/hashicorp/go-plugin/examples'

/** By module, below test/interop/go: the packages to build, by the path of the program in its `bin`. */
const programs = {
  '.': {
    host: './host',
    plugin: './plugin',
    'stream-plugin': './stream-plugin',
    versions: './versions',
    'yamux-peer': './yamux-peer'
  },
  examples: {
    'kv/host': `${examples}/grpc`,
    'kv/plugin': `${examples}/grpc/plugin-go-grpc`,
    'counter/host': `${examples}/bidirectional`,
    'counter/plugin': `${examples}/bidirectional/plugin-go-grpc`,
    'streaming/host': `${examples}/streaming`,
    // Where its host, which takes no other path, looks for it.
    'streaming/plugin/streamer': `${examples}/streaming/plugin`
  }
}

/** Two run at a time: the long ones first. */
const tests = [
  'matrix-typescript-host',
  'matrix-go-host',
  'stream-plugin',
  'yamux-peer',
  'examples',
  'negotiation',
  'orphans',
  'reattach',
  'readme'
].map((name) => `dist/test/interop/${name}.interop.js`)

function run(command, args, cwd) {
  const { error, status } = spawnSync(command, args, { cwd, stdio: 'inherit' })
  if (error !== undefined) throw error
  if (status !== 0) process.exit(status ?? 1)
}

if (spawnSync('go', ['version']).error?.code === 'ENOENT') {
  const missing = 'Go is not installed (there is no `go` in PATH)'
  console.log(process.env.CI ? `interop tests failed: ${missing}` : `interop tests skipped: ${missing}`)
  process.exit(process.env.CI ? 1 : 0)
}
for (const [module, packages] of Object.entries(programs)) {
  for (const [path, name] of Object.entries(packages)) {
    run('go', ['build', '-o', join(go, 'bin', path), name], join(go, module))
  }
}
const given = process.argv.slice(2)
const files = given.some((argument) => !argument.startsWith('-')) ? [] : tests
run(process.execPath, ['node_modules/tap/dist/esm/run.mjs', ...given, ...files], root)
