import { basename, resolve } from 'node:path'
import { type BrokerOptions, resolveBrokerOptions } from '../broker/options.js'
import { type TransportKind, transportKinds } from '../broker/transport.js'
import { checkBytes, checkChoice, invalidOption } from '../check.js'
import { PluginError } from '../errors.js'
import type { ServiceDescriptor } from '../grpc/service.js'
import { type Wire, checkWires, wires } from '../grpc/wire.js'
import type { PortRange, StreamKind } from '../handshake/env.js'
import { type Handshake, checkHandshake, resolveVersions } from '../handshake/versions.js'
import { type Logger, checkLogger, silentLogger } from '../log.js'
import { type Engine, engines } from '../mux/engines.js'
import type { Curve } from '../security/certificate.js'
import type { Checksum } from '../security/checksum.js'
import { checkDuration } from '../signal.js'

/** The forms of the stream that can be chosen. */
export const streams = ['fd', 'stdio'] as const satisfies readonly StreamKind[]

/** The transports that can be asked for. */
export const transports = ['auto', ...transportKinds] as const

/** What a plugin can be told whether this host starts it or finds it running. */
export interface ConnectionOptions extends BrokerOptions {
  /** How messages and log records name the plugin. Default: the base name of the program. */
  readonly name?: string
  /** Largest message either way, in bytes. Default 64 MiB; gRPC's own 4 MiB is what people first run into. */
  readonly maxMessageBytes?: number
  /**
   * Directory of the plugin's unix sockets, and of this side's for it. Default: a new one below the temporary directory
   * that only this user may enter, removed with everything in it when the plugin has ended.
   */
  readonly socketDir?: string
  /** Group, by number or name, that may use these sockets too, when the plugin runs as another user. Default: none. */
  readonly socketGroup?: string
  /**
   * Gets what the plugin prints, as bytes. On go-plugin's sockets, exactly what its language's standard output and error
   * got; on the stream, what arrives on descriptors 1 and 2, log records included. It is logged all the same.
   */
  readonly onOutput?: (channel: 'stdout' | 'stderr', bytes: Uint8Array) => void
  /** `close()`: how long calls in flight may go on, in ms. Default 5000. */
  readonly graceMs?: number
  /** `close()`: how long the plugin may take to agree to shut down, in ms. Default 2000. */
  readonly shutdownTimeoutMs?: number
  /** `close()`: how long it may then take to leave before SIGTERM, in ms. Default 2000, as go-plugin before its kill. */
  readonly exitTimeoutMs?: number
  /** `close()`: how long after SIGTERM before SIGKILL goes to the whole process group, in ms. Default 1000. */
  readonly termTimeoutMs?: number
  /** Gets the plugin's life, its log records and what it prints. Default: nothing is logged. */
  readonly logger?: Logger
}

