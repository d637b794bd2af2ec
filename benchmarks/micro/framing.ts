import { deepEqual } from 'node:assert/strict'
import { decodePreamble, encodePreamble } from '../../lib/broker/preamble.js'
import { FrameDecoder, flagPlain, frameMessage } from '../../lib/grpc/message-frames.js'
import { Decoder } from '../../lib/mux/decoder.js'
import { decodeHeader, encodeHeader, frameFlags, frameTypes } from '../../lib/mux/frame.js'
import type { Micro } from './list.js'

const header = Buffer.from('000000010000000700010000', 'hex')
const preamble = Buffer.from('0100000102', 'hex')

const small = Buffer.alloc(64, 1)
const large = Buffer.alloc(64 * 1024, 1)
const smallFrame = frameMessage(flagPlain, small)
const largeFrame = frameMessage(flagPlain, large)
/** As the chunks that a stream gives: 16 KiB each. */
const pieces = Array.from({ length: Math.ceil(largeFrame.length / 16_384) }, (_, index) =>
  largeFrame.subarray(index * 16_384, (index + 1) * 16_384)
)

const frames = Buffer.concat(
  Array.from({ length: 100 }, (_, index) => [
    encodeHeader(frameTypes.data, 0, 2 * index + 1, 64),
    small
  ]).flat()
)

/** What puts bytes into frames, and takes them out. */
export const framing: readonly Micro[] = [
  {
    name: 'yamux-encode',
    text: 'a yamux header to bytes',
    run: () => encodeHeader(frameTypes.data, frameFlags.syn, 7, 65_536),
    check: (bytes) => deepEqual(bytes, header)
  },
  {
    name: 'yamux-decode',
    text: 'a yamux header from bytes',
    run: () => decodeHeader(header),
    check: (value) => deepEqual(value, { version: 0, type: 0, flags: 1, streamId: 7, length: 65_536 })
  },
  {
    name: 'yamux-frames-64B',
    text: 'a chunk with 100 data frames of 64 bytes to their bodies',
    run: () => bodies(frames),
    check: (count) => deepEqual(count, 100)
  },
  {
    name: 'preamble-encode',
    text: "a substream's preamble to bytes",
    run: () => encodePreamble('h2', 258),
    check: (bytes) => deepEqual(bytes, preamble)
  },
  {
    name: 'preamble-decode',
    text: "a substream's preamble from bytes",
    run: () => decodePreamble(preamble),
    check: (value) => deepEqual(value, { kind: 'h2', id: 258 })
  },
  {
    name: 'message-encode-64B',
    text: 'a gRPC message of 64 bytes with its prefix',
    run: () => frameMessage(flagPlain, small),
    check: (bytes) => deepEqual(bytes, Buffer.concat([Buffer.from('0000000040', 'hex'), small]))
  },
  {
    name: 'message-decode-64B',
    text: 'a gRPC message of 64 bytes from one chunk',
    run: () => decode([smallFrame]),
    check: (frame) => deepEqual(frame, { flag: flagPlain, payload: small })
  },
  {
    name: 'message-decode-64KiB',
    text: 'a gRPC message of 64 KiB from chunks of 16 KiB',
    run: () => decode(pieces),
    check: (frame) => deepEqual(frame, { flag: flagPlain, payload: large })
  }
]

function decode(chunks: readonly Buffer[]): unknown {
  const decoder = new FrameDecoder(4 * 1024 * 1024)
  for (const chunk of chunks) decoder.push(chunk)
  return decoder.read()
}

/** How many whole bodies of 64 bytes come out. */
function bodies(chunk: Buffer): number {
  let count = 0
  const decoder = new Decoder({
    onHeader: () => true,
    onBody: (piece, last) => {
      if (last && piece.length === 64) count++
      return true
    }
  })
  decoder.push(chunk)
  return count
}
