import { PluginError } from './errors.js'

/** Fields of a log record. Names in use: `plugin`, `pid`, `stream`, `brokerId`, `code`, `ms`, `version`, `err`. */
export type LogFields = Readonly<Record<string, unknown>>

type LogMethod = (fields: LogFields, message: string) => void

/**
 * What this package logs to. A pino logger fits as it is. Frames are logged at trace, life-cycle changes at debug,
 * and what an operator must act on at warn.
 */
export interface Logger {
  trace: LogMethod
  debug: LogMethod
  info: LogMethod
  warn: LogMethod
  error: LogMethod
}

export type LogLevel = keyof Logger

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error'] as const satisfies readonly LogLevel[]

const ignore: LogMethod = () => {}

/** Drops every record: the default wherever a logger may be given. */
export const silentLogger: Logger = {
  trace: ignore,
  debug: ignore,
  info: ignore,
  warn: ignore,
  error: ignore
}

/** A logger that adds `fields` to every record of `logger`. */
export function childLogger(logger: Logger, fields: LogFields): Logger {
  if (logger === silentLogger) return silentLogger
  const bind = (level: LogLevel): LogMethod => {
    return (own, message) => logger[level]({ ...fields, ...own }, message)
  }
  return {
    trace: bind('trace'),
    debug: bind('debug'),
    info: bind('info'),
    warn: bind('warn'),
    error: bind('error')
  }
}

/** Checks that something can be logged to. @throws `ERR_CONFIG_INVALID` */
export function checkLogger(logger: Logger): void {
  const missing = logLevels.filter((level) => typeof logger[level] !== 'function')
  if (missing.length === 0) return
  throw new PluginError('ERR_CONFIG_INVALID', `logger has no ${missing.join(', ')}`, {
    hint: 'Give a pino logger, or an object with a method for each level: (fields, message) => void.'
  })
}

/**
 * Names with a meaning in the host's own records, which a plugin must not be able to forge: `pid` becomes
 * `pid_`.
 */
const reserved = new Set(['level', 'time', 'msg', 'plugin', 'pid', 'stream'])

/** The fields of a record that a plugin has made, ready for the host's log. */
export function foreignFields(fields: LogFields): LogFields {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [reserved.has(name) ? `${name}_` : name, value])
  )
}
