/**
 * The code for a .proto file: messages, types and service descriptors. `bin/proto` is the command.
 *
 * The messages are protobufjs's static code. The types are written here, because protobufjs's own make every field
 * of a received message optional.
 */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import protobuf from 'protobufjs'
import pbjs from 'protobufjs-cli/pbjs.js'
import { fileDescriptors } from './descriptor.js'

const pbjsOptions = ['-t', 'static-module', '-w', 'esm', '--no-comments', '--no-service', '--no-create']
const pbjsLeavesOut = ['--no-verify', '--no-convert', '--no-delimited', '--no-typeurl']
// What the generated code needs comes through this package, so that it resolves wherever this package does.
const runtime = 'muxplug/protobuf'

/**
 * The two files generated from one .proto: `[path, content]` each. Paths, also those of imports, are from the working
 * directory.
 */
export async function generate(protoPath) {
  const root = new protobuf.Root()
  root.loadSync(protoPath, { alternateCommentMode: true })
  root.resolveAll()
  const file = describeFile(root, protoPath)
  // Made also where nothing needs them: what they cannot say is refused.
  const descriptors = fileDescriptors(protoPath)
  const messages = await promisify(pbjs.main)([
    ...pbjsOptions,
    ...pbjsLeavesOut,
    '--dependency',
    runtime,
    protoPath
  ])
  const header = `// Generated from ${path.basename(protoPath)} by muxplug-proto. Do not edit.\n`
  const stem = protoPath.slice(0, -'.proto'.length)
  return [
    [`${stem}.js`, header + withOwnDefaults(withNumbers(withOwnRoot(messages))) + scriptTail(file, descriptors)],
    [`${stem}.d.ts`, header + declarations(root, file)]
  ]
}

/** What the .proto file itself declares, as opposed to what it imports. */
function describeFile(root, protoPath) {
  const { package: name } = protobuf.parse(readFileSync(protoPath, 'utf8'), new protobuf.Root())
  if (name === undefined || name === null) throw new Error(`${protoPath} declares no package: add a line such as "package notes.v1;"`)
  const here = (object) => object.filename === protoPath
  const namespace = root.lookup(name)
  return {
    package: name,
    namespace,
    types: namespace.nestedArray.filter((object) => here(object) && !(object instanceof protobuf.Service)),
    services: namespace.nestedArray.filter((object) => here(object) && object instanceof protobuf.Service)
  }
}

/** protobufjs keeps messages in a registry that all modules of a process share; each file here has its own. */
function withOwnRoot(code) {
  const own = replaceOnce(code, /^const \$root = .*$/m, 'const $root = {};')
  return replaceOnce(own, /^export \{\s+\$root as default\s+\};$/m, '')
}

/**
 * protobufjs leaves a field that was not received to the prototype, where spread, `structuredClone` and `console.log`
 * do not see it. Here each message has all its fields as its own.
 */
