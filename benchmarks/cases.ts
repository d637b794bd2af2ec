import type { Capability } from './link.js'
import {
  type Measure,
  coldStart,
  dialBurst,
  fairness,
  idle,
  inFlight,
  latency,
  live,
  transfers
} from './measure.js'

/** One thing that every row is asked to do. */
export interface Case {
  readonly name: string
  /** What is done, in a few words. */
  readonly text: string
  /** What a row has to be able to do for it. */
  readonly needs: Capability
  /** Whether a quick run has it. */
  readonly quick: boolean
  readonly measure: Measure
}

const quick = true

/** In the order in which they run and are shown. docs/benchmarks.md tells what each of them means. */
export const cases: readonly Case[] = [
  unary('64B', 64, { quick }),
  unary('4KiB', 4096),
  unary('1MiB', 1 << 20, { quick }),
  ...[1, 8, 64, 512].map((width) => ({
    name: `inflight-${width}`,
    text: width === 1 ? 'calls of 64 bytes, one at a time' : `calls of 64 bytes, ${width} at a time`,
    needs: 'call' as const,
    quick: width === 64,
    measure: inFlight(width)
  })),
  stream('down', 'the plugin streams 64 KiB chunks to the host'),
  stream('up', 'the host streams 64 KiB chunks to the plugin'),
  stream('both', 'the host streams 64 KiB chunks, the plugin streams them back', { quick }),
  {
    name: 'dial',
    text: 'a fresh broker ID accepted, dialled, called once and closed',
    needs: 'dial',
    quick,
    measure: latency('dial', 64)
  },
  {
    name: 'dial-burst',
    text: '256 such dials at once',
    needs: 'dial',
    quick: false,
    measure: dialBurst(256)
  },
  ...[10, 100, 1000].map((ids) => ({
    name: `live-${ids}`,
    text: `${ids.toLocaleString('en-US')} broker IDs kept open: both processes, and a call beside them`,
    needs: 'keep' as const,
    quick: false,
    measure: live(ids)
  })),
  {
    name: 'callback',
    text: 'the host calls the plugin, which calls the host back before it answers',
    needs: 'callback',
    quick,
    measure: latency('callback', 64)
  },
  {
    name: 'fairness',
    text: 'calls of 64 bytes while the plugin streams 64 KiB chunks to the host',
    needs: 'down',
    quick: false,
    measure: fairness
  },
  {
    name: 'cold-start',
    text: 'from the start of the plugin to its first answer; ratio: to an empty node process',
    needs: 'call',
    quick,
    measure: coldStart
  },
  { name: 'idle', text: 'a plugin that has answered one call', needs: 'call', quick: false, measure: idle }
]

function unary(size: string, bytes: number, options: { quick?: boolean } = {}): Case {
  return {
    name: `unary-${size}`,
    text: `one call of ${size} after another`,
    needs: 'call',
    quick: options.quick ?? false,
    measure: latency('call', bytes)
  }
}

function stream(direction: 'down' | 'up' | 'both', text: string, options: { quick?: boolean } = {}): Case {
  return {
    name: `${direction}-64KiB`,
    text,
    needs: direction,
    quick: options.quick ?? false,
    measure: transfers(direction)
  }
}
