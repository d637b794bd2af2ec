import { EventEmitter, once } from 'node:events'
import type { Duplex } from 'node:stream'
import type { CreateMuxer, Muxer, MuxerOptions } from '../../lib/mux/muxer.js'

/** One end of a session, and the substreams it was told of, in order. */
export interface MuxerSide {
  readonly muxer: Muxer
  readonly stream: Duplex
  /** The next substream of the peer, waited for if need be. */
  accept(): Promise<Duplex>
}

/** Starts an engine that keeps what it is told of, unless the options have a listener of their own. */
export function startSide(
  create: CreateMuxer,
  stream: Duplex,
  role: 'client' | 'server',
  options: Partial<Omit<MuxerOptions, 'role'>> = {}
): MuxerSide {
  const accepted: Duplex[] = []
  const arrivals = new EventEmitter()
  const keep = (substream: Duplex): void => {
    accepted.push(substream)
    arrivals.emit('substream')
  }
  const { onSubstream = keep, ...rest } = options
  // A test that is over ends its session under its substreams.
  const listened = (substream: Duplex): Duplex => substream.on('error', () => {})
  const muxer = create(stream, {
    role,
    onSubstream: (substream) => onSubstream(listened(substream)),
    ...rest
  })
  return {
    muxer: { ...muxer, open: () => listened(muxer.open()) },
    stream,
    accept: async () => {
      while (accepted.length === 0) await once(arrivals, 'substream')
      return accepted.shift() as Duplex
    }
  }
}
