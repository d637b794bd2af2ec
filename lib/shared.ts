/** What both halves export. */
export { PluginError, isPluginError, errorCodes } from './errors.js'
export type { ErrorCode, ErrorFacts } from './errors.js'
export type { LogFields, LogLevel, Logger } from './log.js'
export type { ReattachConfig } from './handshake/reattach.js'
export type { Handshake } from './handshake/versions.js'
export type { Broker, Connection, DialOptions, Served } from './services/broker.js'
export type { PingOptions } from './services/health.js'
export type { MessageCodec, MethodDescriptor, ServiceDescriptor } from './grpc/service.js'
export type { CallOptions, Client } from './grpc/client.js'
export {
  type CallContext,
  type ServiceImplementation,
  type ServiceBinding,
  implement
} from './grpc/handler.js'
export { callError } from './grpc/status.js'
export type { AuditRecord } from './services/restrict-call.js'
export type { MethodRule, PathRule, RateRule, SizeLimits, SizeRule } from './services/restrict-rules.js'
export { type RestrictOptions, auditTo, restrict } from './services/restrict.js'
export { Metadata, Status as status } from './grpc/grpc-js.js'
export type { Wire } from './grpc/wire.js'
export type { Engine } from './mux/engines.js'