export interface LaunchOptions extends ConnectionOptions {
  /** The program and its arguments; no shell is involved. A program without a slash is looked up in PATH. */
  readonly command: readonly [string, ...string[]]
  /** Cookie and version. The cookie is not a secret: it keeps people from running a plugin by hand by mistake. */
  readonly handshake: Handshake
  /**
   * Several versions of the application's protocol, each with the services that a plugin of that version offers; the
   * newest that both ends list is taken. Then `dispense` refuses services that the version in use does not have.
   */
  readonly versions?: Readonly<Record<number, readonly ServiceDescriptor[]>>
  /** Working directory of the plugin. Default: the host's. */
  readonly cwd?: string
  /** Variables to set in the plugin's environment, beside what `inheritEnv` lets through. */
  readonly env?: Readonly<Record<string, string>>
  /**
   * Which of the host's variables the plugin gets, beside a short list that programs need to run at all (PATH, HOME,
   * language, time zone, temporary directory): names, `PREFIX_*`, or `'all'`. Default: none. Least privilege: a
   * plugin has no business with the host's tokens.
   */
  readonly inheritEnv?: readonly string[] | 'all'
  /** What the plugin's stdin is while it does not carry the stream. Default `ignore`. */
  readonly stdin?: 'ignore' | 'inherit'
  /**
   * How the two processes reach each other. `stream`: one stream over stdio, which needs a plugin built with this
   * package or after `docs/protocol.md`. `socket` and `socket-mux`: go-plugin's own protocol, for plugins in Go and other
   * languages; a listening socket for the plugin and for each broker ID, or one socket that carries all. `auto`: the
   * stream where the plugin knows it, else `socket-mux` where it offers that, else `socket`. Default `auto`.
   */
  readonly transport?: TransportKind | 'auto'
  /**
   * Where the stream comes from: `fd`, a descriptor of its own, keeps stdout and stderr free; `stdio`, the plugin's
   * stdin and stdout, passes through launchers that forward only those. Default: `fd`, or `stdio` when the program is
   * a launcher known to drop other descriptors (ssh, docker, npx, ...).
   */
  readonly stream?: StreamKind
  /** How gRPC sits on the substreams, best first. Default: all that this version knows. */
  readonly wires?: readonly Wire[]
  /**
   * Mutual TLS on go-plugin's sockets, as its AutoMTLS: each process makes a certificate, and both trust that of the other
   * alone. Nothing is encrypted on the stream, which no other process can reach. Default false, as go-plugin.
   */
  readonly autoMtls?: boolean
  /** Curve of the certificate for `autoMtls`. Default `P-521`, as go-plugin; `P-256` is the most widely understood. */
  readonly curve?: Curve
  /**
   * What the program has to hash to, checked before it is started (go-plugin's SecureConfig). `file` names another file
   * than the program itself: where that is an interpreter, its script.
   */
  readonly checksum?: Checksum & { readonly file?: string }
  /** Ports that a plugin which listens on TCP may take, both included. Default 10000 to 25000, as go-plugin. */
  readonly ports?: PortRange
  /**
   * The plugin on go-plugin's sockets may outlive this process, to be reattached by another one (`attach`); then its
   * sockets are not removed and it is not ended at this process's exit. Default false: no orphans.
   */
  readonly outlive?: boolean
  /** The yamux implementation of this end. Default `native`. The two ends may differ. */
  readonly muxer?: Engine
  /** From the start of the process to its handshake, in ms. Default 60000, as go-plugin. */
  readonly startTimeoutMs?: number
  /** Cancels the launch: the process is killed and `launch` rejects with the signal's reason. No effect afterwards. */
  readonly signal?: AbortSignal
}

type Versions = ReadonlyMap<number, readonly ServiceDescriptor[] | undefined>

/** The options without a default of their own stay out where they were. */
type Resolved<Options, Optional extends keyof Options> = Required<Omit<Options, Optional>> & {
  readonly [Key in Optional]: Options[Key] | undefined
}

export interface ResolvedConnectionOptions extends Resolved<
  ConnectionOptions,
  'socketDir' | 'socketGroup' | 'onOutput'
> {
  /** By version; undefined services: not checked. */
  readonly versions: Versions
}

export interface ResolvedLaunchOptions
  extends
    ResolvedConnectionOptions,
    Resolved<
      Omit<LaunchOptions, keyof ConnectionOptions | 'versions'>,
      'cwd' | 'signal' | 'checksum' | 'curve'
    > {}

/**
 * Programs that start another program and pass on only stdin, stdout and stderr. Node programs among them open every
 * other descriptor close-on-exec; the rest go through another machine, user or container.
 */
const stdioLaunchers = new Set(
  'bwrap docker doas flatpak kubectl nerdctl nomad npm npx nsenter pnpm podman ssh sudo tsx yarn'.split(' ')
)

