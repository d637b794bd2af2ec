/**
 * How gRPC sits on substreams. `h2`: a dialled substream carries one ordinary HTTP/2 gRPC connection, so any language
 * with yamux and gRPC can speak it.
 */
export const wires = ['h2'] as const
export type Wire = (typeof wires)[number]
