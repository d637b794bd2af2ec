import { readFile } from 'node:fs/promises'
import t from 'tap'
import { manifestJsonSchema, schemaPath } from '../helpers/manifest-schema.js'

t.test('the JSON Schema for editors is that of the code: `npm run schema` writes it', async (t) => {
  t.equal(await readFile(schemaPath, 'utf8'), await manifestJsonSchema())
})

t.test('the package exports it', async (t) => {
  t.match(import.meta.resolve('muxplug/manifest.schema.json'), /\/docs\/manifest\.schema\.json$/)
})
