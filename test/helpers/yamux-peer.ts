import { EventEmitter, once } from 'node:events'
import type { Duplex } from 'node:stream'

export const data = 0
export const update = 1
export const ping = 2
export const goAway = 3

export const syn = 1
export const ack = 2
export const fin = 4
export const rst = 8

/**
 * A yamux frame in bytes, written without the code under test. `body` gives the length unless one is named.
 */
export function frame(
  type: number,
  flags: number,
  id: number,
  body: number | Uint8Array = 0,
  length = typeof body === 'number' ? body : body.length
): Buffer {
  const header = new DataView(new ArrayBuffer(12))
  header.setUint8(1, type)
  header.setUint16(2, flags)
  header.setUint32(4, id)
  header.setUint32(8, length)
  return Buffer.concat([new Uint8Array(header.buffer), typeof body === 'number' ? Buffer.alloc(0) : body])
}

/** Tells frames apart in words: `update ack 2 0`, `data fin 3 "text"`. */
export function describe(bytes: Buffer): string[] {
  const words: string[] = []
  let offset = 0
  while (offset + 12 <= bytes.length) {
    const type = bytes.readUInt8(offset + 1)
    const flags = bytes.readUInt16BE(offset + 2)
    const length = bytes.readUInt32BE(offset + 8)
    const body = type === data ? bytes.subarray(offset + 12, offset + 12 + length) : undefined
    words.push(
      [
        ['data', 'update', 'ping', 'goAway'][type] ?? `type${type}`,
        ...['syn', 'ack', 'fin', 'rst'].filter((_, bit) => (flags & (1 << bit)) !== 0),
        bytes.readUInt32BE(offset + 4),
        body === undefined ? length : body.length > 32 ? body.length : `"${body.toString()}"`
      ].join(' ')
    )
    offset += 12 + (body?.length ?? 0)
  }
  if (offset < bytes.length) words.push(`and ${bytes.length - offset} bytes`)
  return words
}

/** The other end of a session, driven frame by frame. */
export interface YamuxPeer {
  readonly stream: Duplex
  send(...frames: Buffer[]): void
  /**
   * All frames up to the answer to a ping sent now, which is left out: what was sent before has been dealt
   * with.
   */
  settle(): Promise<string[]>
  /** All frames up to the end of the stream. */
  end(): Promise<string[]>
  /** Waits until a frame has come that reads as `words`; gives those before it, too. */
  until(words: string | RegExp): Promise<string[]>
}

export function createYamuxPeer(stream: Duplex): YamuxPeer {
  let received: string[] = []
  let bytes = Buffer.alloc(0)
  let over = false
  let pings = 1000
  const changes = new EventEmitter()
  stream.on('error', () => {})
  stream.on('data', (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk])
    for (;;) {
      if (bytes.length < 12) break
      const size = 12 + (bytes.readUInt8(1) === data ? bytes.readUInt32BE(8) : 0)
      if (bytes.length < size) break
      received.push(...describe(bytes.subarray(0, size)))
      bytes = bytes.subarray(size)
    }
    changes.emit('change')
  })
  const finish = (): void => {
    over = true
    changes.emit('change')
  }
  stream.once('end', finish)
  stream.once('close', finish)

  const until = async (words: string | RegExp): Promise<string[]> => {
    for (;;) {
      const index = received.findIndex((text) =>
        typeof words === 'string' ? text === words : words.test(text)
      )
      if (index >= 0) return received.splice(0, index + 1)
      if (over) throw new Error(`the session ended before ${String(words)}: ${received.join('; ')}`)
      await once(changes, 'change')
    }
  }

  return {
    stream,
    send: (...frames) => void stream.write(Buffer.concat(frames)),
    until,
    settle: async () => {
      // An engine may send what it owes at the end of a tick, behind an answer that it gives in the tick.
      await new Promise(setImmediate)
      stream.write(frame(ping, syn, 0, pings))
      return (await until(`ping ack 0 ${pings++}`)).slice(0, -1)
    },
    end: async () => {
      for (;;) {
        if (over) break
        await once(changes, 'change')
      }
      const all = received
      received = []
      return all
    }
  }
}
