import { basename } from 'node:path'
import { type BrokerOptions, resolveBrokerOptions } from '../broker/options.js'
import { checkBytes, checkChoice, invalidOption } from '../check.js'
import { PluginError } from '../errors.js'
import type { ServiceDescriptor } from '../grpc/service.js'
import { type Wire, checkWires, wires } from '../grpc/wire.js'
import type { StreamKind } from '../handshake/env.js'
import { type Handshake, checkHandshake, resolveVersions } from '../handshake/versions.js'
import { type Logger, checkLogger, silentLogger } from '../log.js'
import { type Engine, engines } from '../mux/engines.js'
import { checkDuration } from '../signal.js'

/** The forms of the stream that can be chosen. */
export const streams = ['fd', 'stdio'] as const satisfies readonly StreamKind[]

export interface LaunchOptions extends BrokerOptions {
  /** The program and its arguments; no shell is involved. A program without a slash is looked up in PATH. */
  readonly command: readonly [string, ...string[]]
  /** Cookie and version. The cookie is not a secret: it keeps people from running a plugin by hand by mistake. */
  readonly handshake: Handshake
  /**
   * Several versions of the application's protocol, each with the services that a plugin of that version offers; the
   * newest that both ends list is taken. Then `dispense` refuses services that the version in use does not have.
   */
  readonly versions?: Readonly<Record<number, readonly ServiceDescriptor[]>>
  /** How messages and log records name the plugin. Default: the base name of the program. */
  readonly name?: string
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
  /** What the plugin's stdin is while the stream is `fd`. Default `ignore`. */
  readonly stdin?: 'ignore' | 'inherit'
  /**
   * Where the stream comes from: `fd`, a descriptor of its own, keeps stdout and stderr free; `stdio`, the plugin's
   * stdin and stdout, passes through launchers that forward only those. Default: `fd`, or `stdio` when the program is
   * a launcher known to drop other descriptors (ssh, docker, npx, ...).
   */
  readonly stream?: StreamKind
  /** How gRPC sits on the substreams, best first. Default: all that this version knows. */
  readonly wires?: readonly Wire[]
  /** The yamux implementation of this end. Default `libp2p`. The two ends may differ. */
  readonly muxer?: Engine
  /** Largest message either way, in bytes. Default 64 MiB; gRPC's own 4 MiB is what people first run into. */
  readonly maxMessageBytes?: number
  /** From the start of the process to its handshake, in ms. Default 60000, as go-plugin. */
  readonly startTimeoutMs?: number
  /** `close()`: how long calls in flight may go on, in ms. Default 5000. */
  readonly graceMs?: number
  /** `close()`: how long the plugin may take to agree to shut down, in ms. Default 2000. */
  readonly shutdownTimeoutMs?: number
  /** `close()`: how long it may then take to leave before SIGTERM, in ms. Default 2000, as go-plugin before its kill. */
  readonly exitTimeoutMs?: number
  /** `close()`: how long after SIGTERM before SIGKILL goes to the whole process group, in ms. Default 1000. */
  readonly termTimeoutMs?: number
  /** Cancels the launch: the process is killed and `launch` rejects with the signal's reason. No effect afterwards. */
  readonly signal?: AbortSignal
  /** Gets the plugin's life, its log records and what it prints. Default: nothing is logged. */
  readonly logger?: Logger
}

export interface ResolvedLaunchOptions extends Required<
  Omit<LaunchOptions, 'cwd' | 'signal' | 'versions' | 'inheritEnv' | 'env'>
> {
  readonly cwd: string | undefined
  readonly env: Readonly<Record<string, string>>
  readonly inheritEnv: readonly string[] | 'all'
  readonly signal: AbortSignal | undefined
  /** By version; undefined services: not checked. */
  readonly versions: ReadonlyMap<number, readonly ServiceDescriptor[] | undefined>
}

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
  checkLogger(logger)
  const stream = options.stream ?? (stdioLaunchers.has(basename(command[0])) ? 'stdio' : 'fd')
  if (options.stream === undefined && stream === 'stdio') {
    logger.debug(
      { command: command[0] },
      'this launcher forwards only stdin and stdout: using them as the stream'
    )
  }
  const stdin = options.stdin ?? 'ignore'
  if (stream === 'stdio' && stdin === 'inherit') {
    throw new PluginError('ERR_CONFIG_CONFLICT', "stdin: 'inherit' cannot go with stream: 'stdio'", {
      hint: "The stream is the plugin's stdin and stdout there. Leave stdin out, or use stream: 'fd'."
    })
  }
  return {
    ...resolveBrokerOptions(options),
    command,
    handshake,
    versions: resolveVersions<readonly ServiceDescriptor[] | undefined>(handshake, undefined, versions),
    name: checkName(options.name ?? basename(command[0])),
    cwd: options.cwd,
    env: options.env ?? {},
    inheritEnv: checkNames(options.inheritEnv ?? []),
    stdin: checkChoice('stdin', stdin, ['ignore', 'inherit'] as const),
    stream: checkChoice('stream', stream, streams),
    wires: checkWires(options.wires ?? wires),
    muxer: checkChoice('muxer', options.muxer ?? 'libp2p', engines),
    maxMessageBytes: checkBytes('maxMessageBytes', options.maxMessageBytes ?? 64 * 1024 * 1024),
    startTimeoutMs: checkDuration('startTimeoutMs', options.startTimeoutMs ?? 60_000),
    graceMs: checkDuration('graceMs', options.graceMs ?? 5000),
    shutdownTimeoutMs: checkDuration('shutdownTimeoutMs', options.shutdownTimeoutMs ?? 2000),
    exitTimeoutMs: checkDuration('exitTimeoutMs', options.exitTimeoutMs ?? 2000),
    termTimeoutMs: checkDuration('termTimeoutMs', options.termTimeoutMs ?? 1000),
    signal: options.signal,
    logger
  }
}

function checkName(name: string): string {
  if (typeof name === 'string' && name !== '') return name
  throw invalidOption('name', name, 'Give the plugin a name that is not empty.')
}

function checkNames(names: readonly string[] | 'all'): readonly string[] | 'all' {
  if (names === 'all' || Array.isArray(names)) return names
  throw invalidOption('inheritEnv', names, "Give a list of variable names, or 'all'.")
}
