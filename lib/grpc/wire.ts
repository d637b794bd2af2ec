import { checkChoice, invalidOption } from '../check.js'

/**
 * How gRPC sits on substreams, best first. `direct`: a call is a substream of its own, between two ends of this package.
 * `h2`: a dialled substream carries one ordinary HTTP/2 gRPC connection, so any language with yamux and gRPC can speak it.
 */
export const wires = ['direct', 'h2'] as const
export type Wire = (typeof wires)[number]

/** Checks a list of wires, best first. @throws `ERR_CONFIG_INVALID` */
export function checkWires(list: readonly string[]): readonly Wire[] {
  if (!Array.isArray(list) || list.length === 0) {
    throw invalidOption('wires', list, `Give at least one of: ${wires.join(', ')}.`)
  }
  return list.map((wire) => checkChoice('wires', wire, wires))
}

/** The first of our own wires that the peer has, too: each side chooses for the calls that it makes. */
export function chooseWire(own: readonly Wire[], peer: readonly string[]): Wire | undefined {
  return own.find((wire) => peer.includes(wire))
}
