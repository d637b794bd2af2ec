import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { PluginError, errorCodes, isPluginError } from '../../lib/errors.js'
import { packageRoot } from '../helpers/cli.js'

t.test('docs/errors.md has a heading for every code, and no other', async (t) => {
  const page = await readFile(join(packageRoot, 'docs/errors.md'), 'utf8')
  const headings = [...page.matchAll(/^## (\w+)$/gm)].map(([, code]) => code)
  t.same(headings, [...errorCodes])
})

t.test('an error has its code, its facts and its cause', (t) => {
  const cause = new Error('below')
  const error = new PluginError('ERR_BROKER_TIMEOUT', 'nobody there', { id: 7, hint: 'look', cause })
  t.match(error, { name: 'PluginError', code: 'ERR_BROKER_TIMEOUT', id: 7, hint: 'look', cause })
  t.notOk('exitCode' in error, 'facts that are not known are absent')
  t.ok(isPluginError(error))
  t.ok(isPluginError(error, 'ERR_BROKER_TIMEOUT'))
  t.notOk(isPluginError(error, 'ERR_CALL_FAILED'))
  t.notOk(isPluginError(cause))
  t.notOk(isPluginError(undefined))
  t.end()
})
