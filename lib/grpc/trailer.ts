import type { StatusObject } from '@grpc/grpc-js'
import { Metadata, Status } from './grpc-js.js'
import { headerListBytes, maxHeaderListBytes, reservedHeaderBytes } from './header-list.js'
import { toMetadata, type MetadataInit } from './service.js'
import { callError, forwardable, toServiceError } from './status.js'

/** The status for what a handler threw, with its own trailer beside what the error brings. */
export function failure(error: unknown, trailer: Metadata | undefined): StatusObject {
  const status = toServiceError(error)
  if (trailer !== undefined) status.metadata.merge(forwardable(trailer))
  // The status itself matters more than what comes with it.
  const room = maxHeaderListBytes - reservedHeaderBytes - encodeURIComponent(status.details).length
  return headerListBytes(status.metadata) > room ? { ...status, metadata: new Metadata() } : status
}

/**
 * A handler's own metadata as they may leave: gRPC's and the connection's own names are left out.
 * @throws `ERR_CONFIG_INVALID` for keys that cannot be sent; a call error RESOURCE_EXHAUSTED when they are too large
 */
export function sendable(metadata: MetadataInit): Metadata {
  const sent = forwardable(toMetadata(metadata))
  const bytes = headerListBytes(sent)
  if (bytes > maxHeaderListBytes - reservedHeaderBytes) {
    throw callError(Status.RESOURCE_EXHAUSTED, `metadata of ${bytes} bytes are more than a client takes`)
  }
  return sent
}
