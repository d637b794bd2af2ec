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

/** Checks what came from a file or a variable. @throws `ERR_CONFIG_INVALID` */
export function checkReattachConfig(config: ReattachConfig): void {
  const {
    Protocol,
    ProtocolVersion = 0,
    Pid,
    Test = false,
    Addr
  } = (config ?? {}) as { readonly [Key in keyof ReattachConfig]?: unknown }
  const { Network, String: address } = (Addr ?? {}) as Record<string, unknown>
  const whole = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0
  if (
    Protocol === 'grpc' &&
    whole(ProtocolVersion) &&
    whole(Pid) &&
    Pid !== 0 &&
    typeof Test === 'boolean' &&
    (Network === 'unix' || Network === 'tcp') &&
    typeof address === 'string'
  ) {
    return
  }
  throw invalidOption(
    'config',
    config,
    'Give { Protocol: "grpc", ProtocolVersion, Pid, Test, Addr: { Network: "unix" or "tcp", String } } ' +
      'of a plugin that runs on this machine.'
  )
}
