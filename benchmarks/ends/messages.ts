import { type Link, chunk, decodeNumber, decodeUsage, encodeNumbers, encodeUsage, ownUsage } from '../link.js'

const operations = ['echo', 'down', 'up', 'both', 'callBack', 'usage'] as const
type Operation = (typeof operations)[number]

/** One step of a call. A call ends with an `answer`; streams have `chunk`s before, and `up` and `both` an `end` of them. */
const kinds = ['request', 'chunk', 'end', 'answer'] as const
type Kind = (typeof kinds)[number]

export interface Message {
  /** Chosen by the side that calls. */
  readonly call: number
  /** Index in `kinds`. */
  readonly kind: number
  /** Index in `operations`, in a request. */
  readonly operation: number
  readonly body: Uint8Array
}

/** Sends a message; a promise when the way is full, settled when it is not any more. */
export type Send = (message: Message) => Promise<void> | undefined

/**
 * As little as can be between the driver and a way for messages: calls by number, with no limits, time-outs or errors.
 * Both ends have one. What comes from the other side goes to `receive`.
 */
export function createPeer(send: Send): {
  readonly link: Required<Pick<Link, 'call' | 'down' | 'up' | 'both' | 'callback' | 'usage'>>
  readonly receive: (message: Message) => void
} {
  interface Call {
    readonly onChunk: ((bytes: Uint8Array) => void) | undefined
    readonly resolve: (answer: Buffer) => void
  }
  const empty = Buffer.alloc(0)
  const calls = new Map<number, Call>()
  /** Calls of the other side that still receive chunks. */
  const answering = new Map<number, (kind: Kind, body: Uint8Array) => void>()
  let lastCall = 0

  const write = (call: number, kind: Kind, body: Uint8Array, operation: Operation = 'echo') =>
    send({ call, kind: kinds.indexOf(kind), operation: operations.indexOf(operation), body })

  function request(
    operation: Operation,
    body: Uint8Array,
    onChunk?: (bytes: Uint8Array) => void
  ): { readonly call: number; readonly answer: Promise<Buffer> } {
    lastCall += 1
    const call = lastCall
    const answer = new Promise<Buffer>((resolve) => calls.set(call, { onChunk, resolve }))
    void write(call, 'request', body, operation)
    return { call, answer }
  }

  async function sendChunks(call: number, count: number): Promise<void> {
    for (let index = 0; index < count; index++) await write(call, 'chunk', chunk(index))
  }

  async function upload(call: number, count: number): Promise<void> {
    await sendChunks(call, count)
    void write(call, 'end', empty)
  }

  function answerCall(call: number, operation: Operation, body: Uint8Array): void {
    const answer = (bytes: Uint8Array): void => void write(call, 'answer', bytes)
    switch (operation) {
      case 'echo':
        return answer(body)
      case 'usage':
        return answer(encodeUsage(ownUsage()))
      case 'callBack':
        void request('echo', body).answer.then(answer)
        return
      case 'down':
        void sendChunks(call, decodeNumber(body)).then(() => answer(empty))
        return
      case 'up':
      case 'both': {
        let count = 0
        let length = 0
        answering.set(call, (kind, bytes) => {
          if (kind === 'end') {
            answering.delete(call)
            return answer(encodeNumbers(count, length))
          }
          count += 1
          length += bytes.length
          if (operation === 'both') void write(call, 'chunk', bytes)
        })
      }
    }
  }

  return {
    link: {
      call: (payload) => request('echo', payload).answer,
      async down(count, onChunk) {
        await request('down', encodeNumbers(count), onChunk).answer
      },
      async up(count) {
        const { call, answer } = request('up', empty)
        await upload(call, count)
        const received = await answer
        return { count: decodeNumber(received), bytes: decodeNumber(received, 1) }
      },
      async both(count, onChunk) {
        const { call, answer } = request('both', empty, onChunk)
        await Promise.all([upload(call, count), answer])
      },
      callback: (payload) => request('callBack', payload).answer,
      usage: async () => decodeUsage(await request('usage', empty).answer)
    },
    receive({ call, kind: kindIndex, operation, body }) {
      const kind = kinds[kindIndex]!
      if (kind === 'request') return answerCall(call, operations[operation]!, body)
      if (kind === 'end') return answering.get(call)!(kind, body)
      const own = calls.get(call)
      if (kind === 'answer') {
        calls.delete(call)
        return own!.resolve(Buffer.from(body.buffer, body.byteOffset, body.byteLength))
      }
      if (own?.onChunk === undefined) answering.get(call)!(kind, body)
      else own.onChunk(body)
    }
  }
}
