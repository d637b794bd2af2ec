import type { MethodDefinition } from '@grpc/grpc-js'
import type { ServiceBinding } from '../grpc/handler.js'

/** What a server can tell of itself. */
export interface Catalog {
  /** Full names of all services, sorted. */
  readonly services: readonly string[]
  /** By name. */
  readonly files: ReadonlyMap<string, ReflectedFile>
  /**
   * By each full name declared in them: of services, methods, messages, fields, oneofs, enums and their
   * values.
   */
  readonly owners: ReadonlyMap<string, ReflectedFile>
}

export interface ReflectedFile {
  /** Names of files; one that is not in the catalog is nowhere to be had. */
  readonly imports: readonly string[]
  /** A serialised `google.protobuf.FileDescriptorProto`. */
  readonly bytes: Uint8Array
}

/**
 * Joins the files behind all bindings. They come from sources that do not know each other, and a client puts
 * them in one pool, where a name is declared once and a file is known by its name. So what is declared twice
 * is left to one file, and of two files with one name the second gets another. A file that needs none of this
 * keeps its bytes.
 */
export async function readCatalog(bindings: readonly ServiceBinding[]): Promise<Catalog> {
  // protobufjs's reflection is large, and few servers are ever asked.
  const { default: descriptor } = await import('protobufjs/ext/descriptor.js')
  const { FileDescriptorProto } = descriptor
  const methods = bindings.flatMap(({ definition }) => Object.values(definition))
  const sources = describedBy(methods).map((bytes) => {
    return { message: FileDescriptorProto.decode(bytes) as unknown as FileMessage, bytes, changed: false }
  })
  // Files that others import by name come first, so that they keep what they declare.
  const imported = new Set(sources.flatMap(({ message }) => message.dependency))
  const rank = ({ message }: Source): number => (imported.has(message.name) ? 0 : 1)
  sources.sort((a, b) => rank(a) - rank(b))

  const joined = new Map<string, Source>()
  const declaredIn = new Map<string, string>()
  for (const source of sources) {
    const { message } = source
    if (leaveOut(message, declaredIn)) source.changed = true
    if (message.messageType.map(nameMapEntries).includes(true)) source.changed = true
    const names = [...declaredBy(message)]
    if (source.changed && names.length === 0) continue
    if (rename(message, joined)) source.changed = true
    joined.set(message.name, source)
    for (const name of names) declaredIn.set(name, message.name)
  }

  const files = new Map<string, ReflectedFile>()
  for (const [name, source] of joined) {
    const { message, bytes } = source
    if (addImports(message, declaredIn)) source.changed = true
    files.set(name, {
      imports: message.dependency,
      bytes: source.changed ? FileDescriptorProto.encode(message).finish() : bytes
    })
  }
  const owners = new Map<string, ReflectedFile>()
  for (const [name, fileName] of declaredIn) {
    const file = files.get(fileName)
    if (file !== undefined) owners.set(name, file)
  }
  const services = new Set(methods.map(({ path }) => path.split('/')[1] ?? path))
  return { services: [...services].sort(), files, owners }
}

interface MessageDefinition {
  readonly fileDescriptorProtos?: readonly Uint8Array[]
}

/** A method as `@grpc/proto-loader` defines it: with more than grpc-js asks for. */
type DescribedMethod = MethodDefinition<unknown, unknown> & {
  readonly requestType?: MessageDefinition
  readonly responseType?: MessageDefinition
}

/**
 * The files of the methods, each once. Methods of one source share their lists, so those are not read twice.
 */
function describedBy(methods: readonly DescribedMethod[]): Uint8Array[] {
  const types = new Set(methods.flatMap(({ requestType, responseType }) => [requestType, responseType]))
  const lists = new Set([...types].map((type) => type?.fileDescriptorProtos ?? []))
  const files = new Set([...lists].flat())
  return [...new Map([...files].map((bytes) => [Buffer.from(bytes).toString('latin1'), bytes])).values()]
}

interface Source {
  readonly message: FileMessage
  readonly bytes: Uint8Array
  /** Whether the message is not what the bytes say any more. */
  changed: boolean
}

/** A decoded `google.protobuf.FileDescriptorProto`, as far as it matters here. */
interface FileMessage {
  name: string
  readonly package: string
  dependency: readonly string[]
  messageType: readonly TypeMessage[]
  enumType: readonly EnumMessage[]
  service: readonly ServiceMessage[]
}

interface Named {
  readonly name: string
}

interface TypeMessage {
  name: string
  readonly field: readonly (Named & { typeName: string })[]
  readonly oneofDecl: readonly Named[]
  readonly nestedType: readonly TypeMessage[]
  readonly enumType: readonly EnumMessage[]
  readonly options: { readonly mapEntry: boolean } | null
}

