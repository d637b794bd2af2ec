import { once } from 'node:events'
import {
  type ChannelOptions,
  Client,
  type Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type UntypedServiceImplementation,
  credentials,
  type sendUnaryData
} from '@grpc/grpc-js'
import { serviceDefinition } from '../../lib/grpc/service.js'
import { type Link, chunk, decodeNumber, decodeUsage, encodeNumbers } from '../link.js'
import { Bench, type createUnaryMethods } from './service.js'

/** The service as grpc-js wants it, with nothing of this project in its calls. */
export const benchDefinition = serviceDefinition(Bench)

type Method = keyof typeof Bench.methods

/** A client of grpc-js on a unix socket. */
export function connect(path: string, options: ChannelOptions): Client {
  return new Client(`unix:${path}`, credentials.createInsecure(), options)
}

/** A server of grpc-js on a unix socket. */
export async function listen(path: string, server: Server): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error)
    )
  })
}

export function callUnary(client: Client, method: Method, request: Uint8Array): Promise<Buffer> {
  const { path, requestSerialize, responseDeserialize } = benchDefinition[method]!
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, (error, answer) =>
      error === null ? resolve(answer as Buffer) : reject(error)
    )
  })
}

/** All but dialling and ending, with a client of grpc-js. */
export function callPlugin(client: Client): Required<Pick<Link, 'call' | 'down' | 'up' | 'both' | 'usage'>> {
  const { down, up, both } = benchDefinition
  return {
    call: (payload) => callUnary(client, 'echo', payload),
    down: (count, onChunk) =>
      new Promise((resolve, reject) => {
        client
          .makeServerStreamRequest(
            down!.path,
            down!.requestSerialize,
            down!.responseDeserialize,
            encodeNumbers(count)
          )
          .on('data', onChunk)
          .on('end', resolve)
          .on('error', reject)
      }),
    up: (count) =>
      new Promise((resolve, reject) => {
        const call = client.makeClientStreamRequest(
          up!.path,
          up!.requestSerialize,
          up!.responseDeserialize,
          (error, answer) => {
            if (error !== null) return reject(error)
            const bytes = answer as Buffer
            resolve({ count: decodeNumber(bytes), bytes: decodeNumber(bytes, 1) })
          }
        )
        sendChunks(call, count).catch(reject)
      }),
    both: (count, onChunk) =>
      new Promise((resolve, reject) => {
        const call = client
          .makeBidiStreamRequest(both!.path, both!.requestSerialize, both!.responseDeserialize)
          .on('data', onChunk)
          .on('end', resolve)
          .on('error', reject)
        sendChunks(call, count).catch(reject)
      }),
    usage: async () => decodeUsage(await callUnary(client, 'usage', Buffer.alloc(0)))
  }
}

/** The handlers of grpc-js, for unary methods that return or promise their answer. */
export function handlers(
  unary: Partial<ReturnType<typeof createUnaryMethods>>
): UntypedServiceImplementation {
  const answered = Object.entries(unary).map(([name, answer]) => [
    name,
    (call: ServerUnaryCall<Buffer, Uint8Array>, callback: sendUnaryData<Uint8Array>) => {
      const answering = answer(call.request)
      if (answering instanceof Promise) void settle(answering, callback)
      else callback(null, answering)
    }
  ])
  return {
    ...(Object.fromEntries(answered) as UntypedServiceImplementation),
    down(call: ServerWritableStream<Buffer, Buffer>) {
      sendChunks(call, decodeNumber(call.request)).catch((error: Error) => call.destroy(error))
    },
    up(call: ServerReadableStream<Buffer, Buffer>, callback: sendUnaryData<Buffer>) {
      let count = 0
      let length = 0
      call.on('data', (bytes: Buffer) => {
        count += 1
        length += bytes.length
      })
      call.on('end', () => callback(null, encodeNumbers(count, length)))
    },
    both(call: ServerDuplexStream<Buffer, Buffer>) {
      call.on('data', (bytes: Buffer) => {
        if (call.write(bytes)) return
        call.pause()
        call.once('drain', () => call.resume())
      })
      call.on('end', () => call.end())
    }
  }
}

async function settle(answering: Promise<Uint8Array>, callback: sendUnaryData<Uint8Array>): Promise<void> {
  try {
    callback(null, await answering)
  } catch (error) {
    callback(error as Error)
  }
}

/** What can be written to at both ends of a call. */
type Writing = NodeJS.EventEmitter & { write(bytes: Buffer): boolean; end(): unknown }

async function sendChunks(call: Writing, count: number): Promise<void> {
  for (let index = 0; index < count; index++) {
    if (!call.write(chunk(index))) await once(call, 'drain')
  }
  call.end()
}
