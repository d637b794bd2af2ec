import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js'
import { PluginError } from '../errors.js'
import { Metadata } from './grpc-js.js'
import { headerProblem } from './header-list.js'

/**
 * Reads and writes one message type, as protobufjs's static code does: `encode` takes a plain object of the message's
 * properties, `decode` gives a message. `In` is what callers pass, `Out` what they receive.
 */
export interface MessageCodec<In, Out> {
  encode(message: In): { finish(): Uint8Array }
  decode(bytes: Uint8Array): Out
}

/** One method of a service: its full gRPC path, which sides stream, and the two message types. */
export interface MethodDescriptor<
  ReqIn = never,
  ReqOut = unknown,
  ResIn = never,
  ResOut = unknown,
  ReqStream extends boolean = boolean,
  ResStream extends boolean = boolean
> {
  /** `/package.Service/Method`, case-sensitive (gRPC over HTTP/2, Path). */
  readonly path: string
  readonly requestStream: ReqStream
  readonly responseStream: ResStream
  readonly request: MessageCodec<ReqIn, ReqOut>
  readonly response: MessageCodec<ResIn, ResOut>
}

/**
 * A gRPC service as the generated code under `proto/` describes it: the name, and each method under its camel-case
 * name. `npm run proto` writes these beside protobufjs's static messages.
 */
export interface ServiceDescriptor {
  /** `package.Service` */
  readonly typeName: string
  readonly methods: Readonly<Record<string, MethodDescriptor>>
  /**
   * The .proto file of the service and all that it imports, each a serialised `google.protobuf.FileDescriptorProto`:
   * what server reflection tells. Without it the service is listed, and nothing else of it is told.
   */
  readonly fileDescriptors?: () => readonly Uint8Array[]
}

/** What a caller passes as the request of method `M`. */
export type RequestIn<M> = M extends { request: { encode(message: infer T): unknown } } ? T : never
/** What a handler receives as the request of method `M`. */
export type RequestOut<M> = M extends { request: { decode(bytes: Uint8Array): infer T } } ? T : never
/** What a handler returns as the response of method `M`. */
export type ResponseIn<M> = M extends { response: { encode(message: infer T): unknown } } ? T : never
/** What a caller receives as the response of method `M`. */
export type ResponseOut<M> = M extends { response: { decode(bytes: Uint8Array): infer T } } ? T : never

/**
 * The form that grpc-js's own `Server` and `makeClientConstructor` take. Keys are the camel-case names. Each method has
 * the file descriptors where `@grpc/proto-loader` has them, `requestType.fileDescriptorProtos`.
 */
export function serviceDefinition(service: ServiceDescriptor): ServiceDefinition {
  const requestType = {
    get fileDescriptorProtos() {
      return service.fileDescriptors?.() ?? []
    }
  }
  const methods = Object.entries(service.methods)
  return Object.fromEntries(
    methods.map(([name, method]) => [name, { ...methodDefinition(name, method), requestType }])
  )
}

/** The untyped half of a method that grpc-js wants: its path, and messages to bytes and back. */
export function methodDefinition(name: string, method: MethodDescriptor): MethodDefinition<unknown, unknown> {
  return {
    path: method.path,
    originalName: name,
    requestStream: method.requestStream,
    responseStream: method.responseStream,
    requestSerialize: serializer(method.request),
    requestDeserialize: (bytes) => method.request.decode(bytes),
    responseSerialize: serializer(method.response),
    responseDeserialize: (bytes) => method.response.decode(bytes)
  }
}

function serializer(codec: MessageCodec<never, unknown>): (message: unknown) => Buffer {
  return (message) => serialize(codec, message)
}

/** A message in bytes. */
export function serialize(codec: MessageCodec<never, unknown>, message: unknown): Buffer {
  const bytes = codec.encode(message as never).finish()
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

type MetadataValue = string | Uint8Array

/**
 * Metadata as grpc-js's `Metadata`, or as a plain object: one value or several for a key. Values are printable ASCII
 * text, or bytes under a key that ends in `-bin`.
 */
export type MetadataInit = Metadata | Readonly<Record<string, MetadataValue | readonly MetadataValue[]>>

/**
 * A new `Metadata` with what `init` holds.
 * @throws `ERR_CONFIG_INVALID` for a key or value that gRPC over HTTP/2 does not allow, and for a key that would end
 * the whole HTTP/2 connection instead of the one call.
 */
export function toMetadata(init: MetadataInit | undefined): Metadata {
  if (init === undefined) return new Metadata()
  const metadata = init instanceof Metadata ? init.clone() : fromRecord(init)
  for (const key of Object.keys(metadata.getMap())) {
    const problem = headerProblem(key, metadata.get(key).length)
    if (problem === undefined) continue
    throw new PluginError('ERR_CONFIG_INVALID', `metadata key "${key}" ${problem}`, {
      hint: 'Use lower-case letters, digits, "_", "-" and "." and avoid the names of connection headers.'
    })
  }
  return metadata
}

function fromRecord(record: Exclude<MetadataInit, Metadata>): Metadata {
  const metadata = new Metadata()
  for (const [key, values] of Object.entries(record)) {
    for (const value of isList(values) ? values : [values]) {
      try {
        metadata.add(key, typeof value === 'string' ? value : Buffer.from(value))
      } catch (cause) {
        const message = `metadata "${key}" cannot be sent: ${cause instanceof Error ? cause.message : String(cause)}`
        throw new PluginError('ERR_CONFIG_INVALID', message, { cause })
      }
    }
  }
  return metadata
}

function isList(values: MetadataValue | readonly MetadataValue[]): values is readonly MetadataValue[] {
  return Array.isArray(values)
}
