import { Client, credentials, type MethodDefinition } from '@grpc/grpc-js'
import {
  createServer,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type ServerOptions
} from 'node:http2'
import type { Test } from 'tap'
import { createChannel, type ChannelOptions, type StreamChannel } from '../../lib/grpc/channel.js'
import { interopPair, type PairEnd } from './interop-pair.js'

export type OnStream = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, raw: string[]) => void

export interface RawPeer {
  readonly channel: StreamChannel
  readonly client: Client
  /** The channel's end of the byte stream, and the server's. */
  readonly near: PairEnd
  readonly far: PairEnd
  /** The server's HTTP/2 session, once the connection is made. */
  readonly session: Promise<ServerHttp2Session>
}

/** A channel whose other end is node:http2 without gRPC: `onStream` answers each call as it likes. */
export function rawPeer(
  t: Test,
  onStream: OnStream,
  options: ChannelOptions = {},
  serverOptions: ServerOptions = {}
): RawPeer {
  const server = createServer(serverOptions)
  const [near, far] = interopPair()
  far.on('error', () => {})
  const session = new Promise<ServerHttp2Session>((resolve) => server.once('session', resolve))
  server.on('sessionError', () => {})
  // The typings lack the fourth argument, the headers as they came.
  server.on('stream', ((
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    _flags: number,
    raw: string[]
  ) => {
    stream.on('error', () => {})
    onStream(stream, headers, raw)
  }) as () => void)
  const channel = createChannel(() => {
    server.emit('connection', far)
    return near
  }, options)
  t.teardown(async () => {
    channel.abort(new Error('test is over'))
    far.destroy()
    await channel.closed
  })
  return { channel, client: clientOf(channel), near, far, session }
}

/** An untyped grpc-js client on `channel`. */
export function clientOf(channel: StreamChannel): Client {
  return new Client('unused', credentials.createInsecure(), { channelOverride: channel })
}

/** A method whose messages are Buffers as they are. */
export function bytesMethod(path = '/test.Raw/Call'): MethodDefinition<Buffer, Buffer> {
  const same = (bytes: Buffer) => bytes
  return {
    path,
    requestStream: false,
    responseStream: false,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same
  }
}

export interface Answer {
  readonly headers?: OutgoingHttpHeaders
  /** DATA, a write each. */
  readonly data?: readonly Buffer[]
  /** Trailers; without them the response ends with its data. */
  readonly trailers?: OutgoingHttpHeaders
}

/** Answers with headers, data and trailers exactly as given, beside `:status` 200 and a gRPC content type. */
export function answer(stream: ServerHttp2Stream, { headers = {}, data = [], trailers }: Answer): void {
  stream.respond(
    { ':status': 200, 'content-type': 'application/grpc', ...headers },
    { waitForTrailers: trailers !== undefined }
  )
  if (trailers !== undefined) stream.on('wantTrailers', () => stream.sendTrailers(trailers))
  for (const chunk of data) stream.write(chunk)
  stream.end()
}

/** Answers with one HEADERS that ends the stream. */
export function trailersOnly(stream: ServerHttp2Stream, headers: OutgoingHttpHeaders): void {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc', ...headers }, { endStream: true })
}
