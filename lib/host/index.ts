/** The host's half: what `muxplug/host` exports. */
export { type Plugin, type SessionStats, launch } from './launch.js'
export { type LaunchOptions, streams } from './options.js'
export { type StreamKind as Stream } from '../handshake/env.js'
export { type Exit } from '../process/spawn.js'
export { logLevels } from '../log.js'
export { engines } from '../mux/engines.js'
export { wires } from '../grpc/wire.js'
export * from '../shared.js'
