import { join } from 'node:path'
import { toJsonSchema } from '@valibot/to-json-schema'
import { format, resolveConfig } from 'prettier'
import { manifestSchema } from '../../lib/manifest/schema.js'
import { packageRoot } from './paths.js'

/** Where editors find the form of `manifest.yaml`. */
export const schemaPath = join(packageRoot, 'docs/manifest.schema.json')

/** The JSON Schema of the same form that the code checks, as it is to stand in `schemaPath`. */
export async function manifestJsonSchema(): Promise<string> {
  const { $schema, ...schema } = toJsonSchema(manifestSchema, {
    target: 'draft-07',
    // Checks in code have no counterpart but these two.
    errorMode: 'ignore',
    overrideAction: ({ valibotAction, jsonSchema }) =>
      valibotAction.type === 'check_items' ? { ...jsonSchema, uniqueItems: true } : undefined
  })
  const whole = {
    $schema,
    title: 'Manifest of a muxplug plugin',
    ...schema,
    oneOf: [{ required: ['command'] }, { required: ['entry'] }]
  }
  return format(JSON.stringify(whole), { ...(await resolveConfig(schemaPath)), filepath: schemaPath })
}
