/**
 * Every code a {@link PluginError} can carry. Codes are stable: branch on them, never on the message.
 * `docs/errors.md` has a heading for each.
 */
export const errorCodes = [
  'ERR_CONFIG_INVALID',
  'ERR_CONFIG_CONFLICT',
  'ERR_PROCESS_SPAWN',
  'ERR_PROCESS_EXITED',
  'ERR_SECURITY_CERTIFICATE',
  'ERR_SECURITY_CHECKSUM',
  'ERR_SECURITY_PATH',
  'ERR_HANDSHAKE_TIMEOUT',
  'ERR_HANDSHAKE_MALFORMED',
  'ERR_HANDSHAKE_VERSION',
  'ERR_HANDSHAKE_COOKIE',
  'ERR_HANDSHAKE_TRANSPORT',
  'ERR_SOCKET_LISTEN',
  'ERR_SOCKET_CONNECT',
  'ERR_STREAM_RESET',
  'ERR_STREAM_CLOSED',
  'ERR_STREAM_TIMEOUT',
  'ERR_SESSION_CLOSED',
  'ERR_SESSION_GOAWAY',
  'ERR_SESSION_LIMIT',
  'ERR_SESSION_PROTOCOL',
  'ERR_SESSION_KEEPALIVE',
  'ERR_BROKER_TIMEOUT',
  'ERR_BROKER_REFUSED',
  'ERR_BROKER_ID_TAKEN',
  'ERR_BROKER_CLOSED',
  'ERR_CALL_FAILED'
] as const

export type ErrorCode = (typeof errorCodes)[number]

/** Facts that an error may carry besides its message; each is present only where it is known. */
export interface ErrorFacts {
  /** What to do next, in a sentence for the person who reads the message. */
  readonly hint?: string
  readonly cause?: unknown
  /** The plugin's name, as given to `launch()`. */
  readonly plugin?: string
  readonly pid?: number
  /** How the process ended: exit code 0 to 255, or null when a signal ended it. */
  readonly exitCode?: number | null
  /** How the process ended: the signal's name, or null when it exited by itself. */
  readonly signal?: string | null
  /** The last lines the process wrote to stderr, oldest first. */
  readonly stderrTail?: readonly string[]
  /** The broker ID concerned. */
  readonly id?: number
  /** gRPC status code, 0 to 16, of a failed call (`ERR_CALL_FAILED`), or to fail one with. */
  readonly status?: number
  /** The status text exactly as the peer sent it. */
  readonly details?: string
  /** Trailing metadata of a failed call: a grpc-js `Metadata`. */
  readonly metadata?: unknown
}

/**
 * The one error class of this package. `code` says which situation it is, `hint` what to do about it, and the other
 * fields hold the facts of that situation.
 */
export class PluginError extends Error {
  readonly code: ErrorCode
  declare readonly hint?: string
  declare readonly plugin?: string
  declare readonly pid?: number
  declare readonly exitCode?: number | null
  declare readonly signal?: string | null
  declare readonly stderrTail?: readonly string[]
  declare readonly id?: number
  declare readonly status?: number
  declare readonly details?: string
  declare readonly metadata?: unknown

  constructor(code: ErrorCode, message: string, facts: ErrorFacts = {}) {
    const { cause, ...rest } = facts
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'PluginError'
    this.code = code
    Object.assign(this, rest)
  }
}

/** Whether `error` is a {@link PluginError}, of the given code when one is named. */
export function isPluginError(error: unknown, code?: ErrorCode): error is PluginError {
  return error instanceof PluginError && (code === undefined || error.code === code)
}

/** What somebody threw, in words: an error's message. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
