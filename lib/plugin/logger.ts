import { writeLog } from './capture-output.js'
import { type LogFields, type LogLevel, type Logger, logLevels, silentLogger } from '../log.js'

export interface PluginLoggerOptions {
  /** Records below this level are dropped. Default `debug`: the host filters again. */
  readonly level?: LogLevel
  /** Module name, in `@module`. Default: none. */
  readonly name?: string
}

/**
 * A logger for plugins: one JSON line a record on stderr, in the form of HashiCorp's hclog, which this package's hosts
 * and Go hosts both read into structured records.
 */
export function createPluginLogger(options: PluginLoggerOptions = {}): Logger {
  const { level: lowest = 'debug', name } = options
  const logger: Logger = { ...silentLogger }
  for (const level of logLevels.slice(logLevels.indexOf(lowest))) {
    logger[level] = (fields, message) => {
      writeLog(formatRecord(level, message, fields, name))
    }
  }
  return logger
}

/** One hclog line with its newline. Never throws: a value that JSON cannot hold is replaced. */
export function formatRecord(level: LogLevel, message: string, fields: LogFields, name?: string): string {
  const record: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(fields)) {
    // Names starting with @ are hclog's own; a Go host crashes on one of the wrong type.
    record[key.startsWith('@') ? `_${key.slice(1)}` : key] = value instanceof Error ? value.message : value
  }
  Object.assign(record, {
    '@level': level,
    '@message': message,
    '@timestamp': timestamp(new Date()),
    ...(name === undefined ? {} : { '@module': name })
  })
  return `${stringify(record)}\n`
}

/** Exactly six fraction digits: Go hosts take a line with any other number for plain text (`log_entry.go`). */
function timestamp(date: Date): string {
  return date.toISOString().replace('Z', '000Z')
}

function stringify(record: Record<string, unknown>): string {
  try {
    return JSON.stringify(record, (_key, value: unknown) =>
      typeof value === 'bigint' ? String(value) : value
    )
  } catch {
    // Circular, or a toJSON that throws.
    const plain = Object.entries(record).map(([key, value]) => [
      key,
      typeof value === 'string' ? value : String(value)
    ])
    return JSON.stringify(Object.fromEntries(plain))
  }
}
