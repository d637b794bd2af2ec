import { invalidOption } from '../check.js'

/**
 * Where a plugin is to be found that runs already: plain JSON, in the form that Terraform's `TF_REATTACH_PROVIDERS` made
 * common among users of go-plugin.
 */
export interface ReattachConfig {
  /** Only gRPC plugins can be attached to. */
  readonly Protocol: 'grpc'
  /** Version of the application's protocol. */
  readonly ProtocolVersion: number
  readonly Pid: number
  /** The plugin is served by a test or a debugger: a host that closes it must not end the process. */
  readonly Test: boolean
  readonly Addr: {
    /** `unix` or `tcp` */
    readonly Network: string
    /** A path, or host and port. */
    readonly String: string
  }
}

export function reattachConfig(
  pid: number,
  version: number,
  { network, address }: { readonly network: 'unix' | 'tcp'; readonly address: string }
): ReattachConfig {
  return {
    Protocol: 'grpc',
    ProtocolVersion: version,
    Pid: pid,
    Test: false,
    Addr: { Network: network, String: address }
  }
}

/** A config that was checked, in the words of this package. */
export interface ReattachPlace {
  readonly pid: number
  readonly version: number
  readonly test: boolean
  readonly main: { readonly network: 'unix' | 'tcp'; readonly address: string }
}

/**
 * Reads what came from a file or a variable, where a host of go-plugin may have left out `ProtocolVersion` (0) and `Test`
 * (false).
 * @throws `ERR_CONFIG_INVALID`
 */
export function readReattachConfig(config: unknown): ReattachPlace {
  const { Protocol, ProtocolVersion = 0, Pid, Test = false, Addr } = asRecord(config)
  const { Network, String: address } = asRecord(Addr)
  if (
    Protocol === 'grpc' &&
    isWhole(ProtocolVersion) &&
    isWhole(Pid) &&
    Pid > 0 &&
    typeof Test === 'boolean' &&
    (Network === 'unix' || Network === 'tcp') &&
    typeof address === 'string'
  ) {
    return { pid: Pid, version: ProtocolVersion, test: Test, main: { network: Network, address } }
  }
  throw invalidOption(
    'config',
    config,
    'Give { Protocol: "grpc", ProtocolVersion, Pid, Test, Addr: { Network: "unix" or "tcp", String } } ' +
      'of a plugin that runs on this machine.'
  )
}

function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
