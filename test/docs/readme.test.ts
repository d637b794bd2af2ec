import '../helpers/plain-children.js'
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { errorCodes } from '../../lib/errors.js'
import { packageRoot, runCli } from '../helpers/cli.js'

const run = promisify(execFile)
const readme = await readFile(join(packageRoot, 'README.md'), 'utf8')

/** Listings with a file name in front of them, by that name. */
const files = new Map(
  [...readme.matchAll(/<!-- file: (\S+) -->\n\n```\w+\n([\s\S]*?)```/g)].map(
    ([, name, code]) => [name!, code!] as const
  )
)

/** `console` listings: each command with what it prints. */
const commands = [...readme.matchAll(/```console\n([\s\S]*?)```/g)].flatMap(([, session]) =>
  session!
    .split(/^\$ /m)
    .slice(1)
    .map((part) => {
      const [command, ...output] = part.split('\n')
      return { command: command!, output: output.join('\n') }
    })
)

/** A copy of what a checkout has, without what is built or installed: those are linked. */
async function checkout(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'muxplug-readme-'))
  t.teardown(() => rm(dir, { recursive: true }))
  for (const name of ['package.json', 'proto', 'plugins']) {
    await cp(join(packageRoot, name), join(dir, name), { recursive: true })
  }
  for (const name of ['dist', 'node_modules']) await symlink(join(packageRoot, name), join(dir, name))
  for (const [name, code] of files) {
    await mkdir(dirname(join(dir, name)), { recursive: true })
    await writeFile(join(dir, name), code)
  }
  return dir
}

t.test('every listing runs as pasted and prints what the README says', async (t) => {
  t.ok(files.size >= 5)
  const dir = await checkout()
  let ran = 0
  for (const { command, output } of commands) {
    // The main job has its own test below; its log has times and process numbers.
    if (command.startsWith('bin/host')) continue
    const [program, ...args] = command.split(' ')
    const { NODE_OPTIONS: _loaders, ...env } = process.env
    const { stdout } = await run(program!, args, { cwd: dir, env })
    if (output !== '') t.equal(stdout, output, command)
    ran += 1
  }
  t.equal(ran, 3)
})

t.test('the main job prints the listing that the README shows', async (t) => {
  const shown = commands.find(({ command }) => command === 'bin/host proto')!
  const listing = shown.output.split('\n').filter((line) => /-[df]$/.test(line))
  const { stdout, stderr } = await runCli(['proto'], { cwd: packageRoot })
  t.equal(stdout, `${listing.join('\n')}\n`)
  // And tells the same story, in the same order.
  const story = [...shown.output.matchAll(/(?:DEBUG|INFO)[^:]*: (\w[^{]*) \{/g)].map(
    ([, message]) => message!
  )
  t.ok(story.length >= 9)
  let from = 0
  for (const message of story) {
    const at = stderr.indexOf(`: ${message} {`, from)
    t.ok(at >= from, `"${message}" in its place`)
    from = at
  }
})

t.test('the two commands are those of package.json and of continuous integration', async (t) => {
  const [block] = /```sh\n[\s\S]*?```/.exec(readme)!
  t.match(block, 'npm ci && bin/host .')
  t.match(block, 'npm ci && npm test')
  const manifest = JSON.parse(await readFile(join(packageRoot, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>
  }
  t.match(manifest.scripts, { prepare: 'npm run build', test: 'tap' })
})

t.test('codes named in the README exist, and links lead somewhere', async (t) => {
  for (const [code] of readme.matchAll(/ERR_\w+/g)) t.ok(errorCodes.includes(code as never), code)
  for (const [, target] of readme.matchAll(/\]\((?!https?:)([^)#]+)\)/g)) {
    await t.resolves(import('node:fs/promises').then(({ access }) => access(join(packageRoot, target!))))
  }
})
