/** An entry as the plugin returned it. */
export interface Entry {
  readonly name: string
  readonly isDir: boolean
  /** The bytes of the name; empty when it is UTF-8 and `name` is exact. */
  readonly rawName: Uint8Array
}

/** One line an entry, `NAME-d` or `NAME-f`, sorted by name; ends with a newline unless there is no entry. */
export function formatListing(entries: readonly Entry[]): string {
  return sortByName(entries)
    .map(({ name, isDir }) => `${escapeControls(name)}-${isDir ? 'd' : 'f'}\n`)
    .join('')
}

/** The listing as JSON: `name`, `isDir`, and `rawName` in base64 where the name on disk is not UTF-8. */
export function formatJson(entries: readonly Entry[]): string {
  const plain = sortByName(entries).map(({ name, isDir, rawName }) => ({
    name,
    isDir,
    ...(rawName.length === 0 ? {} : { rawName: Buffer.from(rawName).toString('base64') })
  }))
  return `${JSON.stringify(plain, null, 2)}\n`
}

/** By the bytes of the name, as `sort` does in the C locale, so that the order depends on no language. */
function sortByName(entries: readonly Entry[]): Entry[] {
  return entries
    .map((entry) => ({ entry, key: entry.rawName.length > 0 ? entry.rawName : Buffer.from(entry.name) }))
    .sort((a, b) => Buffer.compare(a.key, b.key))
    .map(({ entry }) => entry)
}

const named: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

/** Names may hold any character but `/` and NUL: a newline must not make two lines, nor an escape code reach a terminal. */
export function escapeControls(name: string): string {
  // oxlint-disable-next-line no-control-regex -- finding them is the point
  return name.replace(/[\u0000-\u001f\u007f-\u009f]/g, (char) => {
    return named[char] ?? `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`
  })
}
