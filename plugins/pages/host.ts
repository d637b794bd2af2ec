// Counts 3,000 files in three ways. Run `node dist/plugins/pages/host.js` after a build.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createHostService, launch, openRoot, readManifest } from 'muxplug/host'
import { Census, Way } from '#proto/census/v1/census.js'
import { HostService } from '#proto/hostserve/v1/hostserve.js'

const folder = fileURLToPath(new URL('../../../plugins/pages', import.meta.url))
const directory = await mkdtemp(join(tmpdir(), 'pages-'))
try {
  const names = Array.from({ length: 3000 }, (_, index) => `file-${10_000 + index}.txt`)
  await Promise.all(names.map((file) => writeFile(join(directory, file), '')))
  await using root = await openRoot(directory)
  const { name, command, handshake } = await readManifest(folder)
  await using plugin = await launch({ name, command, handshake })
  await using files = plugin.broker.serve(HostService, createHostService({ root }))
  const census = plugin.dispense(Census)

  for (const way of [Way.WAY_WHOLE, Way.WAY_PAGES, Way.WAY_STREAM]) {
    const count = await census.count({ hostService: files.id, dir: '.', way })
    const { entries, messages, largestBytes } = count
    console.log(`${Way[way]}: ${entries} entries, messages: ${messages}, the largest: ${largestBytes} bytes`)
  }
} finally {
  await rm(directory, { recursive: true })
}
