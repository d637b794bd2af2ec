import type { CreateMuxer } from './muxer.js'

/** The yamux implementations that can be chosen. */
export const engines = ['native', 'libp2p'] as const
export type Engine = (typeof engines)[number]

const loaders: Record<Engine, () => Promise<CreateMuxer>> = {
  native: async () => (await import('./native.js')).createNativeMuxer,
  libp2p: async () => (await import('./libp2p.js')).createLibp2pMuxer
}

/** Loads an engine lazily: importing one costs time and memory that a process without a session need not pay. */
export function loadEngine(engine: Engine): Promise<CreateMuxer> {
  return loaders[engine]()
}
