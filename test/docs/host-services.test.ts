import '../helpers/plain-children.js'
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { HostService } from '#proto/hostserve/v1/hostserve.js'
import { errorCodes } from '../../lib/errors.js'
import { packageRoot } from '../helpers/cli.js'
import { checkout, readPage, runCommand } from './listings.js'

const page = await readPage('docs/host-services.md')

t.test('the listing runs as pasted and prints what the page says', async (t) => {
  const dir = await checkout(t, page)
  t.equal(page.commands.length, 1)
  for (const command of page.commands)
    t.equal(await runCommand(command, dir), command.output, command.command)
})

t.test('methods, codes and links are there', async (t) => {
  const methods = Object.values(HostService.methods).map(({ path }) => path.split('/').at(-1)!)
  for (const method of methods) t.match(page.text, new RegExp(`^\\| \`${method}\` `, 'm'))
  for (const [code] of page.text.matchAll(/ERR_[A-Z_]+/g)) t.ok(errorCodes.includes(code as never), code)
  for (const [, target] of page.text.matchAll(/\]\((?!https?:)([^)#]+)[^)]*\)/g)) {
    await t.resolves(access(join(packageRoot, 'docs', target!)), target!)
  }
})
