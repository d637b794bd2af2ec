import { PluginError } from '../errors.js'

/**
 * Names of the environment variables that carry the handshake. All but `PLUGIN_STREAM`, which is this package's own,
 * are go-plugin's (its `client.go`, `server.go` and `constants.go`).
 */
export const variables = {
  /** `fd:N` or `stdio`: where the host expects the stream. A host that does not set it is a go-plugin host. */
  streams: 'PLUGIN_STREAM',
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
 * The magic cookie: a variable and its value that both ends know, so that a plugin run by hand can say what it is. It
 * is no secret and no protection.
 */
export interface Cookie {
  readonly cookieKey: string
  readonly cookieValue: string
}

/** What the host adds to the plugin's environment. */
export function hostVariables(
  options: Cookie & { readonly versions: readonly number[]; readonly stream: StreamKind }
): Record<string, string> {
  return {
    [options.cookieKey]: options.cookieValue,
    [variables.versions]: options.versions.toSorted((a, b) => a - b).join(','),
    [variables.streams]: options.stream === 'fd' ? `fd:${streamFd}` : 'stdio'
  }
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
}

export function readEnvironment(env: NodeJS.ProcessEnv, cookieKey: string): PluginEnvironment {
  const listed = nonEmpty(env[variables.versions])?.split(',') ?? []
  const streamText = nonEmpty(env[variables.streams])
  const stream = streamText === undefined ? undefined : parseStream(streamText)
  return {
    cookie: nonEmpty(env[cookieKey]),
    versions: listed.filter(isVersion).map(Number),
    badVersions: listed.filter((item) => !isVersion(item)),
    stream,
    badStream: stream === undefined ? streamText : undefined
  }
}

/**
 * Deletes the handshake's variables and the cookie from `env`, so that programs which the plugin starts, plugins of
 * its own among them, do not take them for theirs. Other variables that begin with `PLUGIN_` stay.
 */
export function clearEnvironment(env: NodeJS.ProcessEnv, cookieKey: string): void {
  for (const name of [cookieKey, ...Object.values(variables)]) delete env[name]
}

/**
 * Checks a cookie: the key a name that every shell can set and that is none of the handshake's own, the value not
 * empty.
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

function isVersion(text: string): boolean {
  return /^(0|[1-9]\d{0,15})$/.test(text) && Number.isSafeInteger(Number(text))
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === '' ? undefined : value
}
