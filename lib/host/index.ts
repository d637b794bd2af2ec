/** The host's half: what `muxplug/host` exports. */
export { launch } from './launch.js'
export { type AttachOptions, attach } from './attach.js'
export { type Plugin, type SessionStats } from './plugin.js'
export { type ConnectionOptions, type LaunchOptions, streams, transports } from './options.js'
export { type StreamKind as Stream } from '../handshake/env.js'
export { type TransportKind as Transport } from '../broker/transport.js'
export { type Exit } from '../process/spawn.js'
export {
  type EntryType,
  type ListOptions,
  type Root,
  type RootCallOptions,
  type RootEntry,
  type RootOptions,
  type RootPath,
  type WritableRoot,
  type WriteOptions,
  openRoot
} from '../security/root.js'
export { type HostServiceOptions, createHostService } from '../services/host-service.js'
export { logLevels } from '../log.js'
export { engines } from '../mux/engines.js'
export { wires } from '../grpc/wire.js'
export * from '../shared.js'
export { readManifest } from '../manifest/read.js'
export { type Discovered, type DiscoverOptions, discoverPlugins, findPlugin } from '../manifest/discover.js'
export { type Grants, type Offer, type Refusal, grant } from '../manifest/grant.js'
export { type Ask, type Manifest } from '../manifest/manifest.js'
