import { isUnsafeOnWindows } from '../security/root-path.js'

/** Longest path that is looked at, in characters: PATH_MAX of Linux. */
const maxPathChars = 4096

/**
 * The names of a relative path: without `.`, doubled slashes and a slash at the end, so that none are the
 * directory itself. Undefined for a path that is absolute, has a `..` or a NUL, or is too long. `..` is not
 * resolved: behind a symbolic link it leads to where no text can tell.
 */
export function pathNames(path: string): string[] | undefined {
  if (path.length > maxPathChars || path.startsWith('/') || path.includes('\0')) return undefined
  const names = path.split('/').filter((name) => name !== '' && name !== '.')
  if (names.includes('..')) return undefined
  if (process.platform === 'win32' && names.some(isUnsafeOnWindows)) return undefined
  return names
}

/** Whether the names of a path are among those that a glob is for. */
export type PathGlob = (names: readonly string[]) => boolean

/**
 * Reads a glob: names with `/` between them, where `*` in a name is any characters of it, also a dot at its
 * begin, and the name `**` is any number of names, also none. `.` is the directory itself. Matching takes no
 * longer than the product of both lengths, whatever they are: a pattern that backtracks lets whoever chooses
 * the path stop the process. Undefined for what other globs would take for a pattern, so that none means less
 * than its author thinks.
 */
export function parseGlob(glob: string): PathGlob | undefined {
  const parts = glob === '.' ? [] : glob.split('/').map(parseName)
  if (!parts.every((part) => part !== undefined)) return undefined
  return (names) => matches(parts, names)
}

const anyNames = '**'

/** The texts between the stars of one name. */
type NameGlob = typeof anyNames | readonly string[]

function parseName(name: string): NameGlob | undefined {
  if (name === anyNames) return anyNames
  if (/^\.{0,2}$|^!|\*\*|[\\?[\]{}\0\ufffd]|[@!+]\(/.test(name)) return undefined
  return name.split('*')
}

function matches(parts: readonly NameGlob[], names: readonly string[]): boolean {
  let part = 0
  let name = 0
  // Behind the last `**`: tried again one name later when the rest does not fit. No earlier `**` needs that.
  let again: { readonly part: number; name: number } | undefined
  while (name < names.length) {
    const wanted = parts[part]
    if (wanted === anyNames) {
      part += 1
      again = { part, name }
    } else if (wanted !== undefined && nameMatches(wanted, names[name]!)) {
      part += 1
      name += 1
    } else if (again !== undefined) {
      again.name += 1
      ;({ part, name } = again)
    } else return false
  }
  return parts.slice(part).every((rest) => rest === anyNames)
}

function nameMatches(texts: readonly string[], name: string): boolean {
  const first = texts[0]!
  if (texts.length === 1) return name === first
  if (!name.startsWith(first)) return false
  let at = first.length
  for (const text of texts.slice(1, -1)) {
    const found = name.indexOf(text, at)
    if (found < 0) return false
    at = found + text.length
  }
  const last = texts.at(-1)!
  return name.length - last.length >= at && name.endsWith(last)
}

/**
 * The text that all spellings have which some file system takes for the same name: upper and lower case,
 * composed and decomposed characters, and characters that are not to be seen.
 */
export function foldName(name: string): string {
  return name
    .replace(/\p{Default_Ignorable_Code_Point}/gu, '')
    .normalize('NFD')
    .toLowerCase()
    .toUpperCase()
    .normalize('NFD')
}