interface EnumMessage extends Named {
  readonly value: readonly Named[]
}

interface ServiceMessage extends Named {
  readonly method: readonly (Named & { readonly inputType: string; readonly outputType: string })[]
}

/** Takes out what another file declares. True when there was something, as with the three below. */
function leaveOut(file: FileMessage, taken: ReadonlyMap<string, unknown>): boolean {
  const isOwn = ({ name }: Named): boolean => !taken.has(within(file.package, name))
  if ([...file.messageType, ...file.enumType, ...file.service].every(isOwn)) return false
  file.messageType = file.messageType.filter(isOwn)
  file.enumType = file.enumType.filter(isOwn)
  file.service = file.service.filter(isOwn)
  return true
}

/**
 * protobufjs calls the entries of a map field `counts` `Counts`; readers insist on `CountsEntry`
 * (descriptor.proto).
 */
function nameMapEntries(type: TypeMessage): boolean {
  let changed = false
  const fields = new Map(type.field.map((field) => [field.typeName, field]))
  for (const nested of type.nestedType) {
    const field = nested.options?.mapEntry === true ? fields.get(nested.name) : undefined
    if (field !== undefined) {
      nested.name = field.name.replace(/(?:^|_+)(.?)/g, (_, letter: string) => letter.toUpperCase()) + 'Entry'
      field.typeName = nested.name
      changed = true
    } else if (nameMapEntries(nested)) {
      changed = true
    }
  }
  return changed
}

/** protobufjs names a file after its package, so that two may have one name. */
function rename(file: FileMessage, taken: ReadonlyMap<string, unknown>): boolean {
  const { name } = file
  for (let n = 2; taken.has(file.name); n += 1) file.name = name.replace(/(\.proto)?$/, `-${n}.proto`)
  return file.name !== name
}

/** protobufjs, and so `@grpc/proto-loader`, writes descriptors that import nothing, whatever they use. */
function addImports(file: FileMessage, declaredIn: ReadonlyMap<string, string>): boolean {
  if (file.dependency.length > 0) return false
  const used = new Set<string>()
  for (const [scope, name] of usedBy(file)) {
    const fileName = lookUp(declaredIn, scope, name)
    if (fileName !== undefined && fileName !== file.name) used.add(fileName)
  }
  file.dependency = [...used]
  return used.size > 0
}

/** All full names that a file declares. */
function* declaredBy(file: FileMessage): Generator<string> {
  for (const type of file.messageType) yield* declaredByType(file.package, type)
  for (const type of file.enumType) yield* declaredByEnum(file.package, type)
  for (const service of file.service) {
    const name = within(file.package, service.name)
    yield name
    for (const method of service.method) yield within(name, method.name)
  }
}

function* declaredByType(scope: string, type: TypeMessage): Generator<string> {
  const name = within(scope, type.name)
  yield name
  for (const member of [...type.field, ...type.oneofDecl]) yield within(name, member.name)
  for (const nested of type.nestedType) yield* declaredByType(name, nested)
  for (const nested of type.enumType) yield* declaredByEnum(name, nested)
}

/** The values of an enum are declared beside it, not in it (descriptor.proto). */
function* declaredByEnum(scope: string, type: EnumMessage): Generator<string> {
  yield within(scope, type.name)
  for (const value of type.value) yield within(scope, value.name)
}

/** Each use of a type: the scope it is in, and the name. */
function* usedBy(file: FileMessage): Generator<[scope: string, name: string]> {
  for (const type of file.messageType) yield* usedByType(file.package, type)
  for (const { method } of file.service) {
    for (const { inputType, outputType } of method) {
      yield [file.package, inputType]
      yield [file.package, outputType]
    }
  }
}

function* usedByType(scope: string, type: TypeMessage): Generator<[scope: string, name: string]> {
  const name = within(scope, type.name)
  for (const { typeName } of type.field) if (typeName !== '') yield [name, typeName]
  for (const nested of type.nestedType) yield* usedByType(name, nested)
}

/** The file of a name: a full one begins with a dot, any other is looked for from the scope outwards. */
function lookUp(declaredIn: ReadonlyMap<string, string>, scope: string, name: string): string | undefined {
  if (name.startsWith('.')) return declaredIn.get(name.slice(1))
  for (let outer = scope; outer !== ''; outer = outer.slice(0, Math.max(outer.lastIndexOf('.'), 0))) {
    const found = declaredIn.get(within(outer, name))
    if (found !== undefined) return found
  }
  return declaredIn.get(name)
}

function within(scope: string, name: string): string {
  return scope === '' ? name : `${scope}.${name}`
}
