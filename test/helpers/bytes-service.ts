import type { MessageCodec } from '../../lib/grpc/service.js'

/** Messages that are bytes as they are. */
export const bytes: MessageCodec<Uint8Array, Buffer> = {
  encode: (message) => ({ finish: () => message }),
  decode: (message) => message as Buffer
}

/** A method on them. */
export function bytesMethod<Req extends boolean, Res extends boolean>(
  path: string,
  requestStream: Req,
  responseStream: Res
) {
  return { path, requestStream, responseStream, request: bytes, response: bytes } as const
}
