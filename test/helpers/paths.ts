import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Where the package is; the tests run from its `dist`, which holds compiled code and nothing else. */
export const packageRoot = dirname(fileURLToPath(import.meta.resolve('muxplug/package.json')))

/** The path of a program under test/fixtures. */
export function fixture(name: string): string {
  return join(packageRoot, 'test/fixtures', name)
}
