import { checkChoice, invalidOption } from '../check.js'

/**
 * How gRPC sits on substreams. `h2`: a dialled substream carries one ordinary HTTP/2 gRPC connection, so any language
 * with yamux and gRPC can speak it.
 */
export const wires = ['h2'] as const
export type Wire = (typeof wires)[number]

/** Checks a list of wires, best first. @throws `ERR_CONFIG_INVALID` */
export function checkWires(list: readonly string[]): readonly Wire[] {
  if (!Array.isArray(list) || list.length === 0) {
    throw invalidOption('wires', list, `Give at least one of: ${wires.join(', ')}.`)
  }
  return list.map((wire) => checkChoice('wires', wire, wires))
}
