// The listings that need a host or a plugin in Go.
import { symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { isRunning } from '../helpers/launch.js'
import { checkout, readPage, runCommand } from '../docs/listings.js'
import { goProgram, ownTemporaryDirectory, runProgram, startProgram } from './programs.js'

const readme = await readPage('README.md')

t.test('a host in TypeScript has a plugin in Go, as the README says', async (t) => {
  const dir = await checkout(t, readme)
  await symlink(goProgram('plugin'), join(dir, 'echo-plugin'))
  const commands = readme.commands.filter(({ needsGo }) => needsGo)
  t.equal(commands.length, 1)
  for (const command of commands) t.equal(await runCommand(command, dir), command.output, command.command)
})

t.test('a host in Go has the newest version of the README’s plugin, with AutoMTLS', async (t) => {
  const cwd = await checkout(t, readme)
  t.match(await runProgram([goProgram('versions')], { cwd }), { code: 0, stdout: '2 HELLO\n' })
})

t.test('a host in Go attaches to a plugin in test mode, which stays', async (t) => {
  await ownTemporaryDirectory(t)
  const page = await readPage('docs/go-plugin.md')
  const cwd = await checkout(t, page)
  const listing = page.files.get('echo.test.mjs')!
  const served = listing.slice(0, listing.indexOf('const plugin'))
  await writeFile(join(cwd, 'served.mjs'), `${served}console.log(JSON.stringify(served.reattachConfig))\n`)
  const { child, config } = await startProgram(t, [process.execPath, join(cwd, 'served.mjs')])
  for (let host = 1; host <= 2; host++) {
    const flags = [`-reattach=${JSON.stringify(config)}`, '-case=ping']
    t.match(await runProgram([goProgram('host'), ...flags]), { code: 0, stdout: /"ok":true/ }, `host ${host}`)
  }
  t.ok(isRunning(child.pid!))
})
