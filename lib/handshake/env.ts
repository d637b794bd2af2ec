import { X509Certificate } from 'node:crypto'
import { PluginError } from '../errors.js'
import { parseGoBool } from './go-bool.js'

/**
 * Names of the environment variables that carry the handshake. All but `PLUGIN_STREAM` and `PLUGIN_WIRES`, which are
 * this package's own, are go-plugin's (its `client.go`, `server.go` and `constants.go`).
 */
export const variables = {
  /**
   * `fd:N` or `stdio`: where the host expects the stream. A host that does not set it is a go-plugin host.
   */
  streams: 'PLUGIN_STREAM',
  /** How gRPC may sit on the host's substreams: names joined by `,`, best first. Not set: `h2`. */
  wires: 'PLUGIN_WIRES',
  /** Application protocol versions the host speaks: decimals joined by `,`, in any order. */
  versions: 'PLUGIN_PROTOCOL_VERSIONS',
  /** Ports, both included, that a plugin listening on TCP may take. */
  minPort: 'PLUGIN_MIN_PORT',
  maxPort: 'PLUGIN_MAX_PORT',
  /** Go bool: the host wants the broker's connections multiplexed on the main one. */
  multiplex: 'PLUGIN_MULTIPLEX_GRPC',
  /** PEM certificate of the host, when it asks for mutual TLS. */
  clientCertificate: 'PLUGIN_CLIENT_CERT',
  /** Directory of the plugin's unix sockets, and the group they are handed to. */
  socketDir: 'PLUGIN_UNIX_SOCKET_DIR',
  socketGroup: 'PLUGIN_UNIX_SOCKET_GROUP'
} as const

/** How the stream is derived from stdio: a descriptor of its own, or standard input and output. */
export type StreamKind = 'fd' | 'stdio'

/** The descriptor of the stream `fd`: the slot after standard error. */
const streamFd = 3

/**
 * The magic cookie: a variable and its value that both ends know, so that a plugin run by hand can say what
 * it is. It is no secret and no protection.
 */
export interface Cookie {
  readonly cookieKey: string
  readonly cookieValue: string
}

/** Ports that a plugin listening on TCP may take, both included; 0 and 0: any. */
export interface PortRange {
  readonly min: number
  readonly max: number
}

/** What the host tells the plugin. Only the cookie and the versions are always given. */
export interface HostVariables extends Cookie {
  readonly versions: readonly number[]
  /** The stream that the host offers; left out, the plugin answers on a socket, as one of go-plugin does. */
  readonly stream?: StreamKind | undefined
  /** Wires that the host takes calls on, on the stream. */
  readonly wires?: readonly string[] | undefined
  /** 0 and 0 become 10000 and 25000, as go-plugin's host sends them. */
  readonly ports?: PortRange | undefined
  /** Asks for the broker's connections on the main one. */
  readonly multiplex?: boolean | undefined
  /** The host's certificate in PEM: asks for mutual TLS. */
  readonly clientCertificate?: string | undefined
  readonly socketDir?: string | undefined
  readonly socketGroup?: string | undefined
}

/** What the host adds to the plugin's environment. */
export function hostVariables(options: HostVariables): Record<string, string> {
  const { stream, wires, ports, multiplex, clientCertificate, socketDir, socketGroup } = options
  const given: Record<string, string | undefined> = {
    [options.cookieKey]: options.cookieValue,
    [variables.versions]: options.versions.toSorted((a, b) => a - b).join(','),
    [variables.streams]: stream === 'fd' ? `fd:${streamFd}` : stream,
    [variables.wires]: stream === undefined ? undefined : wires?.join(','),
    ...portVariables(ports),
    // Not `false`: any value makes a plugin of go-plugin print a seventh field, which says true.
    [variables.multiplex]: multiplex === true ? 'true' : undefined,
    [variables.clientCertificate]: clientCertificate,
    [variables.socketDir]: socketDir,
    [variables.socketGroup]: socketGroup
  }
  const set = Object.entries(given).filter((entry): entry is [string, string] => entry[1] !== undefined)
  return Object.fromEntries(set)
}

function portVariables(ports: PortRange | undefined): Record<string, string> {
  if (ports === undefined) return {}
  const { min, max } = ports.min === 0 && ports.max === 0 ? { min: 10_000, max: 25_000 } : ports
  return { [variables.minPort]: String(min), [variables.maxPort]: String(max) }
}

/** What the plugin finds in its environment. An empty variable counts as one that is not set. */
export interface PluginEnvironment {
  readonly cookie: string | undefined
  /** In the host's order; empty when the host named none. */
  readonly versions: readonly number[]
  /** Items of the version list that are no versions, as they were. */
  readonly badVersions: readonly string[]
  /** undefined: the host set none (any go-plugin host), or one that is in `badStream`. */
  readonly stream: { readonly kind: 'fd'; readonly fd: number } | { readonly kind: 'stdio' } | undefined
  readonly badStream: string | undefined
  /** Wires of the host, best first; `h2` where it names none. */
  readonly wires: readonly string[]
  /**
   * 0 and 0 when the host set none, or what is in `badPorts`. They concern only a plugin that listens on TCP.
   */
  readonly ports: PortRange
  /** Ports that are none, or no range: as the host set them. */
  readonly badPorts: string | undefined
  /**
   * Whether the host asks for one connection that carries all. undefined: it has not set the variable, and
   * only then the handshake line has no seventh field. A value that is not a Go bool is false, and in
   * `badMultiplex`.
   */
  readonly multiplex: boolean | undefined
  readonly badMultiplex: string | undefined
  /** The host's certificate in DER: it wants mutual TLS, trusting it and no other. */
  readonly clientCertificate: Buffer | undefined
  /**
   * The host sent something as its certificate that is none: nothing can be trusted, so nothing may be
   * served.
   */
  readonly badClientCertificate: boolean
  readonly socketDir: string | undefined
  /** A group's number or name. */
  readonly socketGroup: string | undefined
}

