import { Metadata, status as Status, type ChannelInterface, type InterceptingListener } from '@grpc/grpc-js'
import t from 'tap'
import { callUnary } from '../../lib/grpc/unary-call.js'

/** A call on a channel that answers with these messages and OK, unless it is cancelled. */
function call(messages: readonly string[], method: object = {}): Promise<unknown> {
  let cancelled: { code: number; details: string; metadata: Metadata } | undefined
  let listener: InterceptingListener | undefined
  const made = {
    start: (_metadata: Metadata, given: InterceptingListener) => void (listener = given),
    startRead: () => {},
    sendMessageWithContext: () => {},
    cancelWithStatus: (code: number, details: string) => {
      cancelled ??= { code, details, metadata: new Metadata() }
    },
    halfClose: () => {
      for (const message of messages) listener?.onReceiveMessage(Buffer.from(message))
      listener?.onReceiveStatus(cancelled ?? { code: Status.OK, details: '', metadata: new Metadata() })
    }
  }
  const channel = { createCall: () => made } as unknown as ChannelInterface
  const plain = { path: '/a.B/C', requestSerialize: String, responseDeserialize: String, ...method }
  const none = { signal: undefined, onHeader: undefined, onTrailer: undefined }
  const request = {
    method: plain as never,
    request: 'x',
    metadata: new Metadata(),
    deadline: Infinity,
    ...none
  }
  return callUnary(channel, request)
}

const fails = (): never => {
  throw new Error('no good')
}

t.test('one message is the answer; what else comes is an error in the words of grpc-js', async (t) => {
  t.equal(await call(['answer']), 'answer')
  const faults = [
    [call([]), Status.UNIMPLEMENTED, /No message received/],
    [call(['a', 'b']), Status.UNIMPLEMENTED, /Too many responses received/],
    [call(['a'], { responseDeserialize: fails }), Status.INTERNAL, /parsing error: no good/],
    [call([], { requestSerialize: fails }), Status.INTERNAL, /serialization failure: no good/]
  ] as const
  for (const [outcome, status, message] of faults) {
    const error = (await outcome.catch((reason: unknown) => reason)) as Error
    t.match(error, { code: 'ERR_CALL_FAILED', status, message })
  }
})
