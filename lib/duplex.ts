import { Duplex, type Readable, type Writable } from 'node:stream'
import { PluginError } from './errors.js'

/** A byte stream that can be told whether it keeps the event loop alive. */
export type RefDuplex = Duplex & { ref(): void; unref(): void }

/**
 * Two one-way byte streams as one Duplex, which owns them from then on.
 *
 * Half-close passes through both ways, a failure of either half destroys the whole, and a slow reader or writer is
 * felt at the other side. A readable half that closes without its end destroys the Duplex with `ERR_STREAM_CLOSED`:
 * a truncated stream never looks like a finished one. `ref` and `unref` reach those halves that have them.
 */
export function joinHalves(readable: Readable, writable: Writable): RefDuplex {
  const joined = new Duplex({
    read: () => void readable.resume(),
    write: (chunk: Uint8Array, _encoding, callback) => void writable.write(chunk, callback),
    writev: (chunks, callback) => {
      writable.cork()
      for (const { chunk } of chunks.slice(0, -1)) writable.write(chunk)
      writable.write(chunks.at(-1)?.chunk, callback)
      writable.uncork()
    },
    final: (callback) => {
      // Node destroys a child's stdin as the child exits, while its stdout is still to be read: that is no failure.
      if (writable.destroyed) callback()
      else writable.end(callback)
    },
    destroy: (error, callback) => {
      readable.destroy()
      writable.destroy()
      callback(error)
    }
  })
  joined.on('error', () => {})

  readable.on('data', (chunk: Uint8Array) => {
    if (!joined.push(chunk)) readable.pause()
  })
  readable.once('end', () => joined.push(null))
  readable.once('close', () => {
    if (readable.readableEnded) return
    joined.destroy(new PluginError('ERR_STREAM_CLOSED', 'the stream was closed before its end'))
  })
  for (const half of [readable, writable]) half.on('error', (error: Error) => joined.destroy(error))

  return Object.assign(joined, {
    ref: () => [readable, writable].forEach((half) => canRef(half) && half.ref()),
    unref: () => [readable, writable].forEach((half) => canRef(half) && half.unref())
  })
}

function canRef(half: object): half is { ref(): void; unref(): void } {
  return 'ref' in half && 'unref' in half
}
