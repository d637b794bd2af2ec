import type { Readable } from 'node:stream'

export interface EachLineOptions {
  /** Default 65,536, as go-plugin's PluginLogBufferSize. */
  readonly maxLineBytes?: number
}

/**
 * Hands out a byte stream line by line, without line ends. Reads as fast as bytes come and waits for nobody, so that
 * the writer is never blocked; memory stays at one line and one chunk.
 *
 * A line longer than `maxLineBytes` comes in pieces of at most that size, `partial` true for all but its last; no
 * piece ends inside a character (unless it is shorter than one). `\r\n` ends a line as `\n` does; a last line needs no end; what is not UTF-8 is
 * replaced by U+FFFD. Resolves when the stream has ended, failed or was closed. `onLine` must not throw.
 */
export function eachLine(
  readable: Readable,
  onLine: (line: string, partial: boolean) => void,
  options: EachLineOptions = {}
): Promise<void> {
  const { maxLineBytes = 65_536 } = options
  let held: Buffer = Buffer.alloc(0)

  const emitPieces = (line: Buffer): Buffer => {
    let rest = line
    while (rest.length > maxLineBytes) {
      const cut = characterBoundary(rest, maxLineBytes)
      onLine(rest.toString('utf8', 0, cut), true)
      rest = rest.subarray(cut)
    }
    return rest
  }

  const emitLine = (line: Buffer): void => {
    onLine(emitPieces(line.at(-1) === 0x0d ? line.subarray(0, -1) : line).toString(), false)
  }

  const onData = (chunk: Buffer): void => {
    let searched = held.length
    let rest = held.length === 0 ? chunk : Buffer.concat([held, chunk])
    for (let newline = rest.indexOf(0x0a, searched); newline !== -1; newline = rest.indexOf(0x0a, searched)) {
      emitLine(rest.subarray(0, newline))
      rest = rest.subarray(newline + 1)
      searched = 0
    }
    // A final \r may belong to the line's end, which then is no part of the line: it is not counted yet.
    const isOpen = rest.at(-1) === 0x0d
    const open = emitPieces(isOpen ? rest.subarray(0, -1) : rest)
    // Copied: a slice would keep the whole chunk alive.
    held = Buffer.concat(isOpen ? [open, Buffer.from('\r')] : [open])
  }

  return new Promise((resolve) => {
    if (readable.readableEnded || readable.destroyed) return resolve()
    const onEnd = (): void => {
      readable.off('data', onData).off('end', onEnd).off('error', onEnd).off('close', onEnd)
      if (held.length > 0) emitLine(held)
      held = Buffer.alloc(0)
      resolve()
    }
    readable.on('data', onData).on('end', onEnd).on('error', onEnd).on('close', onEnd).resume()
  })
}

/** The last index up to `max` at which a UTF-8 character begins; `max` itself when the bytes are not UTF-8. */
function characterBoundary(bytes: Buffer, max: number): number {
  for (let index = max; index > max - 4 && index > 0; index--) {
    if (((bytes[index] ?? 0) & 0xc0) !== 0x80) return index
  }
  return max
}
