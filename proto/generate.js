/*
 * Writes a .js and a .d.ts beside every .proto file here.
 *
 *   node proto/generate.js           writes them
 *   node proto/generate.js --check   writes nothing; exits 1 and names the files that are not up to date
 *
 * The messages are protobufjs's static code. The types are written here, because protobufjs's own make every field
 * of a received message optional.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import protobuf from 'protobufjs'
import pbjs from 'protobufjs-cli/pbjs.js'
import { fileDescriptors } from './descriptor.js'

const folder = import.meta.dirname ?? path.dirname(fileURLToPath(import.meta.url))

const pbjsOptions = ['-t', 'static-module', '-w', 'esm', '--no-comments', '--no-service', '--no-create']
const pbjsLeavesOut = ['--no-verify', '--no-convert', '--no-delimited', '--no-typeurl']

/** The two files generated from one .proto: `[path, content]` each. */
async function generate(protoPath) {
  const root = new protobuf.Root()
  root.loadSync(protoPath, { alternateCommentMode: true })
  root.resolveAll()
  const file = describeFile(root, protoPath)
  const messages = await promisify(pbjs.main)([...pbjsOptions, ...pbjsLeavesOut, protoPath])
  const header = `// Generated from ${path.basename(protoPath)} by proto/generate.js. Do not edit.\n`
  const stem = protoPath.slice(0, -'.proto'.length)
  return [
    [`${stem}.js`, header + withOwnDefaults(withNumbers(withOwnRoot(messages))) + scriptTail(file, protoPath)],
    [`${stem}.d.ts`, header + declarations(root, file)]
  ]
}

/** What the .proto file itself declares, as opposed to what it imports. */
function describeFile(root, protoPath) {
  const { package: name } = protobuf.parse(readFileSync(protoPath, 'utf8'), new protobuf.Root())
  if (name === undefined || name === null) throw new Error(`${protoPath} declares no package`)
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
  if (!/\.u?int64\(/.test(code)) return code
  const numbers = code
    .replace(/\$util\.Long \? \$util\.Long\.fromBits\(0,\s*0,\s*(?:true|false)\) : 0/g, '0')
    .replace(/reader\.u?int64\(\)/g, '$exact($&)')
    .replace(/\.int64\((message\.\w+)\)/g, '.int64($exact($1))')
    .replace(/\.uint64\((message\.\w+)\)/g, '.uint64($exact($1, 0))')
  return replaceOnce(numbers, /^const \$root = .*$/m, `$&\n\n${exact}`)
}

const exact = `const $exact = (value, lowest = Number.MIN_SAFE_INTEGER) => {
    const number = Number(value);
    if (!Number.isSafeInteger(number) || number < lowest)
        throw RangeError(\`\${value} is not an integer from \${lowest} to \${Number.MAX_SAFE_INTEGER}\`);
    return number;
};`

/** The exports under short names, and the services, as code. */
function scriptTail(file, protoPath) {
  const lines = []
  for (const type of file.types) lines.push(`export const ${type.name} = ${fullName(type)};`)
  if (file.services.length > 0) lines.push('', ...describedFiles(protoPath))
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
function describedFiles(protoPath) {
  const encoded = fileDescriptors(protoPath).map((bytes) => `    "${bytes.toString('base64')}"`)
  return ['const fileDescriptors = () => [', encoded.join(',\n'), '].map((base64) => Buffer.from(base64, "base64"));']
}

function declarations(root, file) {
  const lines = ['import type { Writer } from "protobufjs/minimal.js";']
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
  const several = field.repeated || field.map
  if (type === undefined || (several && isLong(field))) throw new Error(`${field.fullName}: no TypeScript type is chosen for ${field.type} yet`)
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

const isLong = (field) => field.type === 'int64' || field.type === 'uint64'

function fieldDoc(field) {
  if (!isLong(field)) return doc(field.comment)
  const range = field.type === 'uint64' ? '0 to 2^53-1.' : '-(2^53-1) to 2^53-1.'
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

function currentContent(file) {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (error.code === 'ENOENT') return undefined
    throw error
  }
}

// protobufjs looks imports up from the working directory.
process.chdir(folder)
const check = process.argv.includes('--check')
const protos = readdirSync('.', { recursive: true })
  .filter((name) => name.endsWith('.proto'))
  .map((name) => name.replaceAll('\\', '/'))
  .sort()
const stale = []
for (const proto of protos) {
  for (const [file, content] of await generate(proto)) {
    if (currentContent(file) === content) continue
    stale.push(file)
    if (!check) writeFileSync(file, content)
  }
}
for (const file of stale) console.log(`${check ? 'not up to date' : 'wrote'}: proto/${file}`)
if (check && stale.length > 0) {
  console.log('Run `npm run proto` and commit the result.')
  process.exitCode = 1
}
