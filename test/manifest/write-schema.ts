import { writeFile } from 'node:fs/promises'
import { manifestJsonSchema, schemaPath } from '../helpers/manifest-schema.js'

// `npm run schema`
await writeFile(schemaPath, await manifestJsonSchema())
