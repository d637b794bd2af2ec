import { PassThrough, Readable } from 'node:stream'
import { type ErrorCode, errorCodes } from '../errors.js'
import { type ParsedLine, parseLine } from '../handshake/line.js'
import { type LogFields, type LogLevel, type Logger, foreignFields, logLevels } from '../log.js'
import { eachLine } from '../process/lines.js'
import type { FirstLine } from '../stream/first-line.js'

/** Last lines of stderr that errors quote, and the length at which a quoted line is cut. */
const tailLines = 20
const tailLineChars = 500

/** How much may come on stdout ahead of the handshake line, as on the stream. */
const maxJunkChars = 65_536

/** What a plugin said on stderr about why it could not start: an error record with one of the codes that starting can have. */
export interface PluginComplaint {
  readonly code: ErrorCode
  readonly message: string
  readonly hint: string | undefined
  readonly fields: Readonly<Record<string, unknown>>
}

export interface PluginLog {
  /** The last lines of stderr, oldest first; undefined where somebody else reads it. */
  readonly tail: readonly string[] | undefined
  /** The last complaint, if there was one. */
  readonly complaint: PluginComplaint | undefined
  /**
   * Resolves with the handshake line on stdout, where go-plugin's plugins print theirs, or what came instead of it. Never
   * where there is no stdout: a pending promise does no harm, it is only raced.
   */
  readonly handshake: Promise<FirstLine<ParsedLine>>
  /** The lines on stdout ahead of it so far, oldest first. */
  readonly junk: readonly string[]
  /**
   * To be told whether stdout and stderr are what the plugin prints: then they are passed on, from their first byte. Where
   * prints come another way, stdout was for the handshake and stderr is the log.
   */
  passOn(raw: boolean): void
  /** Takes what the plugin printed, as it came through go-plugin's `plugin.GRPCStdio`. */
  take(channel: 'stdout' | 'stderr', bytes: Uint8Array): void
}

/** The log of a plugin whose stdout and stderr go elsewhere. */
export function detachedLog(
  logger: Logger,
  onOutput?: (channel: 'stdout' | 'stderr', bytes: Uint8Array) => void
): PluginLog {
  const nothing = { stdout: undefined, stderr: Readable.from([]) }
  return { ...capturePluginOutput(nothing, logger, onOutput), tail: undefined }
}

/**
 * Reads a plugin's stderr and stdout by line, for as long as they last, into the host's logger. Lines of hclog JSON
 * become structured records at their own level; other lines follow go-plugin's text rules (`client.go`, logStderr):
 * `[WARN]` and the like in front name the level, `panic: ` makes this and all later plain lines errors, anything else is
 * debug. What the plugin prints on stdout is logged at info.
 */
export function capturePluginOutput(
  child: { readonly stdout: Readable | undefined; readonly stderr: Readable },
  logger: Logger,
  listener?: (channel: 'stdout' | 'stderr', bytes: Uint8Array) => void
): PluginLog {
  const tail: string[] = []
  let complaint: PluginComplaint | undefined
  let panicking = false

  function logError(line: string, partial: boolean): void {
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
  }

  const onOutput =
    listener &&
    ((channel: 'stdout' | 'stderr', bytes: Uint8Array): void => {
      try {
        listener(channel, bytes)
      } catch (error) {
        logger.error({ err: error }, 'onOutput failed')
      }
    })

  function logPrint(line: string): void {
    if (line !== '') logger.info({ stream: 'stdout' }, line)
  }

  void eachLine(child.stderr, logError)
  const { stdout } = child
  const search = searchHandshake(logPrint)
  if (stdout !== undefined) void eachLine(stdout, search.onLine).then(search.onEnd)
  const tap = onOutput === undefined ? undefined : createTap(child, onOutput)

  const printed = { stdout: new PassThrough(), stderr: new PassThrough() }
  void eachLine(printed.stdout, logPrint)
  void eachLine(printed.stderr, logError)

  return {
    tail,
    handshake: search.found,
    junk: search.junk,
    passOn: (raw) => tap?.(raw),
    take(channel, bytes) {
      printed[channel].write(bytes)
      onOutput?.(channel, bytes)
    },
    get complaint() {
      return complaint
    }
  }
}

/** Holds what comes until it is known whether it is to be passed on. */
function createTap(
  { stdout, stderr }: { readonly stdout: Readable | undefined; readonly stderr: Readable },
  onOutput: (channel: 'stdout' | 'stderr', bytes: Uint8Array) => void
): (raw: boolean) => void {
  const held: [channel: 'stdout' | 'stderr', bytes: Buffer][] = []
  let heldBytes = 0
  let raw: boolean | undefined
  const onData = (channel: 'stdout' | 'stderr', bytes: Buffer): void => {
    if (raw === true) return onOutput(channel, bytes)
    if (raw === false || heldBytes >= maxJunkChars) return
    held.push([channel, bytes])
    heldBytes += bytes.length
  }
  stdout?.on('data', (bytes: Buffer) => onData('stdout', bytes))
  stderr.on('data', (bytes: Buffer) => onData('stderr', bytes))
  return (pass) => {
    raw = pass
    for (const [channel, bytes] of held.splice(0)) if (pass) onOutput(channel, bytes)
  }
}

/** Looks for the handshake among the first lines of stdout; the others, and all later ones, go to `onPrint`. */
function searchHandshake(onPrint: (line: string) => void) {
  const junk: string[] = []
  let junkChars = 0
  let settled = false
  let resolveFound: (first: FirstLine<ParsedLine>) => void
  const found = new Promise<FirstLine<ParsedLine>>((resolve) => {
    resolveFound = resolve
  })
  const settle = (first: FirstLine<ParsedLine>): void => {
    settled = true
    resolveFound(first)
  }
  const onLine = (line: string): void => {
    if (settled) return onPrint(line)
    const parsed = parseLine(line)
    if (parsed !== undefined) return settle({ t: 'line', value: parsed, junk })
    onPrint(line)
    if (line !== '') junk.push(line)
    junkChars += line.length + 1
    if (junkChars >= maxJunkChars) settle({ t: 'overflow', junk })
  }
  return { found, junk, onLine, onEnd: () => settle({ t: 'end', junk }) }
}

interface LogRecord {
  readonly level: LogLevel
  readonly message: string
  readonly fields: LogFields
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
    fields: foreignFields({ ...fields, ...(timestamp === undefined ? {} : { timestamp }) })
  }
}

function textLevel(line: string): LogLevel | undefined {
  const word = /^\[(TRACE|DEBUG|INFO|WARN|ERROR)\]/.exec(line)?.[1]
  return word === undefined ? undefined : (word.toLowerCase() as LogLevel)
}

function asComplaint({ level, message, fields }: LogRecord): PluginComplaint | undefined {
  const { code, hint } = fields
  const known = errorCodes.find(
    (word) => word === code && /^ERR_(?:HANDSHAKE|SECURITY|SOCKET|CONFIG)_/.test(word)
  )
  if (level !== 'error' || known === undefined) return undefined
  return { code: known, message, hint: typeof hint === 'string' ? hint : undefined, fields }
}
