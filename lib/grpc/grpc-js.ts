import { createRequire } from 'node:module'
import type * as grpcJs from '@grpc/grpc-js'

/**
 * The part of grpc-js that every call needs, and that loads in a moment. The whole is loaded by {@link loadGrpcJs}, where
 * something of it is used: the wire `h2`, and grpc-js's own handlers and interceptors. A test holds these paths, which are
 * not of its public API, against the package's exact version.
 */
export { Metadata } from '@grpc/grpc-js/build/src/metadata.js'
export { Status, Propagate } from '@grpc/grpc-js/build/src/constants.js'
export { ConnectivityState } from '@grpc/grpc-js/build/src/connectivity-state.js'

type GrpcJs = typeof grpcJs

const require = createRequire(import.meta.url)

/** grpc-js, all of it: some 50 ms the first time. */
export function loadGrpcJs(): GrpcJs {
  return require('@grpc/grpc-js') as GrpcJs
}
