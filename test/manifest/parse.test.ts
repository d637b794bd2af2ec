import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { parseManifest } from '../../lib/manifest/parse.js'
import { packageRoot } from '../helpers/paths.js'

/** A manifest with all that it needs, and `more` after its four lines. */
function withMore(more: string): string {
  return `name: x\nversion: 1.0.0\nhandshake: { cookieKey: K, cookieValue: v }\ncommand: [x]\n${more}`
}

/** What is wrong in a text, as `line:column: what`. */
function problemsOf(text: string): readonly string[] {
  const parsed = parseManifest(text)
  if (parsed.t === 'right') return []
  return parsed.problems.map(({ line, column, text }) => `${line}:${column}: ${text}`)
}

const serviceAdvice = "give a service's full name, such as filelister.v1.FileLister"

for (const [what, text, expected] of [
  ['an empty file', '', ['1:1: it is not a mapping of fields to values']],
  ['a list', '- name: x', ['1:1: it is not a mapping of fields to values']],
  [
    'fields that are missing',
    '# nothing but a name\nname: x\n',
    [
      '2:1: version is missing',
      '2:1: handshake is missing',
      '2:1: command is missing: give it, or a JavaScript file as entry'
    ]
  ],
  [
    'half a cookie',
    'name: x\nversion: 1.0.0\nhandshake:\n  cookieKey: K\ncommand: [x]',
    ['4:3: handshake.cookieValue is missing']
  ],
  [
    'a field nobody knows',
    withMore('\nhostServices: []'),
    ['6:1: hostServices is not a field of a manifest']
  ],
  [
    'an unknown field further in',
    withMore('asks:\n  - service: a.B\n    scope: c'),
    ['7:5: asks[0].scope is not a field of a manifest']
  ],
  ['a field given twice', withMore('name: y'), ['5:1: Map keys must be unique']],
  [
    'a version that YAML reads as a number',
    'name: x\nversion: 1.0\nhandshake: { cookieKey: K, cookieValue: v }\ncommand: [x]',
    ['2:10: version is 1: give a version such as 1.0.0, as Semantic Versioning has it']
  ],
  [
    'a name like a path',
    'name: ../x\nversion: 1.0.0\nhandshake: { cookieKey: K, cookieValue: v }\ncommand: [x]',
    [
      '1:7: name is "../x": give lower-case letters, digits, ".", "_" and "-", a letter or digit first, ' +
        'in quotes where YAML reads a number'
    ]
  ],
  [
    'a field without a value',
    withMore('description:'),
    ['5:13: description is empty: give 1 to 1024 characters of text']
  ],
  ['a word for a list', withMore('offers: a.B'), ['5:9: offers is "a.B": give a list of services']],
  [
    'a mapping for a list',
    withMore('streams: { fd: true }'),
    ['5:10: streams is a mapping: give a list of fd and stdio']
  ],
  ['a list for a mapping', withMore('asks:\n- []'), ['6:3: asks[0].service is missing']],
  ['one of a list', withMore('offers:\n  - a.B\n  - a b'), [`7:5: offers[1] is "a b": ${serviceAdvice}`]],
  [
    'a value in a flow list',
    withMore('asks: [{ service: 7, scopes: [files.read, "?"] }]'),
    [
      `5:19: asks[0].service is 7: ${serviceAdvice}`,
      '5:43: asks[0].scopes[1] is "?": give a scope such as files.read'
    ]
  ],
  [
    'a service asked for twice',
    withMore('asks:\n  - service: a.B\n  - service: c.D\n  - service: a.B\n    scopes: [e]'),
    ['8:5: asks[2] is a mapping: the service is asked for twice; put its scopes together']
  ],
  [
    'the same again in a list',
    withMore('wires: [h2, h2]'),
    ['5:13: wires[1] is "h2": it is in the list twice']
  ],
  ['a stream nobody has', withMore('streams: [tcp]'), ['5:11: streams[0] is "tcp": choose fd or stdio']],
  [
    'versions that cannot be',
    withMore('protocolVersions: [1, -1, 1.5, .inf, "2"]'),
    [
      '5:23: protocolVersions[1] is -1: give a whole number, 0 or more',
      '5:27: protocolVersions[2] is 1.5: give a whole number, 0 or more',
      '5:32: protocolVersions[3] is Infinity: give a whole number, 0 or more',
      '5:38: protocolVersions[4] is "2": give a whole number, 0 or more'
    ]
  ],
  [
    'no version',
    withMore('protocolVersions: []'),
    ['5:19: protocolVersions is a list: give at least one version']
  ],
  [
    'no program',
    'name: x\nversion: 1.0.0\nhandshake: { cookieKey: K, cookieValue: v }\ncommand: []',
    ['4:10: command is a list: give at least the program']
  ],
  [
    'a program without a name',
    'name: x\nversion: 1.0.0\nhandshake: { cookieKey: K, cookieValue: v }\ncommand: [""]',
    ['4:10: command is a list: give at least the program']
  ],
  [
    'a word that YAML reads as a number',
    'name: x\nversion: 1.0.0\nhandshake: { cookieKey: K, cookieValue: v }\ncommand: [x, 8080]',
    ['4:14: command[1] is 8080: give words, in quotes where YAML reads something else']
  ],
  [
    'both a command and an entry',
    withMore('entry: ./x.js'),
    ['5:8: entry is "./x.js": it stands beside command; give one of the two']
  ],
  [
    'a list that does not end',
    'name: [',
    ['1:8: Flow sequence in block collection must be sufficiently indented and end with a ]']
  ],
  ['two documents', `${withMore('')}---\nname: y`, ['5:1: a second document begins']],
  [
    'an alias of nothing',
    withMore('offers: *services'),
    ['1:1: Unresolved alias (the anchor must be set before the alias): services']
  ],
  [
    'a value behind an alias',
    withMore('offers: &them\n  - a b\nasks: [{ service: a.B, scopes: *them }]'),
    [
      `6:5: offers[0] is "a b": ${serviceAdvice}`,
      '6:5: asks[0].scopes[0] is "a b": give a scope such as files.read'
    ]
  ]
] as const satisfies readonly (readonly [string, string, readonly string[]])[]) {
  t.test(`${what}: told with line and column`, async (t) => t.same(problemsOf(text), expected))
}

