import '../helpers/plain-children.js'
import { execFile } from 'node:child_process'
import { access, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { packageRoot } from '../helpers/paths.js'

const run = promisify(execFile)
const { NODE_OPTIONS: _loaders, ...inherited } = process.env
const env = {
  ...inherited,
  npm_config_prefer_offline: 'true',
  npm_config_audit: 'false',
  npm_config_fund: 'false'
}
const timeout = 180_000

const folder = await mkdtemp(join(tmpdir(), 'muxplug-package-'))
t.teardown(() => rm(folder, { recursive: true }))

const packed = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], {
  cwd: packageRoot,
  env,
  timeout
})
const [{ filename, files }] = JSON.parse(packed.stdout) as [
  { filename: string; files: readonly { readonly path: string }[] }
]
const tarball = join(folder, filename)

/** Runs a line of the document, and gives what it prints. What it fails with is shown. */
async function runLine(line: string, cwd: string): Promise<string> {
  const [program, ...args] = line.split(' ').map((word) => (word === 'muxplug' ? tarball : word))
  try {
    return (await run(program!, args, { cwd, env, timeout })).stdout
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string }
    throw new Error(`${line} failed:\n${stdout}${stderr}`, { cause: error })
  }
}

type Step = { t: 'file'; name: string; text: string } | { t: 'run'; line: string; output: string }

/** What the document has the reader do, in its order. */
function stepsOf(text: string): Step[] {
  const blocks = text.matchAll(/(?:<!-- file: (\S+) -->\n\n)?```(\w+)\n([\s\S]*?)```/g)
  return [...blocks].flatMap(([, name, language, body]): Step[] => {
    if (name !== undefined) return [{ t: 'file', name, text: body! }]
    t.equal(language, 'console', 'what is no file is to be run')
    const sessions = body!.split(/^\$ /m).slice(1)
    return sessions.map((session) => {
      const [line, ...output] = session.split('\n')
      return { t: 'run', line: line!, output: output.join('\n') }
    })
  })
}

t.test('the walk-through works as it is written, with the packed package', async (t) => {
  const project = join(folder, 'greetings')
  const steps = stepsOf(await readFile(join(packageRoot, 'docs/walk-through.md'), 'utf8'))
  let compared = 0
  for (const step of steps) {
    if (step.t === 'file') {
      await mkdir(dirname(join(project, step.name)), { recursive: true })
      await writeFile(join(project, step.name), step.text)
      continue
    }
    const printed = await runLine(step.line, project)
    // npm tells of what it installed.
    if (step.line.startsWith('npm ')) continue
    t.equal(printed, step.output, step.line)
    compared += 1
  }
  t.ok(compared >= 7)
  t.equal(await runLine('npx muxplug-proto -I proto --check proto', project), '', 'the code is up to date')

  await t.test('its types resolve where imports are a bundler’s, too', async (t) => {
    const config = JSON.parse(await readFile(join(project, 'tsconfig.json'), 'utf8')) as {
      compilerOptions: Record<string, unknown>
    }
    Object.assign(config.compilerOptions, { module: 'esnext', moduleResolution: 'bundler', noEmit: true })
    await writeFile(join(project, 'tsconfig.bundler.json'), JSON.stringify(config))
    t.equal(await runLine('npx tsc -p tsconfig.bundler.json', project), '')
  })

  await t.test('without protobufjs-cli the generator says what to install', async (t) => {
    await runLine('npm uninstall protobufjs-cli', project)
    const failed = await t.rejects(runLine('npx muxplug-proto -I proto proto', project))
    t.match(failed, { message: /npm install --save-dev protobufjs-cli/ })
  })

  await t.test('the command of the package lists a directory', async (t) => {
    const listed = await runLine('npx muxplug-host --quiet proto', project)
    t.equal(listed, 'greeter-d\ntitles-d\n')
  })
})

t.test('the package has what its exports name, and nothing of its tests', async (t) => {
  const paths = files.map(({ path }) => path)
  const stray = paths.filter((path) => /^(test|benchmarks|dist\/(test|benchmarks)|\.ci)\//.test(path))
  t.same(stray, [])
  t.same(
    paths.filter((path) => /^dist\/lib\/.*\.js$/.test(path)),
    [],
    'the bundle is there in their place'
  )
  const manifest = JSON.parse(await readFile(join(packageRoot, 'package.json'), 'utf8')) as {
    exports: Record<string, string | Record<string, string>>
    bin: Record<string, string>
  }
  const named = Object.values(manifest.exports)
    .flatMap((target) => (typeof target === 'string' ? [target] : Object.values(target)))
    .filter((target) => !target.includes('*'))
  for (const target of [...named, ...Object.values(manifest.bin)]) {
    t.ok(paths.includes(target.replace(/^\.\//, '')), target)
  }
  for (const needed of [
    'LICENSE',
    'README.md',
    'CHANGELOG.md',
    'docs/walk-through.md',
    'proto/protobuf.js'
  ]) {
    t.ok(paths.includes(needed), needed)
    await access(join(packageRoot, needed))
  }
})
