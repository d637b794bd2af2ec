import { pino } from 'pino'
import type { Logger } from '../host/index.js'
import type { Arguments } from './args.js'

/** The logger of the command line: to stderr, as JSON lines or for people to read. */
export async function createCliLogger({
  logLevel,
  logFormat
}: Pick<Arguments, 'logLevel' | 'logFormat'>): Promise<Logger> {
  const options = {
    level: logLevel,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { err: pino.stdSerializers.err }
  }
  if (logFormat === 'json') return asLogger(pino(options, pino.destination({ dest: 2, sync: true })))
  const { default: pretty } = await import('pino-pretty')
  return asLogger(
    pino(
      options,
      pretty({
        destination: 2,
        sync: true,
        colorize: process.stderr.isTTY && !process.env['NO_COLOR'],
        singleLine: true,
        translateTime: 'SYS:HH:MM:ss.l'
      })
    )
  )
}

/** A pino logger as it is; its own type is too wide to be returned from an async function. */
function asLogger(logger: Logger): Logger {
  return logger
}
