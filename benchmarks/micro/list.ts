import { framing } from './framing.js'
import { handshake } from './handshake.js'
import { metadata } from './metadata.js'

/** One operation of one module, done alone. */
export interface Micro {
  readonly name: string
  /** What one operation is, in a few words. */
  readonly text: string
  /** The operation. What it returns is used, so that the compiler cannot leave it out. */
  readonly run: () => unknown
  /** Throws unless that is the right result; called once, before the operation is timed. */
  readonly check: (result: unknown) => void
}

/** In the order in which they run and are shown. */
export const micros: readonly Micro[] = [...framing, ...metadata, ...handshake]