t.test('aliases of aliases are refused before they fill the memory', async (t) => {
  const levels = Array.from(
    { length: 30 },
    (_, index) => `l${index + 1}: &l${index + 1} [*l${index}, *l${index}, *l${index}]`
  )
  t.match(problemsOf(withMore(['l0: &l0 [x, x, x]', ...levels].join('\n'))), [/^1:1: Excessive alias count/])
})

t.test('deep nesting is refused before it fills the stack, which would end the process', async (t) => {
  const times = 20_000
  const tooDeep = 'lists and mappings are too deep in each other'
  t.same(problemsOf(withMore(`offers: ${'['.repeat(times)}${']'.repeat(times)}`)), [`5:39: ${tooDeep}`])
  t.same(problemsOf(withMore(`offers: ${'{a: '.repeat(times / 2)}`)), [`5:129: ${tooDeep}`])
  t.same(problemsOf(`${'- '.repeat(times)}x`), [`1:63: ${tooDeep}`])
  t.match(problemsOf(withMore(`offers: ${'['.repeat(20)}${']'.repeat(20)}`)), [
    /^5:10: offers\[0\] is a list/
  ])
})

t.test("the package's own manifest, and the least one, are right", async (t) => {
  t.same(problemsOf(await readFile(join(packageRoot, 'plugins/filelister/manifest.yaml'), 'utf8')), [])
  t.same(problemsOf(withMore('')), [])
})
