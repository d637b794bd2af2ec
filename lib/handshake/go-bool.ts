const yes = new Set(['1', 't', 'T', 'TRUE', 'true', 'True'])
const no = new Set(['0', 'f', 'F', 'FALSE', 'false', 'False'])

/** A word as Go's `strconv.ParseBool` reads it; undefined for what that refuses. */
export function parseGoBool(word: string): boolean | undefined {
  if (yes.has(word)) return true
  return no.has(word) ? false : undefined
}
