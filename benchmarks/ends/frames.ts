import { once } from 'node:events'
import type { Socket } from 'node:net'
import type { Message, Send } from './messages.js'

/** Length of the body, call, kind, operation. */
const headerBytes = 10

/** Writes messages to a socket, header and body at once. */
export function createSender(socket: Socket): Send {
  let drained: Promise<void> | undefined
  return ({ call, kind, operation, body }) => {
    const header = Buffer.allocUnsafe(headerBytes)
    header.writeUInt32BE(body.length)
    header.writeUInt32BE(call, 4)
    header.writeUInt8(kind, 8)
    header.writeUInt8(operation, 9)
    socket.cork()
    socket.write(header)
    const flows = socket.write(body)
    socket.uncork()
    if (flows) return undefined
    drained ??= once(socket, 'drain').then(() => {
      drained = undefined
    })
    return drained
  }
}

/** Takes the messages out of what arrives at a socket. */
export function receiveMessages(socket: Socket, receive: (message: Message) => void): void {
  let parts: Buffer[] = []
  let held = 0
  let wanted = headerBytes
  socket.on('data', (data: Buffer) => {
    parts.push(data)
    held += data.length
    if (held < wanted) return
    const bytes = parts.length === 1 ? data : Buffer.concat(parts, held)
    let at = 0
    for (;;) {
      wanted = headerBytes
      if (bytes.length - at < wanted) break
      wanted += bytes.readUInt32BE(at)
      if (bytes.length - at < wanted) break
      receive({
        call: bytes.readUInt32BE(at + 4),
        kind: bytes.readUInt8(at + 8),
        operation: bytes.readUInt8(at + 9),
        body: bytes.subarray(at + headerBytes, at + wanted)
      })
      at += wanted
    }
    held = bytes.length - at
    parts = held === 0 ? [] : [bytes.subarray(at)]
  })
}
