/** Bytes of the wire `direct`, written and read without the code under test (docs/wire-direct.md). */

export const flags = { plain: 0, compressed: 1, status: 0x80, leading: 0xc0 } as const

/** A frame: flag byte, length, payload. `length` may lie. */
export function frame(flag: number, payload: Uint8Array | string = '', length?: number): Buffer {
  const body = Buffer.from(payload as string)
  const prefix = Buffer.alloc(5)
  prefix.writeUInt8(flag)
  prefix.writeUInt32BE(length ?? body.length, 1)
  return Buffer.concat([prefix, body])
}

export function preamble(id = 7, kind = 2): Buffer {
  const bytes = Buffer.alloc(5)
  bytes.writeUInt8(kind)
  bytes.writeUInt32BE(id, 1)
  return bytes
}

// protobuf

export function varint(value: number | bigint): Buffer {
  const bytes: number[] = []
  let rest = BigInt(value)
  while (rest > 127n) {
    bytes.push(Number(rest & 127n) | 128)
    rest >>= 7n
  }
  return Buffer.from([...bytes, Number(rest)])
}

/** A field of bytes, text or a message. */
export function bytesField(number: number, value: Uint8Array | string): Buffer {
  const body = Buffer.from(value as string)
  return Buffer.concat([varint((number << 3) | 2), varint(body.length), body])
}

export function numberField(number: number, value: number | bigint): Buffer {
  return Buffer.concat([varint(number << 3), varint(value)])
}

type Value = Uint8Array | string
export type Entries = readonly (readonly [key: Value, value: Value])[]

export function entriesField(number: number, entries: Entries): Buffer {
  return Buffer.concat(
    entries.map(([key, value]) =>
      bytesField(number, Buffer.concat([bytesField(1, key), bytesField(2, value)]))
    )
  )
}

export interface StartFields {
  readonly method?: Value
  readonly timeoutMs?: number | bigint
  readonly metadata?: Entries
  readonly encoding?: string
}

export function startBlock(fields: StartFields = {}): Buffer {
  const { method = '/echo.v1.Echo/Echo', timeoutMs, metadata = [], encoding } = fields
  return Buffer.concat([
    bytesField(1, method),
    timeoutMs === undefined ? Buffer.alloc(0) : numberField(2, timeoutMs),
    entriesField(3, metadata),
    encoding === undefined ? Buffer.alloc(0) : bytesField(4, encoding)
  ])
}

export function start(fields?: StartFields): Buffer {
  return frame(flags.leading, startBlock(fields))
}

export function header(metadata: Entries = [], encoding = ''): Buffer {
  const block = [entriesField(1, metadata)]
  if (encoding !== '') block.push(bytesField(2, encoding))
  return frame(flags.leading, Buffer.concat(block))
}

export function status(code = 0, details: Value = '', metadata: Entries = []): Buffer {
  const block: Buffer[] = []
  if (code !== 0) block.push(numberField(1, code))
  if (details.length > 0) block.push(bytesField(2, details))
  return frame(flags.status, Buffer.concat([...block, entriesField(3, metadata)]))
}

/** A message of the echo service with `text`. */
export function message(text = ''): Buffer {
  return frame(flags.plain, text === '' ? '' : bytesField(1, text))
}

/** What an acceptor has sent, in words: `accepted`, `header`, `message 0a01`, `status 13`; `?` and hex for the rest. */
export function describe(bytes: Buffer): string[] {
  if (bytes.length === 0) return []
  const words = [bytes[0] === 0 ? 'accepted' : `refused ${bytes[0]}`]
  let offset = 1
  while (offset + 5 <= bytes.length) {
    const end = offset + 5 + bytes.readUInt32BE(offset + 1)
    if (end > bytes.length) break
    const flag = bytes.readUInt8(offset)
    const payload = bytes.subarray(offset + 5, end)
    if (flag === flags.status) words.push(`status ${payload[0] === 8 ? payload.readUInt8(1) : 0}`)
    else if (flag === flags.leading) words.push('header')
    else words.push(`message ${payload.toString('hex')}`)
    offset = end
  }
  if (offset < bytes.length) words.push(`? ${bytes.subarray(offset).toString('hex')}`)
  return words
}
