import type { Readable } from 'node:stream'
import { type ErrorCode, errorCodes } from '../errors.js'
import { type HandshakeLine, parseLine } from '../handshake/line.js'
import { type LogLevel, type Logger, logLevels } from '../log.js'
import { eachLine } from '../process/lines.js'

/** Last lines of stderr that errors quote, and the length at which a quoted line is cut. */
const tailLines = 20
const tailLineChars = 500

/** What a plugin said on stderr about why it could not start: an error record whose `code` is about the handshake. */
export interface PluginComplaint {
  readonly code: ErrorCode
  readonly message: string
  readonly hint: string | undefined
  readonly fields: Readonly<Record<string, unknown>>
}

export interface PluginLog {
  /** The last lines of stderr, oldest first. */
  readonly tail: readonly string[]
  /** The last complaint, if there was one. */
  readonly complaint: PluginComplaint | undefined
  /**
   * Resolves with a handshake line found on stdout, where go-plugin's plugins print theirs. A pending promise does no
   * harm: it is only raced.
   */
  readonly otherHandshake: Promise<HandshakeLine>
}

/**
 * Reads a plugin's stderr and stdout by line, for as long as they last, into the host's logger. Lines of hclog JSON
 * become structured records at their own level; other lines follow go-plugin's text rules (`client.go`, logStderr):
 * `[WARN]` and the like in front name the level, `panic: ` makes this and all later plain lines errors, anything else is
 * debug. What the plugin prints on stdout is logged at info.
 */
export function capturePluginOutput(
  child: { readonly stdout: Readable | undefined; readonly stderr: Readable },
  logger: Logger
): PluginLog {
  const tail: string[] = []
  let complaint: PluginComplaint | undefined
  let panicking = false

  void eachLine(child.stderr, (line, partial) => {
    if (line === '') return
    if (tail.push(line.slice(0, tailLineChars)) > tailLines) tail.shift()
    const record = partial ? undefined : parseRecord(line)
    if (record !== undefined) {
      complaint = asComplaint(record) ?? complaint
      logger[record.level]({ stream: 'stderr', ...record.fields }, record.message)
      return
    }
    panicking ||= /^(?:panic|fatal error): /.test(line)
    logger[textLevel(line) ?? (panicking ? 'error' : 'debug')]({ stream: 'stderr' }, line)
  })
  let foundHandshake: (line: HandshakeLine) => void
  const otherHandshake = new Promise<HandshakeLine>((resolve) => {
    foundHandshake = resolve
  })
  if (child.stdout !== undefined) {
    let first = true
    void eachLine(child.stdout, (line) => {
      if (line === '') return
      const parsed = first ? parseLine(line) : undefined
      first = false
      if (parsed !== undefined && 'ok' in parsed) foundHandshake(parsed.ok)
      logger.info({ stream: 'stdout' }, line)
    })
  }

  return {
    tail,
    otherHandshake,
    get complaint() {
      return complaint
    }
  }
}

interface LogRecord {
  readonly level: LogLevel
  readonly message: string
  readonly fields: Record<string, unknown>
}

/** One hclog JSON line; undefined for anything that is not exactly that: the other process is not to be trusted. */
function parseRecord(line: string): LogRecord | undefined {
  if (!line.startsWith('{')) return undefined
  let parsed: unknown
  try {
    parsed = JSON.parse(line)
  } catch {
    return undefined
  }
  if (typeof parsed !== 'object' || parsed === null) return undefined
  const {
    '@level': level,
    '@message': message,
    '@timestamp': timestamp,
    ...fields
  } = parsed as Record<string, unknown>
  if (typeof level !== 'string' || typeof message !== 'string') return undefined
  const known = logLevels.find((word) => word === level.trim().toLowerCase())
  if (known === undefined) return undefined
  return {
    level: known,
    message,
    fields: withoutReserved({ ...fields, ...(timestamp === undefined ? {} : { timestamp }) })
  }
}

/** Names with a meaning in the host's own records, which a plugin must not be able to forge: `pid` becomes `pid_`. */
const reserved = new Set(['level', 'time', 'msg', 'plugin', 'pid', 'stream'])

function withoutReserved(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [reserved.has(name) ? `${name}_` : name, value])
  )
}

function textLevel(line: string): LogLevel | undefined {
  const word = /^\[(TRACE|DEBUG|INFO|WARN|ERROR)\]/.exec(line)?.[1]
  return word === undefined ? undefined : (word.toLowerCase() as LogLevel)
}

function asComplaint({ level, message, fields }: LogRecord): PluginComplaint | undefined {
  const { code, hint } = fields
  const known = errorCodes.find((word) => word === code && word.startsWith('ERR_HANDSHAKE_'))
  if (level !== 'error' || known === undefined) return undefined
  return { code: known, message, hint: typeof hint === 'string' ? hint : undefined, fields }
}
