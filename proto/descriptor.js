/**
 * What server reflection tells of a .proto file: a `google.protobuf.FileDescriptorProto`, as protoc would write it.
 * protobufjs's own `toDescriptor` makes one for each package instead of each file, leaves out the imports, and
 * shortens names.
 *
 * Left out are comments, reserved names and numbers, JSON names that follow from the name, and the file's options.
 */
import { readFileSync } from 'node:fs'
import protobuf from 'protobufjs'
import descriptor from 'protobufjs/ext/descriptor.js'

/** The descriptors, serialised, of a file and then of all files it imports. Paths are from the working directory. */
export function fileDescriptors(protoPath) {
  const root = new protobuf.Root()
  root.loadSync(protoPath, { keepCase: true })
  root.resolveAll()
  return root.files.map((path) => {
    const message = descriptor.FileDescriptorProto.fromObject(fileOf(root, path))
    return Buffer.from(descriptor.FileDescriptorProto.encode(message).finish())
  })
}

function fileOf(root, path) {
  const { name, imports, names } = protobuf.common.get(path) ? bundledFile(path) : parsedFile(path)
  const objects = names.map((own) => root.lookup(`.${name}.${own}`))
  const ofKind = (kind) => objects.filter((object) => object instanceof kind)
  return {
    name: path,
    package: name,
    dependency: imports,
    messageType: ofKind(protobuf.Type).map(messageOf),
    enumType: ofKind(protobuf.Enum).map(enumOf),
    service: ofKind(protobuf.Service).map(serviceOf),
    syntax: 'proto3'
  }
}

function parsedFile(path) {
  const source = readFileSync(path, 'utf8')
  if (!/^\s*syntax\s*=\s*["']proto3["']/m.test(source)) throw new Error(`${path} is not proto3: begin it with syntax = "proto3";`)
  const { package: name, imports, root } = protobuf.parse(source, new protobuf.Root())
  return { name, imports: imports ?? [], names: root.lookup(name).nestedArray.map((object) => object.name) }
}

/** A file that comes with protobufjs: all of them are of one package, and import nothing. */
function bundledFile(path) {
  const { nested } = protobuf.common.get(path).nested.google.nested.protobuf
  return { name: 'google.protobuf', imports: [], names: Object.keys(nested) }
}

function messageOf(type) {
  const nested = (kind) => type.nestedArray.filter((object) => object instanceof kind)
  // protoc has the oneofs that stand for `optional` last.
  const oneofs = type.oneofsArray.toSorted((a, b) => Number(a.isProto3Optional) - Number(b.isProto3Optional))
  return {
    name: type.name,
    field: type.fieldsArray.map((field) => ({ ...fieldOf(field), ...placeIn(oneofs, field) })),
    nestedType: [...nested(protobuf.Type).map(messageOf), ...type.fieldsArray.filter(({ map }) => map).map(mapEntryOf)],
    enumType: nested(protobuf.Enum).map(enumOf),
    oneofDecl: oneofs.map(({ name }) => ({ name }))
  }
}

function placeIn(oneofs, { partOf }) {
  if (partOf === null) return {}
  const place = { oneofIndex: oneofs.indexOf(partOf) }
  return partOf.isProto3Optional ? { ...place, proto3Optional: true } : place
}

function fieldOf(field) {
  const entry = { type: 'TYPE_MESSAGE', typeName: `${field.parent.fullName}.${mapEntryName(field)}` }
  return {
    name: field.name,
    number: field.id,
    label: field.repeated || field.map ? 'LABEL_REPEATED' : 'LABEL_OPTIONAL',
    ...optionsOf(field),
    ...(field.map ? entry : typeOf(field.type, field.resolvedType))
  }
}

function typeOf(type, resolvedType) {
  if (resolvedType === null) return { type: `TYPE_${type.toUpperCase()}` }
  return {
    type: resolvedType instanceof protobuf.Enum ? 'TYPE_ENUM' : 'TYPE_MESSAGE',
    typeName: resolvedType.fullName
  }
}

/** A map is a repeated message with a key and a value (Protocol Buffers language guide, maps). */
function mapEntryOf(field) {
  const label = 'LABEL_OPTIONAL'
  return {
    name: mapEntryName(field),
    field: [
      { name: 'key', number: 1, label, ...typeOf(field.keyType, null) },
      { name: 'value', number: 2, label, ...typeOf(field.type, field.resolvedType) }
    ],
    options: { mapEntry: true }
  }
}

function mapEntryName({ name }) {
  return `${protobuf.util.ucFirst(name.replace(/_+(.?)/g, (_, letter) => letter.toUpperCase()))}Entry`
}

function enumOf({ name, values, options }) {
  const allowAlias = options?.allow_alias === true ? { options: { allowAlias: true } } : {}
  return { name, value: Object.entries(values).map(([name, number]) => ({ name, number })), ...allowAlias }
}

function serviceOf(service) {
  return {
    name: service.name,
    method: service.methodsArray.map((method) => ({
      name: method.name,
      inputType: method.resolvedRequestType.fullName,
      outputType: method.resolvedResponseType.fullName,
      ...(method.requestStream ? { clientStreaming: true } : {}),
      ...(method.responseStream ? { serverStreaming: true } : {})
    }))
  }
}

/** An option may change what is on the wire, so none is left out in silence. */
function optionsOf(field) {
  const { proto3_optional: _, json_name: jsonName, ...options } = field.options ?? {}
  const unknown = Object.keys(options).filter((name) => name !== 'deprecated' && name !== 'packed')
  if (unknown.length > 0) throw new Error(`${field.fullName}: the option ${unknown.join(', ')} is not supported`)
  return {
    ...(jsonName === undefined ? {} : { jsonName }),
    ...(Object.keys(options).length === 0 ? {} : { options })
  }
}
