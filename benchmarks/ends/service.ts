import type { Client, MessageCodec, ServiceImplementation } from 'muxplug'
import { type Link, chunk, decodeNumber, decodeUsage, encodeNumbers, encodeUsage, ownUsage } from '../link.js'

/** Messages are bytes as they are: what is compared is the way they go, not how they are encoded. */
const bytes: MessageCodec<Uint8Array, Buffer> = {
  encode: (message) => ({ finish: () => message }),
  decode: (message) => message as Buffer
}

function method<Req extends boolean, Res extends boolean>(
  name: string,
  requestStream: Req,
  responseStream: Res
) {
  return {
    path: `/bench.Bench/${name}`,
    requestStream,
    responseStream,
    request: bytes,
    response: bytes
  } as const
}

/** What plugins of all rows with gRPC serve, and hosts for being called back. */
export const Bench = {
  typeName: 'bench.Bench',
  methods: {
    /** Answers with the same bytes. */
    echo: method('Echo', false, false),
    /** Number of chunks; answers with so many. */
    down: method('Down', false, true),
    /** Answers with how many chunks and how many bytes have come. */
    up: method('Up', true, false),
    /** Sends each chunk back. */
    both: method('Both', true, true),
    /** A broker ID and a payload: calls `Echo` there, on one connection for all such calls with this ID. */
    callBack: method('CallBack', false, false),
    /** The same on a connection that is made for the call and closed after it. */
    visit: method('Visit', false, false),
    /** The process's `Usage` in JSON. */
    usage: method('Usage', false, false)
  }
}

/** A connection of the plugin to a broker ID of the host. */
export interface Visit {
  echo(payload: Uint8Array): Promise<Uint8Array>
  close(): void | Promise<void>
}

/** The unary methods, the same for all plugins with gRPC but for how they dial. */
export function createUnaryMethods(dial: (id: number) => Visit | Promise<Visit>) {
  const kept = new Map<number, Visit | Promise<Visit>>()
  return {
    echo: (payload: Uint8Array) => payload,
    async callBack(request: Uint8Array): Promise<Uint8Array> {
      const id = decodeNumber(request)
      let visit = kept.get(id)
      if (visit === undefined) {
        visit = dial(id)
        kept.set(id, visit)
      }
      return (await visit).echo(request.subarray(4))
    },
    async visit(request: Uint8Array): Promise<Uint8Array> {
      const visit = await dial(decodeNumber(request))
      const answer = await visit.echo(request.subarray(4))
      await visit.close()
      return answer
    },
    usage: () => encodeUsage(ownUsage())
  }
}

/** The streaming methods as this project's handlers. */
export const streamMethods: Pick<ServiceImplementation<typeof Bench>, 'down' | 'up' | 'both'> = {
  async *down(request) {
    const count = decodeNumber(request)
    for (let index = 0; index < count; index++) yield chunk(index)
  },
  async up(requests) {
    let count = 0
    let length = 0
    for await (const request of requests) {
      count += 1
      length += request.length
    }
    return encodeNumbers(count, length)
  },
  both: (requests) => requests
}

/** All but dialling and ending, with a client of this project. */
export function callPlugin(
  client: Client<typeof Bench>
): Required<Pick<Link, 'call' | 'down' | 'up' | 'both' | 'usage'>> {
  return {
    call: (payload) => client.echo(payload),
    async down(count, onChunk) {
      for await (const bytes of client.down(encodeNumbers(count))) onChunk(bytes)
    },
    async up(count) {
      const answer = await client.up(chunksOf(count))
      return { count: decodeNumber(answer), bytes: decodeNumber(answer, 1) }
    },
    async both(count, onChunk) {
      for await (const bytes of client.both(chunksOf(count))) onChunk(bytes)
    },
    usage: async () => decodeUsage(await client.usage(Buffer.alloc(0)))
  }
}

function* chunksOf(count: number): Iterable<Buffer> {
  for (let index = 0; index < count; index++) yield chunk(index)
}
