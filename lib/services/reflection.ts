import {
  ServerReflection,
  type ServerReflectionRequest,
  type ServerReflectionResponse
} from '#proto/grpc/reflection/v1/reflection.js'
import { ServerReflection as ServerReflectionAlpha } from '#proto/grpc/reflection/v1alpha/reflection.js'
import { Status } from '../grpc/grpc-js.js'
import { type ServiceBinding, implement } from '../grpc/handler.js'
import { callError } from '../grpc/status.js'
import { readCatalog, type Catalog, type ReflectedFile } from './reflection-catalog.js'

/**
 * Server reflection, as `grpc.reflection.v1.ServerReflection` and under its older name `v1alpha`: tools list
 * the services of a server with it, and call them without having the .proto files. Answers are those of
 * grpc-go, which go-plugin's servers use: a name that is not known is an `error_response` with NOT_FOUND, a
 * request of no known kind ends the call with INVALID_ARGUMENT. Extension fields, a thing of proto2, are not
 * told.
 *
 * A service is described where its definition is: those made from a `ServiceDescriptor` by its
 * `fileDescriptors`, those of `@grpc/proto-loader` by their `requestType.fileDescriptorProtos`. Others are
 * only listed.
 *
 * @param bindings all bindings of the server, the ones returned here too. Asked for once, at the first
 * request; nothing is decoded before.
 */
export function reflectionServices(bindings: () => readonly ServiceBinding[]): readonly ServiceBinding[] {
  let catalog: Promise<Catalog> | undefined
  const implementation = {
    async *serverReflectionInfo(
      requests: AsyncIterable<ServerReflectionRequest>
    ): AsyncGenerator<ServerReflectionResponse.Init> {
      const sent = new Set<ReflectedFile>()
      for await (const request of requests) {
        catalog ??= readCatalog(bindings())
        const common = { validHost: request.host, originalRequest: request }
        yield { ...common, ...answer(await catalog, request, sent) }
      }
    }
  }
  const both = [implement(ServerReflection, implementation), implement(ServerReflectionAlpha, implementation)]
  // A tool that keeps its stream open is no call in flight.
  return both.map((binding) => ({ ...binding, background: true }))
}

/**
 * The answer to one request. `sent` are the files that this stream has had; they are sent again only if asked
 * for.
 */
function answer(
  { services, files, owners }: Catalog,
  request: ServerReflectionRequest,
  sent: Set<ReflectedFile>
): ServerReflectionResponse.Init {
  const { listServices, fileByFilename, fileContainingSymbol } = request
  const { allExtensionNumbersOfType, fileContainingExtension } = request
  const describe = (file: ReflectedFile | undefined, what: string): ServerReflectionResponse.Init => {
    if (file === undefined) return notFound(what)
    return { fileDescriptorResponse: { fileDescriptorProto: withImports(files, file, sent) } }
  }
  if (listServices !== null) return { listServicesResponse: { service: services.map((name) => ({ name })) } }
  if (fileByFilename !== null) return describe(files.get(fileByFilename), `file ${quoted(fileByFilename)}`)
  if (fileContainingSymbol !== null) {
    return describe(owners.get(fileContainingSymbol), `symbol ${quoted(fileContainingSymbol)}`)
  }
  if (allExtensionNumbersOfType !== null) {
    if (!owners.has(allExtensionNumbersOfType)) return notFound(`type ${quoted(allExtensionNumbersOfType)}`)
    return { allExtensionNumbersResponse: { baseTypeName: allExtensionNumbersOfType } }
  }
  if (fileContainingExtension !== null) {
    const { extensionNumber, containingType } = fileContainingExtension
    return notFound(`extension ${extensionNumber} of ${quoted(containingType)}`)
  }
  throw callError(Status.INVALID_ARGUMENT, 'the reflection request has no message_request that is known here')
}

function notFound(what: string): ServerReflectionResponse.Init {
  return { errorResponse: { errorCode: Status.NOT_FOUND, errorMessage: `${what} is not known here` } }
}

function quoted(name: string): string {
  return name.length <= 100 ? `"${name}"` : `"${name.slice(0, 100)}..."`
}

/** The file, then all that it imports, directly or not, as far as the stream has not had it. */
function withImports(
  files: ReadonlyMap<string, ReflectedFile>,
  file: ReflectedFile,
  sent: Set<ReflectedFile>
): Uint8Array[] {
  const found = new Set([file])
  // A set also visits what is added meanwhile.
  for (const { imports } of found) {
    for (const name of imports) {
      const imported = files.get(name)
      if (imported !== undefined) found.add(imported)
    }
  }
  const due = [...found].filter((it) => it === file || !sent.has(it))
  for (const it of due) sent.add(it)
  return due.map(({ bytes }) => bytes)
}