export function readEnvironment(env: NodeJS.ProcessEnv, cookieKey: string): PluginEnvironment {
  const listed = nonEmpty(env[variables.versions])?.split(',') ?? []
  const streamText = nonEmpty(env[variables.streams])
  const stream = streamText === undefined ? undefined : parseStream(streamText)
  const ports = parsePorts(env[variables.minPort], env[variables.maxPort])
  const multiplexText = nonEmpty(env[variables.multiplex])
  const multiplex = multiplexText === undefined ? undefined : parseGoBool(multiplexText)
  const pem = nonEmpty(env[variables.clientCertificate])
  const clientCertificate = pem === undefined ? undefined : parsePem(pem)
  return {
    cookie: nonEmpty(env[cookieKey]),
    versions: listed.filter(isVersion).map(Number),
    badVersions: listed.filter((item) => !isVersion(item)),
    stream,
    badStream: stream === undefined ? streamText : undefined,
    wires: nonEmpty(env[variables.wires])?.split(',') ?? ['h2'],
    ports: ports ?? { min: 0, max: 0 },
    badPorts:
      ports === undefined ? `${env[variables.minPort] ?? ''}..${env[variables.maxPort] ?? ''}` : undefined,
    multiplex: multiplexText === undefined ? undefined : multiplex === true,
    badMultiplex: multiplex === undefined ? multiplexText : undefined,
    clientCertificate,
    badClientCertificate: pem !== undefined && clientCertificate === undefined,
    socketDir: nonEmpty(env[variables.socketDir]),
    socketGroup: nonEmpty(env[variables.socketGroup])
  }
}

/**
 * Deletes the handshake's variables and the cookie from `env`, so that programs which the plugin starts,
 * plugins of its own among them, do not take them for theirs. Other variables that begin with `PLUGIN_` stay.
 */
export function clearEnvironment(env: NodeJS.ProcessEnv, cookieKey: string): void {
  for (const name of [cookieKey, ...Object.values(variables)]) delete env[name]
}

/**
 * Checks a cookie: the key a name that every shell can set and that is none of the handshake's own, the value
 * not empty.
 * @throws `ERR_CONFIG_INVALID`
 */
export function checkCookieConfig(cookie: Cookie): void {
  const { cookieKey, cookieValue } = cookie
  if (typeof cookieKey !== 'string' || !/^[A-Za-z_][A-Za-z0-9_]*$/.test(cookieKey)) {
    throw new PluginError(
      'ERR_CONFIG_INVALID',
      `cookieKey is ${JSON.stringify(cookieKey)}, not a variable's name`,
      {
        hint: 'Use letters, digits and underscores, not beginning with a digit, such as MY_APP_PLUGIN.'
      }
    )
  }
  if (Object.values<string>(variables).includes(cookieKey)) {
    throw new PluginError(
      'ERR_CONFIG_INVALID',
      `cookieKey is ${cookieKey}, a variable of the handshake itself`,
      {
        hint: 'Choose a name of your own, such as MY_APP_PLUGIN.'
      }
    )
  }
  if (typeof cookieValue !== 'string' || cookieValue === '' || cookieValue.includes('\0')) {
    throw new PluginError('ERR_CONFIG_INVALID', `cookieValue of ${cookieKey} is not a non-empty text`, {
      hint: 'Give host and plugin the same constant, such as a random hexadecimal number.'
    })
  }
}

function parseStream(text: string): PluginEnvironment['stream'] {
  if (text === 'stdio') return { kind: 'stdio' }
  const fd = /^fd:(\d{1,5})$/.exec(text)?.[1]
  return fd === undefined || Number(fd) < 3 ? undefined : { kind: 'fd', fd: Number(fd) }
}

/** Go reads each as a signed 32-bit decimal, and an empty one as 0 (go-plugin `server.go`). */
function parsePorts(minText: string | undefined, maxText: string | undefined): PortRange | undefined {
  const [min, max] = [minText, maxText].map((text) => (nonEmpty(text) === undefined ? 0 : parsePort(text!)))
  return min === undefined || max === undefined || min > max ? undefined : { min, max }
}

function parsePort(text: string): number | undefined {
  const port = /^[+-]?\d{1,20}$/.test(text) ? Number(text) : -1
  return port >= 0 && port <= 0xffff ? port : undefined
}

/** The first certificate of a PEM text, in DER. */
function parsePem(text: string): Buffer | undefined {
  try {
    // Node would take DER and other kinds of PEM block too.
    return text.includes('-----BEGIN CERTIFICATE-----') ? new X509Certificate(text).raw : undefined
  } catch {
    return undefined
  }
}

function isVersion(text: string): boolean {
  return /^(0|[1-9]\d{0,15})$/.test(text) && Number.isSafeInteger(Number(text))
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === '' ? undefined : value
}