/** Fills in the defaults and checks what the caller gave. @throws `ERR_CONFIG_INVALID`, `ERR_CONFIG_CONFLICT` */
export function resolveLaunchOptions(options: LaunchOptions): ResolvedLaunchOptions {
  const { command, handshake, versions, logger = silentLogger } = options
  if (!Array.isArray(command) || !command.every((word) => typeof word === 'string') || !command[0]) {
    throw invalidOption('command', command, 'Give the program and its arguments as an array of strings.')
  }
  checkHandshake(handshake)
  const stream = options.stream ?? (stdioLaunchers.has(basename(command[0])) ? 'stdio' : 'fd')
  const transport = checkChoice('transport', options.transport ?? 'auto', transports)
  const usesStream = transport === 'auto' || transport === 'stream'
  if (!usesStream && options.stream !== undefined) {
    throw new PluginError('ERR_CONFIG_CONFLICT', `stream cannot go with transport: '${transport}'`, {
      hint: "Leave stream out: go-plugin's own protocol needs none."
    })
  }
  if (options.stream === undefined && stream === 'stdio' && usesStream) {
    logger.debug(
      { command: command[0] },
      'this launcher forwards only stdin and stdout: using them as the stream'
    )
  }
  const stdin = options.stdin ?? 'ignore'
  if (usesStream && stream === 'stdio' && stdin === 'inherit') {
    throw new PluginError('ERR_CONFIG_CONFLICT', "stdin: 'inherit' cannot go with stream: 'stdio'", {
      hint: "The stream is the plugin's stdin and stdout there. Leave stdin out, or use stream: 'fd'."
    })
  }
  return {
    ...resolveConnectionOptions(options, basename(command[0])),
    command,
    handshake,
    versions: resolveVersions<readonly ServiceDescriptor[] | undefined>(handshake, undefined, versions),
    cwd: options.cwd,
    env: options.env ?? {},
    inheritEnv: checkNames(options.inheritEnv ?? []),
    stdin: checkChoice('stdin', stdin, ['ignore', 'inherit'] as const),
    stream: checkChoice('stream', stream, streams),
    transport,
    autoMtls: options.autoMtls ?? false,
    curve: options.curve,
    checksum: options.checksum,
    ports: checkPorts(options.ports ?? { min: 0, max: 0 }),
    outlive: options.outlive ?? false,
    wires: checkWires(options.wires ?? wires),
    muxer: checkChoice('muxer', options.muxer ?? 'native', engines),
    startTimeoutMs: checkDuration('startTimeoutMs', options.startTimeoutMs ?? 60_000),
    signal: options.signal
  }
}

/** Fills in the defaults and checks what the caller gave. @throws `ERR_CONFIG_INVALID` */
export function resolveConnectionOptions(
  options: ConnectionOptions,
  defaultName: string
): Omit<ResolvedConnectionOptions, 'versions'> {
  const { logger = silentLogger } = options
  checkLogger(logger)
  return {
    ...resolveBrokerOptions(options),
    name: checkName(options.name ?? defaultName),
    maxMessageBytes: checkBytes('maxMessageBytes', options.maxMessageBytes ?? 64 * 1024 * 1024),
    // The plugin may have another working directory.
    socketDir: options.socketDir === undefined ? undefined : resolve(options.socketDir),
    socketGroup: options.socketGroup,
    onOutput: options.onOutput,
    graceMs: checkDuration('graceMs', options.graceMs ?? 5000),
    shutdownTimeoutMs: checkDuration('shutdownTimeoutMs', options.shutdownTimeoutMs ?? 2000),
    exitTimeoutMs: checkDuration('exitTimeoutMs', options.exitTimeoutMs ?? 2000),
    termTimeoutMs: checkDuration('termTimeoutMs', options.termTimeoutMs ?? 1000),
    logger
  }
}

function checkPorts(ports: PortRange): PortRange {
  const { min, max } = ports
  if ([min, max].every((port) => Number.isInteger(port) && port >= 0 && port <= 0xffff) && min <= max)
    return ports
  throw invalidOption('ports', ports, 'Give min and max as numbers from 0 to 65535, min not above max.')
}

function checkName(name: string): string {
  if (typeof name === 'string' && name !== '') return name
  throw invalidOption('name', name, 'Give the plugin a name that is not empty.')
}

function checkNames(names: readonly string[] | 'all'): readonly string[] | 'all' {
  if (names === 'all' || Array.isArray(names)) return names
  throw invalidOption('inheritEnv', names, "Give a list of variable names, or 'all'.")
}
