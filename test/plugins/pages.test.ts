import '../helpers/plain-children.js'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { createHostService, openRoot, status } from 'muxplug/host'
import { Census, Way } from '#proto/census/v1/census.js'
import { HostService } from '#proto/hostserve/v1/hostserve.js'
import { checkPage, failureOf, launchExample } from '../helpers/example.js'

t.test('the page', (t) => checkPage(t, 'pages'))

t.test('a directory above the limit is refused whole, and told in pages and as a stream', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'muxplug-test-'))
  t.teardown(() => rm(directory, { recursive: true }))
  const names = Array.from({ length: 1001 }, (_, number) => `${number}`)
  await Promise.all(names.map((name) => writeFile(join(directory, name), '')))
  const root = await openRoot(directory)
  t.teardown(() => root.close())
  const plugin = await launchExample(t, 'pages')
  const files = plugin.broker.serve(HostService, createHostService({ root, maxEntries: 1000 }))
  const count = (way: Way) => plugin.dispense(Census).count({ hostService: files.id, dir: '.', way })

  t.match(await failureOf(count(Way.WAY_WHOLE)), {
    status: status.RESOURCE_EXHAUSTED,
    details: 'the directory has more than 1000 entries: ask for pages, or stream it'
  })
  t.match(await count(Way.WAY_PAGES), { entries: 1001, messages: 3 })
  t.match(await count(Way.WAY_STREAM), { entries: 1001, messages: 4 })
  t.match(await failureOf(count(Way.WAY_UNSPECIFIED)), { status: status.INVALID_ARGUMENT })
})
