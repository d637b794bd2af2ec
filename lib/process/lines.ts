import type { Readable } from 'node:stream'

export interface EachLineOptions {
  /** Default 65,536, as go-plugin's PluginLogBufferSize. */
  readonly maxLineBytes?: number
}

/** Lines handed out in one turn of the event loop: a flood of newlines must not keep others from theirs. */
const linesPerTurn = 1000

/**
 * Hands out a byte stream line by line, without line ends. Reads as fast as bytes come and waits for nobody but the other
 * work of this process, so that the writer is not blocked; memory stays at one line and one chunk.
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

  /** Hands out what `held` has in whole lines; true when it stopped at its limit for this turn. */
  const emitLines = (searchFrom: number): boolean => {
    let searched = searchFrom
    for (let count = 0; count < linesPerTurn; count++) {
      const newline = held.indexOf(0x0a, searched)
      if (newline === -1) {
        // A final \r may belong to the line's end, which then is no part of the line: it is not counted yet.
        const isOpen = held.at(-1) === 0x0d
        const open = emitPieces(isOpen ? held.subarray(0, -1) : held)
        // Copied: a slice would keep the whole chunk alive.
        held = Buffer.concat(isOpen ? [open, Buffer.from('\r')] : [open])
        return false
      }
      emitLine(held.subarray(0, newline))
      held = held.subarray(newline + 1)
      searched = 0
    }
    return true
  }

  return new Promise((resolve) => {
    if (readable.readableEnded || readable.destroyed) return resolve()
    let ended = false
    const goOn = (): void => {
      if (emitLines(0)) setImmediate(goOn)
      else if (ended) finish()
      else readable.resume()
    }
    const onData = (chunk: Buffer): void => {
      const searchFrom = held.length
      held = held.length === 0 ? chunk : Buffer.concat([held, chunk])
      if (!emitLines(searchFrom)) return
      readable.pause()
      setImmediate(goOn)
    }
    const onEnd = (): void => {
      if (ended) return
      ended = true
      readable.off('data', onData)
      if (!emitLines(0)) finish()
      else setImmediate(goOn)
    }
    const finish = (): void => {
      readable.off('end', onEnd).off('error', onEnd).off('close', onEnd)
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
