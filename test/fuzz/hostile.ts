import { data, fin, frame, goAway, ping, rst, syn, update, ack } from '../helpers/yamux-peer.js'
import type { Random } from './random.js'

/** Writes the bytes of a peer that knows yamux and does not always keep to it. */
export interface HostilePeer {
  /** A frame, or a flood of them, and what it is in words. */
  next(): { readonly bytes: Buffer; readonly words: string }
}

export interface HostileOptions {
  readonly role: 'client' | 'server'
  /** How often a frame is not as it should be, from 0 to 1. */
  readonly malice: number
  /** Substreams that the engine has opened so far. */
  readonly engineIds: () => readonly number[]
  /** The largest body. */
  readonly maxBodyBytes: number
}

/** A peer that opens, talks and ends as an honest one, with mutations of any of it and floods in between. */
export function createHostilePeer(random: Random, options: HostileOptions): HostilePeer {
  const { malice, engineIds, maxBodyBytes } = options
  let nextId = options.role === 'client' ? 1 : 2
  let open: number[] = []

  const anyId = (): number => {
    const ids = [...open, ...engineIds()]
    return ids.length === 0 || random.chance(malice / 4) ? random.uint32() : random.pick(ids)
  }
  const begin = (): number => {
    // As Go's yamux does when two opens cross: an ID may be late.
    const id = nextId + (random.chance(0.02) ? 2 : 0)
    nextId = id + 2
    open.push(id)
    return id
  }
  const drop = (id: number): number => {
    open = open.filter((other) => other !== id)
    return id
  }
  const body = (): Buffer => {
    const sizes = [0, 1, 13, 1000, 65_536, 131_072, 262_144, 262_145]
    return Buffer.alloc(Math.min(random.pick(sizes), random.int(0, maxBodyBytes)), 'body')
  }
  const flags = (): number => (random.chance(0.9) ? 0 : random.int(0, 15))

  const honest: [number, () => Buffer][] = [
    [5, () => frame(update, syn, begin(), random.chance(0.8) ? 0 : random.int(0, 2 ** 20))],
    [3, () => frame(data, syn | (random.chance(0.2) ? fin : 0), begin(), body())],
    [10, () => frame(data, 0, anyId(), body())],
    [2, () => frame(data, fin, drop(anyId()), body())],
    [3, () => frame(update, fin, drop(anyId()))],
    [2, () => frame(update, rst, drop(anyId()))],
    [1, () => frame(data, rst, drop(anyId()), body())],
    [5, () => frame(update, ack, anyId(), random.pick([0, 0, 1, 12, 13, 65_536, 262_144]))],
    [4, () => frame(update, 0, anyId(), random.pick([0, 1, 12, 13, 131_072, 262_144]))],
    [3, () => frame(ping, random.pick([0, syn, syn, ack, syn | ack]), 0, random.uint32())],
    [0.2, () => frame(goAway, 0, 0, 0)]
  ]
  const weight = honest.reduce((sum, [share]) => sum + share, 0)
  const one = (): Buffer => {
    let at = (random.int(0, 999_999) / 1_000_000) * weight
    for (const [share, make] of honest) {
      at -= share
      if (at < 0) return make()
    }
    return frame(ping, syn, 0)
  }

  const mutations: ((bytes: Buffer) => Buffer)[] = [
    (bytes) => {
      bytes[random.int(0, Math.min(bytes.length, 12) - 1)] = random.int(0, 255)
      return bytes
    },
    (bytes) => {
      bytes.writeUInt16BE(random.int(0, 15), 2)
      return bytes
    },
    (bytes) => {
      bytes.writeUInt32BE(random.uint32(), random.pick([4, 8]))
      return bytes
    },
    (bytes) => bytes.subarray(0, random.int(0, bytes.length)),
    (bytes) => Buffer.concat([bytes, bytes]),
    () => random.bytes(random.int(1, 60)),
    () => frame(random.int(0, 4), random.int(0, 15), anyId(), random.uint32()),
    () => frame(goAway, flags(), 0, random.uint32())
  ]

  const floods: [string, () => () => Buffer][] = [
    ['pings', () => () => frame(ping, syn, 0, random.uint32())],
    ['substreams', () => () => frame(update, syn, begin())],
    ['finished substreams', () => () => frame(data, syn | fin, drop(begin()), Buffer.from('x'))],
    [
      'substreams opened and reset',
      () => () => Buffer.concat([frame(update, syn, nextId), frame(update, rst, drop(begin()))])
    ],
    [
      'credit',
      () => {
        const id = anyId()
        return () => frame(update, 0, id, 1)
      }
    ],
    [
      'single bytes',
      () => {
        const id = anyId()
        return () => frame(data, 0, id, Buffer.from('x'))
      }
    ],
    [
      'empty data',
      () => {
        const id = anyId()
        return () => frame(data, 0, id)
      }
    ]
  ]

  return {
    next: () => {
      if (random.chance(0.006)) {
        const [what, begun] = random.pick(floods)
        const make = begun()
        const count = random.chance(0.1) ? 100_000 : random.pick([50, 500, 2000])
        return { bytes: Buffer.concat(Array.from({ length: count }, make)), words: `${count} ${what}` }
      }
      const bytes = one()
      if (!random.chance(malice)) return { bytes, words: bytes.subarray(0, 12).toString('hex') }
      const mutated = random.pick(mutations)(bytes)
      return { bytes: mutated, words: `mutated ${mutated.subarray(0, 12).toString('hex')}` }
    }
  }
}