function withOwnDefaults(code) {
  const lines = []
  let type
  let constructorEnd
  for (const line of code.split('\n')) {
    const opening = /^\s+const (\w+) = function \(properties\) \{$/.exec(line)
    const initial = /^\s+(\w+)\.prototype\.(\w+) = (.+);$/.exec(line)
    if (opening !== null) {
      type = opening[1]
      constructorEnd = lines.length + 1
    }
    if (initial !== null && initial[1] === type && !/emptyArray|emptyObject/.test(initial[3])) {
      const [, , field, value] = initial
      const own = value.startsWith('$util.') ? `${type}.prototype.${field}` : value
      lines.splice(constructorEnd, 0, `${' '.repeat(16)}this.${field} = ${own};`)
      constructorEnd += 1
    }
    lines.push(line.replace(/delete message\.(\w+);/, `message.$1 = ${type}.prototype.$1;`))
  }
  return lines.join('\n')
}

/**
 * Integers of 64 bits as numbers, refused where they are not exact: sizes and times fit, and arithmetic stays plain.
 * protobufjs gives numbers or objects of `long`, depending on what else is installed.
 */
function withNumbers(code) {
  if (!/\.(?:u?int|sint|s?fixed)64s?\(/.test(code)) return code
  const numbers = code
    .replace(/\$util\.Long \? \$util\.Long\.fromBits\(0,\s*0,\s*(?:true|false)\) : 0/g, '0')
    .replace(/reader\.(?:u?int|sint|s?fixed)64\(\)/g, '$exact($&)')
    .replace(/reader\.((?:u?int|sint|s?fixed)64s)\((message\.\w+)\)/g, '$readExact(reader, "$1", $2)')
    .replace(/\.(int64|sint64|sfixed64)\((message\.\w+(?:\[keys\[i\]\]|\[i\])?)\)/g, '.$1($exact($2))')
    .replace(/\.(uint64|fixed64)\((message\.\w+(?:\[keys\[i\]\]|\[i\])?)\)/g, '.$1($exact($2, 0))')
    .replace(/\.(int64s|sint64s|sfixed64s)\((message\.\w+)\)/g, '.$1($allExact($2))')
    .replace(/\.(uint64s|fixed64s)\((message\.\w+)\)/g, '.$1($allExact($2, 0))')
  return replaceOnce(numbers, /^import \$protobuf from/m, 'import $protobuf, { $exact, $allExact, $readExact } from')
}

/** The exports under short names, and the services, as code. */
function scriptTail(file, descriptors) {
  const lines = []
  for (const type of file.types) lines.push(`export const ${type.name} = ${fullName(type)};`)
  if (file.services.length > 0) lines.push('', ...describedFiles(descriptors))
  for (const service of file.services) {
    lines.push('', `export const ${service.name} = {`, `    typeName: "${fullName(service)}",`)
    lines.push('    fileDescriptors,', '    methods: {')
    for (const method of service.methodsArray) {
      lines.push(
        `        ${methodName(method)}: {`,
        `            path: "${methodPath(method)}",`,
        `            requestStream: ${method.requestStream === true},`,
        `            responseStream: ${method.responseStream === true},`,
        `            request: ${fullName(method.resolvedRequestType)},`,
        `            response: ${fullName(method.resolvedResponseType)}`,
        '        },'
      )
    }
    lines.push('    }', '};')
  }
  return `${lines.join('\n')}\n`
}

/** The .proto file and its imports as code that costs nothing until reflection asks. */
function describedFiles(descriptors) {
  const encoded = descriptors.map((bytes) => `    "${bytes.toString('base64')}"`)
  return ['const fileDescriptors = () => [', encoded.join(',\n'), '].map((base64) => Buffer.from(base64, "base64"));']
}

function declarations(root, file) {
  const lines = [`import type { Writer } from "${runtime}";`]
  const local = (object) => {
    const name = fullName(object)
    return name.startsWith(`${file.package}.`) ? name.slice(file.package.length + 1) : name
  }
  for (const type of file.types) lines.push('', ...declareType(type, 'export ', local))
  for (const namespace of importedNamespaces(root, file)) {
    const types = namespace.nestedArray.filter((object) => object instanceof protobuf.Type || object instanceof protobuf.Enum)
    lines.push('', `export namespace ${fullName(namespace)} {`)
    lines.push(...types.flatMap((type) => indent(declareType(type, '', local))), '}')
  }
  for (const service of file.services) lines.push('', ...declareService(service, local))
  return `${lines.join('\n')}\n`
}

/** The packages of imported files that declare types. */
function importedNamespaces(namespace, file) {
  const inner = namespace.nestedArray.filter((object) => object.constructor === protobuf.Namespace)
  const own = namespace.nestedArray.some((object) => object instanceof protobuf.Type || object instanceof protobuf.Enum)
  const found = inner.flatMap((object) => importedNamespaces(object, file))
  return own && namespace !== file.namespace ? [namespace, ...found] : found
}

function declareType(type, prefix, local) {
  if (type instanceof protobuf.Enum) return declareEnum(type, prefix)
  const { name } = type
  const nested = type.nestedArray.flatMap((object) => declareType(object, '', local))
  return [
    ...doc(type.comment),
    `${prefix}interface ${name} {`,
    ...type.fieldsArray.flatMap((field) => indent([...fieldDoc(field), `${field.name}: ${receivedType(field, local)};`])),
    ...oneofs(type).map((oneof) => `    readonly ${oneof.name}: ${oneof.oneof.map((it) => `"${it}"`).join(' | ')} | undefined;`),
    '}',
    `${prefix}namespace ${name} {`,
    ...indent([
      `/** What {@link ${name}} is made from: a field left out has its default. */`,
      'interface Init {',
      ...type.fieldsArray.flatMap((field) => indent([...fieldDoc(field), `${field.name}?: ${initType(field, local)} | null | undefined;`])),
      '}',
      'function encode(message: Init, writer?: Writer): Writer;',
      `function decode(bytes: Uint8Array): ${name};`,
      ...nested
    ]),
    '}'
  ]
}

/** Enums of proto3 are open: a peer may send a number that is not listed here. */
function declareEnum(type, prefix) {
  const entries = Object.entries(type.values)
  return [
    ...doc(type.comment),
    `${prefix}type ${type.name} = number;`,
    `${prefix}const ${type.name}: {`,
    ...entries.flatMap(([name, value]) => indent([...doc(type.comments[name]), `readonly ${name}: ${value};`])),
    '    readonly [value: number]: string | undefined;',
    '};'
  ]
}

function declareService(service, local) {
  const lines = [...doc(service.comment), `export const ${service.name}: {`]
  lines.push(`    readonly typeName: "${fullName(service)}";`)
  lines.push('    readonly fileDescriptors: () => readonly Uint8Array[];', '    readonly methods: {')
  for (const method of service.methodsArray) {
    const members = [
      ...doc(method.comment),
      `readonly ${methodName(method)}: {`,
      `    readonly path: "${methodPath(method)}";`,
      `    readonly requestStream: ${method.requestStream === true};`,
      `    readonly responseStream: ${method.responseStream === true};`,
      `    readonly request: typeof ${local(method.resolvedRequestType)};`,
      `    readonly response: typeof ${local(method.resolvedResponseType)};`,
      '};'
    ]
    lines.push(...indent(indent(members)))
  }
  return [...lines, '    };', '};']
}

const scalarTypes = {
  string: 'string',
  bytes: 'Uint8Array',
  bool: 'boolean',
  double: 'number',
  float: 'number',
  int32: 'number',
  int64: 'number',
  uint64: 'number',
  uint32: 'number',
  sint32: 'number',
  sint64: 'number',
  fixed64: 'number',
  sfixed64: 'number',
  fixed32: 'number',
  sfixed32: 'number'
}

function receivedType(field, local) {
  const element = elementType(field, local)
  if (field.map) return `Record<string, ${element}>`
  if (field.repeated) return `${element}[]`
  const absent = field.resolvedType instanceof protobuf.Type || field.partOf !== null
  return absent ? `${element} | null` : element
}

function initType(field, local) {
  const element = elementType(field, local) + (field.resolvedType instanceof protobuf.Type ? '.Init' : '')
  if (field.map) return `Readonly<Record<string, ${element}>>`
  return field.repeated ? `readonly ${element}[]` : element
}

function elementType(field, local) {
  if (field.resolvedType !== null) return local(field.resolvedType)
  const type = scalarTypes[field.type]
  if (type === undefined) throw new Error(`${field.fullName}: there is no TypeScript type for ${field.type}`)
  if (field.map && /64$/.test(field.keyType)) {
    throw new Error(`${field.fullName}: keys of ${field.keyType} do not fit the names of properties; use string`)
  }
  return type
}

/** The oneofs a reader sees: not the one that stands for `optional`. */
function oneofs(type) {
  return type.oneofsArray.filter((oneof) => !oneof.isProto3Optional)
}

const fullName = (object) => object.fullName.replace(/^\./, '')
const methodPath = (method) => `/${fullName(method.parent)}/${method.name}`
const methodName = (method) => protobuf.util.lcFirst(protobuf.util.camelCase(method.name))
const indent = (lines) => lines.map((line) => (line === '' ? line : `    ${line}`))

const isLong = (field) => /64$/.test(field.type)

function fieldDoc(field) {
  if (!isLong(field)) return doc(field.comment)
  const range = field.type === 'uint64' || field.type === 'fixed64' ? '0 to 2^53-1.' : '-(2^53-1) to 2^53-1.'
  return doc(field.comment ? `${field.comment} ${range}` : range)
}

function doc(comment) {
  if (typeof comment !== 'string' || comment === '') return []
  const lines = comment.replaceAll('*/', '* /').split('\n')
  return lines.length === 1 ? [`/** ${lines[0]} */`] : ['/**', ...lines.map((line) => ` * ${line}`), ' */']
}

function replaceOnce(text, pattern, replacement) {
  if (!pattern.test(text)) throw new Error(`protobufjs-cli's output has no ${pattern}: is it another version?`)
  return text.replace(pattern, replacement)
}
