import * as v from 'valibot'

// The texts end an error after the field and the value seen, and are not part of the JSON Schema; descriptions are.

/** Text of a certain form. */
function words(form: RegExp, advice: string) {
  return v.pipe(v.string(advice), v.regex(form, advice))
}

/** A list in which nothing comes twice. */
function listOf<const Item extends v.GenericSchema>(item: Item, advice: string) {
  return v.pipe(
    v.array(item, advice),
    v.checkItems((one, index, all) => all.indexOf(one) === index, 'it is in the list twice')
  )
}

function shortText(maxLength: number) {
  const advice = `give 1 to ${maxLength} characters of text`
  return v.pipe(v.string(advice), v.minLength(1, advice), v.maxLength(maxLength, advice))
}

const serviceName = words(
  /^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$/,
  "give a service's full name, such as filelister.v1.FileLister"
)

const name = v.pipe(
  words(
    /^[a-z0-9][a-z0-9._-]*$/,
    'give lower-case letters, digits, ".", "_" and "-", a letter or digit first, in quotes where YAML reads a number'
  ),
  v.maxLength(64, 'give at most 64 characters'),
  v.description('What hosts call the plugin. No other plugin of a host may have it.')
)

const version = v.pipe(
  words(
    /^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$/,
    'give a version such as 1.0.0, as Semantic Versioning has it'
  ),
  v.description('Version of the plugin, as Semantic Versioning has it.')
)

const handshake = v.pipe(
  v.strictObject(
    {
      cookieKey: v.pipe(
        words(/^[A-Za-z_]\w*$/, 'give the name of an environment variable'),
        v.description('The environment variable that tells the plugin who has started it.')
      ),
      cookieValue: v.pipe(shortText(1024), v.description('What that variable holds. Not a secret.'))
    },
    'give a cookieKey and a cookieValue'
  ),
  v.description("The cookie of the plugin's serve() and the host's launch(): it is the same in both.")
)

const versionAdvice = 'give a whole number, 0 or more'
const protocolVersion = v.pipe(
  v.number(versionAdvice),
  v.integer(versionAdvice),
  v.minValue(0, versionAdvice),
  v.maxValue(0xffff_ffff, versionAdvice)
)
const protocolVersions = v.pipe(
  // One number may break two of the rules, and is told once.
  listOf(v.config(protocolVersion, { abortPipeEarly: true }), 'give a list of whole numbers, such as [1]'),
  v.minLength(1, 'give at least one version'),
  v.description("Versions of the application's protocol that the plugin speaks. Default: [1].")
)

const command = v.pipe(
  v.array(v.string('give words, in quotes where YAML reads something else'), 'give a list of words'),
  v.minLength(1, 'give at least the program'),
  v.check(([program]) => program !== '', 'give at least the program'),
  v.description(
    'The program and its arguments, without a shell. A program with a slash is relative to the manifest; others are ' +
      'looked up in PATH.'
  )
)

const entry = v.pipe(
  words(/[^/]$/, 'give the path of a JavaScript file, relative to the manifest'),
  v.description(
    "A JavaScript file, relative to the manifest, that runs on the host's Node.js. Instead of command."
  )
)

const streams = v.pipe(
  listOf(v.picklist(['fd', 'stdio'], 'choose fd or stdio'), 'give a list of fd and stdio'),
  v.description('Forms of the stream that the plugin can use; [] for a plugin that knows sockets alone.')
)

const wires = v.pipe(
  listOf(
    words(/^[a-z][a-z0-9-]*$/, 'give the name of a wire, such as h2'),
    'give a list of wires, such as [direct, h2]'
  ),
  v.description(
    'Wires that the plugin can use, best first: direct, h2. A host ignores those it does not know.'
  )
)

const offers = v.pipe(
  listOf(serviceName, 'give a list of services'),
  v.description('gRPC services of the plugin, each as package.Service.')
)

const asks = v.pipe(
  v.array(
    v.strictObject(
      {
        service: v.pipe(serviceName, v.description('A service of the host, as package.Service.')),
        scopes: v.optional(
          v.pipe(
            listOf(
              words(/^[a-z][a-z0-9]*([._:-][a-z0-9]+)*$/, 'give a scope such as files.read'),
              'give a list of scopes, such as [files.read]'
            ),
            v.description(
              'What the plugin wants to do there, such as files.read. The service says which there are.'
            )
          )
        )
      },
      'give a service and its scopes'
    ),
    'give a list of services with their scopes'
  ),
  v.checkItems(
    ({ service }, index, all) => all.findIndex((other) => other.service === service) === index,
    'the service is asked for twice; put its scopes together'
  ),
  v.description(
    'Services of the host that the plugin wants to call. The host decides, and nothing else is served.'
  )
)

/** The form of `manifest.yaml`. `docs/manifest.schema.json` is made from it. */
export const manifestSchema = v.pipe(
  v.strictObject({
    name,
    version,
    description: v.optional(v.pipe(shortText(1024), v.description('What the plugin is for, in a sentence.'))),
    licence: v.optional(v.pipe(shortText(256), v.description('SPDX expression, such as MIT.'))),
    handshake,
    protocolVersions: v.optional(protocolVersions),
    command: v.optional(command),
    entry: v.optional(entry),
    streams: v.optional(streams),
    wires: v.optional(wires),
    offers: v.optional(offers),
    asks: v.optional(asks)
  }),
  v.partialCheck(
    [['command'], ['entry']],
    (file) => file.command !== undefined || file.entry !== undefined,
    'command is missing: give it, or a JavaScript file as entry'
  ),
  v.forward(
    v.partialCheck(
      [['command'], ['entry']],
      (file) => file.command === undefined || file.entry === undefined,
      'it stands beside command; give one of the two'
    ),
    ['entry']
  )
)

/** A manifest as it is written. */
export type ManifestFile = v.InferOutput<typeof manifestSchema>

/** What is wrong, and the way to where it is: keys of mappings and indices of lists. */
export interface Fault {
  readonly at: readonly (string | number)[]
  /** Whether the last key itself is wrong, unknown or missing, rather than its value. */
  readonly key: boolean
  readonly text: string
}

/** Checks what YAML has read. */
export function checkManifest(
  value: unknown
): { readonly t: 'right'; readonly file: ManifestFile } | { readonly t: 'wrong'; readonly faults: Fault[] } {
  const result = v.safeParse(manifestSchema, value)
  if (result.success) return { t: 'right', file: result.output }
  return { t: 'wrong', faults: result.issues.map(toFault) }
}

function toFault({ path, expected, message }: v.BaseIssue<unknown>): Fault {
  const at = (path ?? []).map(({ key }) => key as string | number)
  const last = path?.at(-1)
  if (last === undefined) return { at, key: false, text: message }
  const field = fieldName(at)
  if (last.origin === 'value') return { at, key: false, text: `${field} is ${show(last.value)}: ${message}` }
  // No value is right for a key that is unknown.
  const what = expected === 'never' ? 'is not a field of a manifest' : 'is missing'
  return { at, key: true, text: `${field} ${what}` }
}

/** `asks[0].service` */
function fieldName(at: readonly (string | number)[]): string {
  return at.map((key, depth) => (typeof key === 'number' ? `[${key}]` : depth > 0 ? `.${key}` : key)).join('')
}

function show(value: unknown): string {
  if (value === null) return 'empty'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'a mapping'
  const text = typeof value === 'number' ? String(value) : JSON.stringify(value)
  return text.length > 80 ? `${text.slice(0, 80)}...` : text
}
