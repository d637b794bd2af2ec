import '../helpers/plain-children.js'
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { errorCodes } from '../../lib/errors.js'
import { packageRoot } from '../helpers/cli.js'
import { checkout, readPage, runCommand } from './listings.js'

const page = await readPage('docs/restricted-services.md')

t.test('the listing runs as pasted and prints what the page says', async (t) => {
  const dir = await checkout(t, page)
  t.equal(page.commands.length, 1)
  for (const command of page.commands)
    t.equal(await runCommand(command, dir), command.output, command.command)
})

t.test('codes and links are there', async (t) => {
  for (const [code] of page.text.matchAll(/ERR_[A-Z_]+/g)) t.ok(errorCodes.includes(code as never), code)
  for (const [, target] of page.text.matchAll(/\]\((?!https?:)([^)#]+)[^)]*\)/g)) {
    await t.resolves(access(join(packageRoot, 'docs', target!)), target!)
  }
})
