/**
 * The first bytes of every substream, both ways; `docs/protocol.md` specifies them.
 *
 *     dialler  -> [kind: 1 byte][broker ID: uint32, big-endian] then the connection's own bytes
 *     acceptor -> [answer: 1 byte]                              then the connection's own bytes
 *
 * The dialler does not wait for the answer: the preamble and its first bytes leave together.
 */

/** What a substream carries: a whole HTTP/2 connection (wire `h2`), or one call (wire `direct`). */
export const kinds = { h2: 1, direct: 2 } as const
export type Kind = keyof typeof kinds

export const preambleBytes = 5
export const maxId = 0xffff_ffff

/** Answers to a preamble. Everything but `accepted` ends the substream. */
export const answers = { accepted: 0, timeout: 1, busy: 2, closed: 3, unsupported: 4, ended: 5 } as const
export type Answer = keyof typeof answers
export type Refusal = Exclude<Answer, 'accepted'>

export interface Preamble {
  /** Undefined when the kind is not one that this version knows. */
  readonly kind: Kind | undefined
  readonly id: number
}

/** Makes a preamble: 5 bytes. */
export function encodePreamble(kind: Kind, id: number): Buffer {
  const bytes = Buffer.allocUnsafe(preambleBytes)
  writePreamble(bytes, kind, id)
  return bytes
}

/** Writes a preamble over the first 5 bytes. */
export function writePreamble(bytes: Buffer, kind: Kind, id: number): void {
  bytes[0] = kinds[kind]
  bytes.writeUInt32BE(id, 1)
}

/** Reads the first 5 bytes of a substream. */
export function decodePreamble(bytes: Uint8Array): Preamble {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const kind = view[0] === kinds.direct ? 'direct' : view[0] === kinds.h2 ? 'h2' : undefined
  return { kind, id: view.readUInt32BE(1) }
}

const answerNames = Object.keys(answers) as Answer[]

/** The meaning of an answer byte; undefined when it is none of ours. */
export function decodeAnswer(byte: number): Answer | undefined {
  return answerNames.find((name) => answers[name] === byte)
}
