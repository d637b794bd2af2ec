import * as fc from 'fast-check'
import t from 'tap'
import { foldName, parseGlob, pathNames } from '../../lib/services/path-glob.js'

t.test('a path is its names, unless it could lead out', (t) => {
  const table: [path: string, names: string[] | undefined][] = [
    ['a/b', ['a', 'b']],
    ['./a//b/.', ['a', 'b']],
    ['', []],
    ['.', []],
    ['...', ['...']],
    ['..a/a..', ['..a', 'a..']],
    ['a\nb', ['a\nb']],
    ['/', undefined],
    ['/a', undefined],
    ['..', undefined],
    ['a/../b', undefined],
    ['a\0', undefined],
    ['a/'.repeat(2048), Array(2048).fill('a')],
    [`${'a/'.repeat(2048)}a`, undefined]
  ]
  for (const [path, names] of table) t.strictSame(pathNames(path), names, JSON.stringify(path.slice(0, 40)))
  t.end()
})

t.test('on Windows, what it takes for a separator, a drive or a device is refused', (t) => {
  const names = ['a\\..\\b', 'c:', 'nul', 'a/con.txt', 'a.', 'a ']
  for (const name of names) t.ok(pathNames(name), name)
  t.intercept(process, 'platform', { value: 'win32' })
  for (const name of names) t.equal(pathNames(name), undefined, name)
  t.ok(pathNames('a/b'))
  t.end()
})

t.test('globs', (t) => {
  const table: [glob: string, path: string, matches: boolean][] = [
    ['a', 'a', true],
    ['a', 'a/b', false],
    ['a/b', 'a', false],
    ['.', '', true],
    ['.', 'a', false],
    ['*', '', false],
    ['*', 'a', true],
    ['*', '.a', true],
    ['*', 'a\nb', true],
    ['*', 'a/b', false],
    ['a*', 'a', true],
    ['a*', 'ba', false],
    ['*a', 'ab', false],
    ['a*a', 'a', false],
    ['a*a', 'aa', true],
    ['*a*b*', 'xaxbx', true],
    ['*a*b*', 'xbxax', false],
    ['a*b*b', 'ab', false],
    ['a*b*b', 'abb', true],
    ['**', '', true],
    ['**', 'a/b', true],
    ['**/*.key', '.key', true],
    ['**/*.key', 'a/b/c.key', true],
    ['**/*.key', 'a.key/b', false],
    ['docs/**', 'docs', true],
    ['docs/**', 'docs/a/b', true],
    ['docs/**', 'a/docs', false],
    ['a/**/b', 'a/b', true],
    ['a/**/b', 'a/b/c/b', true],
    ['a/**/b', 'a/b/c', false],
    ['**/a/**/b', 'x/a/b/a', false],
    ['a.c', 'abc', false],
    ['@types/c++ (x86)', '@types/c++ (x86)', true]
  ]
  for (const [glob, path, matches] of table)
    t.equal(parseGlob(glob)!(pathNames(path)!), matches, `${glob} ${JSON.stringify(path)}`)
  t.end()
})

t.test('what another glob would take for a pattern is none', (t) => {
  const bad = [
    '',
    'a/',
    '/a',
    'a//b',
    './a',
    'a/..',
    'a?',
    '[ab]',
    '{a,b}',
    '!a',
    '@(a)',
    '+(a)',
    'a\\b',
    'a**',
    '\ufffd',
    '\0'
  ]
  for (const glob of bad) t.equal(parseGlob(glob), undefined, JSON.stringify(glob))
  t.end()
})

/** What globs mean, tried in every way. */
function means(parts: readonly string[], names: readonly string[]): boolean {
  const [part, ...parts_] = parts
  if (part === undefined) return names.length === 0
  if (part === '**') return names.some((_, at) => means(parts_, names.slice(at))) || means(parts_, [])
  return names.length > 0 && meansName(part, names[0]!) && means(parts_, names.slice(1))
}

function meansName(part: string, name: string): boolean {
  if (part === '') return name === ''
  if (part[0] !== '*') return part[0] === name[0] && meansName(part.slice(1), name.slice(1))
  return meansName(part.slice(1), name) || (name !== '' && meansName(part, name.slice(1)))
}

t.test('a glob matches what some way of reading it matches', (t) => {
  const name = fc
    .array(fc.constantFrom('a', 'b'), { minLength: 1, maxLength: 4 })
    .map((chars) => chars.join(''))
  const part = fc.oneof(fc.constantFrom('**', '*', 'a*', '*b', '*a*', 'a*b*a', 'a', 'b'), name)
  const parts = fc.array(part, { minLength: 1, maxLength: 5 })
  fc.assert(
    fc.property(parts, fc.array(name, { maxLength: 6 }), (glob, names) => {
      return parseGlob(glob.join('/'))!(names) === means(glob, names)
    }),
    { seed: 1, numRuns: 5000 }
  )
  t.end()
})

t.test('no path takes long, whatever the glob', { timeout: 30_000 }, (t) => {
  const globs = [`**/${'*a'.repeat(40)}*b`, `${'**/a/'.repeat(40)}**/b`, `${'**/*a*a*b/'.repeat(20)}b`]
  const paths = ['a'.repeat(4096), 'a/'.repeat(2048), 'aaaaaaa/'.repeat(512)]
  for (const glob of globs) {
    const matches = parseGlob(glob)!
    for (const path of paths) t.equal(matches(pathNames(path)!), false)
  }
  t.end()
})

t.test('spellings that some file system takes for one name fold alike, others do not', (t) => {
  const same: string[][] = [
    ['key', 'KEY', 'Key', '\u212aey', 'k\u200bey'],
    ['é', 'e\u0301', 'É', 'E\u0301'],
    ['ß', 'ss', 'SS', '\u1e9e', '\u017fs'],
    ['ς', 'σ', 'Σ'],
    ['\u1fb4', '\u03b1\u0345\u0301', '\u0386\u0399']
  ]
  for (const [first = '', ...others] of same)
    for (const other of others) t.equal(foldName(other), foldName(first), `${first} ${other}`)
  t.not(foldName('e'), foldName('é'))
  t.not(foldName('a'), foldName('b'))
  t.end()
})
