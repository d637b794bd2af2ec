// Opens a store when a plugin needs it for the first time. Run `node dist/plugins/lazy/host.js` after a build.
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isPluginError, launch, readManifest } from 'muxplug/host'
import { Glossary, Starter } from '#proto/glossary/v1/glossary.js'
import { type Store, openStore } from '../services/store.js'
import { createStarter } from './starter.js'

const folder = fileURLToPath(new URL('../../../plugins/lazy', import.meta.url))
const directory = await mkdtemp(join(tmpdir(), 'lazy-'))
let store: Store | undefined
let attempts = 0

function openWords(): Store {
  attempts += 1
  store = openStore(join(directory, 'data', 'words.db'))
  store.main.set(Buffer.from('mux'), Buffer.from('many streams in one'))
  return store
}

try {
  const { name, command, handshake } = await readManifest(folder)
  await using plugin = await launch({ name, command, handshake })
  const starter = plugin.broker.serve(Starter, createStarter(plugin, openWords)).id
  const { explain } = plugin.dispense(Glossary)
  const ask = async (word: string) => (await explain({ word, starter })).meaning

  console.log(`${await ask('host')} (attempts to open the store: ${attempts})`)
  try {
    await ask('mux')
  } catch (error) {
    if (!isPluginError(error)) throw error
    console.log(`${error.message} (${attempts})`)
  }
  await mkdir(join(directory, 'data'))
  const answers = await Promise.all([ask('mux'), ask('mux'), ask('mux')])
  console.log(`${answers.join(', ')} (${attempts})`)
} finally {
  store?.[Symbol.dispose]()
  await rm(directory, { recursive: true })
}
