import { isUtf8 } from 'node:buffer'
import type { Readable } from 'node:stream'

/**
 * What came of waiting for a line. `junk` holds the lines before it, oldest first, without their ends, for the person
 * who has to find out what printed them.
 */
export type FirstLine<T> =
  | { readonly t: 'line'; readonly value: T; readonly junk: readonly string[] }
  /** The stream ended, failed or was closed first. */
  | { readonly t: 'end'; readonly junk: readonly string[] }
  /** No line was found in the first `maxJunkBytes`. */
  | { readonly t: 'overflow'; readonly junk: readonly string[] }

export interface FirstLineOptions<T> {
  /** Reads a line without its end; undefined when it is not the one waited for. Must not throw. */
  readonly parse: (line: string) => T | undefined
  /**
   * How far into the stream the line must end, its newline included. Default 65,536: the longest line that Go's
   * `bufio.Scanner`, and so a go-plugin host, reads; far above any login banner.
   */
  readonly maxJunkBytes?: number
  readonly signal?: AbortSignal | undefined
}

/**
 * Takes the first line that `parse` accepts off the front of a byte stream, and gives back the bytes behind it.
 *
 * `\r\n` ends a line as `\n` does, and so does the end of the stream. Lines that are not UTF-8 are shown with their
 * bytes above 0x7f as `\xNN`. Afterwards the stream is not flowing: nothing more is lost or read until someone reads
 * it; but a stream that ended right behind the line may have emitted `'end'`, so look at `readableEnded` first.
 *
 * Rejects only when `signal` fires, with its reason; all bytes taken are then given back.
 */
export function readFirstLine<T>(stream: Readable, options: FirstLineOptions<T>): Promise<FirstLine<T>> {
  const { parse, maxJunkBytes = 65_536, signal } = options
  return new Promise((resolve, reject) => {
    const junk: string[] = []
    let taken = Buffer.alloc(0)
    let lineStart = 0

    const offer = (end: number): T | undefined => {
      const line = printable(
        taken.subarray(lineStart, taken[end - 1] === 0x0d ? Math.max(lineStart, end - 1) : end)
      )
      lineStart = end + 1
      const value = parse(line)
      if (value === undefined) junk.push(line)
      return value
    }

    const settle = (result: FirstLine<T>): void => {
      stopListening()
      resolve(result)
    }

    const onReadable = (): void => {
      for (
        let chunk = stream.read() as Buffer | null;
        chunk !== null;
        chunk = stream.read() as Buffer | null
      ) {
        const before = taken.length
        taken = Buffer.concat([taken, chunk.subarray(0, maxJunkBytes - before)])
        for (let from = before; ; from = lineStart) {
          const newline = taken.indexOf(0x0a, from)
          if (newline === -1) break
          const value = offer(newline)
          if (value === undefined) continue
          stopListening()
          giveBack(chunk.subarray(lineStart - before))
          resolve({ t: 'line', value, junk })
          return
        }
        if (taken.length >= maxJunkBytes) {
          if (lineStart < taken.length) junk.push(printable(taken.subarray(lineStart)))
          settle({ t: 'overflow', junk })
          return
        }
      }
    }

    const onEnd = (): void => {
      const value = lineStart < taken.length ? offer(taken.length) : undefined
      settle(value === undefined ? { t: 'end', junk } : { t: 'line', value, junk })
    }

    const onAbort = (): void => {
      stopListening()
      giveBack(taken)
      // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- the caller's reason, whatever it is
      reject(signal?.reason)
    }

    const giveBack = (bytes: Buffer): void => {
      if (bytes.length > 0 && !stream.readableEnded && !stream.destroyed) stream.unshift(bytes)
    }

    const stopListening = (): void => {
      stream.off('readable', onReadable).off('end', onEnd).off('error', onEnd).off('close', onEnd)
      signal?.removeEventListener('abort', onAbort)
    }

    if (signal?.aborted === true) return onAbort()
    if (stream.readableEnded || stream.destroyed) return onEnd()
    signal?.addEventListener('abort', onAbort)
    stream.on('readable', onReadable).on('end', onEnd).on('error', onEnd).on('close', onEnd)
  })
}

function printable(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString()
  return bytes
    .toString('latin1')
    .replaceAll(/[\u0080-\u00ff]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16)}`)
}
