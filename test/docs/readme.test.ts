import '../helpers/plain-children.js'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { errorCodes } from '../../lib/errors.js'
import { Echo } from '#proto/echo/v1/echo.js'
import { launch } from '../../lib/host/index.js'
import { packageRoot, runCli } from '../helpers/cli.js'
import { checkout, readPage, runCommand } from './listings.js'

const readme = await readPage('README.md')
const handshake = { cookieKey: 'ECHO_PLUGIN', cookieValue: 'hello' }

t.test('every listing runs as pasted and prints what the README says', async (t) => {
  t.ok(readme.files.size >= 7)
  const dir = await checkout(t, readme)
  // The main job has its own test below: its log has times and process numbers.
  const runnable = readme.commands.filter(
    ({ command, needsGo }) => !needsGo && !command.startsWith('bin/host')
  )
  t.equal(runnable.length, 3)
  for (const command of runnable) {
    const printed = await runCommand(command, dir)
    if (command.output !== '') t.equal(printed, command.output, command.command)
  }
})

t.test('the plugin of two versions speaks the newest that its host knows, with AutoMTLS', async (t) => {
  const cwd = await checkout(t, readme)
  for (const [known, text] of [
    [[1], 'hello'],
    [[1, 2], 'HELLO']
  ] as const) {
    const plugin = await launch({
      command: [process.execPath, 'two-versions.mjs'],
      cwd,
      handshake,
      versions: Object.fromEntries(known.map((version) => [version, [Echo]])),
      transport: 'socket',
      autoMtls: true
    })
    t.teardown(() => plugin.kill())
    t.equal(plugin.version, known.at(-1))
    t.match(await plugin.dispense(Echo).echo({ text: 'hello' }), { text })
    await plugin.close()
    t.match(await plugin.exited, { code: 0 })
  }
})

t.test('a part of a file is in that file', async (t) => {
  t.ok(readme.parts.size > 0)
  for (const [name, part] of readme.parts) {
    const whole = await readFile(join(packageRoot, name), 'utf8')
    t.ok(whole.includes(part.replace(/^(?=.)/gm, '\t')), name)
  }
})

t.test('the main job prints the listing that the README shows', async (t) => {
  const shown = readme.commands.find(({ command }) => command === 'bin/host plugins/filelister')!
  const listing = shown.output.split('\n').filter((line) => /-[df]$/.test(line))
  const { stdout, stderr } = await runCli(['plugins/filelister'], { cwd: packageRoot })
  t.equal(stdout, `${listing.join('\n')}\n`)
  // And tells the same story. What the plugin prints comes by a pipe of its own, so each side has its own order.
  const told = (text: string): string[][] => {
    const records = [...text.matchAll(/(?:DEBUG|INFO)[^:]*: (\w[^{]*) (\{.*\})$/gm)]
    const [own, printed] = [false, true].map((plugins) =>
      records
        .filter(([, , fields]) => fields!.includes('"stream":"std') === plugins)
        .map(([, message]) => message!)
    )
    return [own!, printed!]
  }
  const really = told(stderr)
  for (const [side, story] of told(shown.output).entries()) {
    t.ok(story.length >= 3)
    let from = 0
    for (const message of story) {
      const at = really[side]!.indexOf(message, from)
      t.ok(at >= from, `"${message}" in its place`)
      from = at
    }
  }
})

t.test('the two commands are those of package.json and of continuous integration', async (t) => {
  const [block] = /```sh\n[\s\S]*?```/.exec(readme.text)!
  t.match(block, 'npm ci && bin/host .')
  t.match(block, 'npm ci && npm test')
  const manifest = JSON.parse(await readFile(join(packageRoot, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>
  }
  t.match(manifest.scripts, { prepare: 'npm run build', test: 'tap' })
})

t.test('codes named in the README exist, and links lead somewhere', async (t) => {
  for (const [code] of readme.text.matchAll(/ERR_\w+/g)) t.ok(errorCodes.includes(code as never), code)
  for (const [, target] of readme.text.matchAll(/\]\((?!https?:)([^)#]+)\)/g)) {
    await t.resolves(import('node:fs/promises').then(({ access }) => access(join(packageRoot, target!))))
  }
})
