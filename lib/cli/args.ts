import { Command, InvalidArgumentError, Option } from 'commander'
import {
  type Engine,
  type LogLevel,
  type Stream,
  type Transport,
  type Wire,
  engines,
  logLevels,
  streams,
  transports,
  wires
} from '../host/index.js'
import { parseCommand } from './command.js'

/** The command line of `bin/host`, checked. */
export interface Arguments {
  /** The directory to list, as given. */
  readonly dir: string
  readonly transport: Transport | 'auto'
  /** undefined: not asked for. */
  readonly stream: Stream | undefined
  readonly mtls: boolean
  /** undefined: the best that both ends have. */
  readonly wire: Wire | undefined
  readonly muxer: Engine
  readonly logLevel: LogLevel | 'silent'
  readonly logFormat: 'pretty' | 'json'
  readonly json: boolean
}

/** What the command line asks for: the job, or an exit with what was to be printed already printed. */
export type Parsed =
  { readonly t: 'run'; readonly args: Arguments } | { readonly t: 'exit'; readonly code: number }

/** Reads the arguments after the program's name. Prints help and version on stdout, and what is wrong on stderr. */
export function parseArguments(argv: readonly string[], version: string): Parsed {
  const command = new Command('host')
    .description(
      'Lists a directory through a plugin: the filelister plugin runs as a process of its own, ' +
        'calls back to this one to read DIR, and returns the listing. Both share one stream, unless told otherwise.'
    )
    .argument('[DIR]', 'the one directory that the plugin may read', notEmpty, '.')
    .addOption(
      new Option(
        '--transport <kind>',
        "how the processes reach each other: our stream, go-plugin's sockets, or the best that the plugin knows"
      )
        .choices(transports)
        .default('stream')
    )
    .addOption(
      new Option(
        '--stream <form>',
        'where the stream comes from: a descriptor of its own (default), or stdin and stdout'
      ).choices(streams)
    )
    .option('--mtls', "mutual TLS on go-plugin's sockets", false)
    .addOption(
      new Option(
        '--wire <wire>',
        'how gRPC sits on the substreams: a substream for each call (default), or HTTP/2 on one'
      ).choices(wires)
    )
    .addOption(new Option('--muxer <engine>', "the host's yamux engine").choices(engines).default('native'))
    .addOption(
      new Option('--log-level <level>', 'the least important records to show on stderr')
        .choices([...logLevels, 'silent'])
        .default('debug')
    )
    .addOption(
      new Option('--log-format <format>', 'how to show them').choices(['pretty', 'json']).default('pretty')
    )
    .option('-q, --quiet', 'show nothing but errors on stderr (the same as --log-level silent)')
    .option('--json', 'print the listing as JSON', false)
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .addHelpText(
      'after',
      '\nThe listing goes to stdout, one entry a line, sorted by name: NAME-d for a directory, NAME-f for anything\n' +
        'else. Control characters in names are shown as \\n or \\x1b, bytes that are not UTF-8 as \\xff; --json has\n' +
        'the exact names.\n' +
        '\nExit codes: 0 done, 1 failed, 2 wrong usage, 128 + n ended by signal n.\n' +
        '\nExamples:\n' +
        '  bin/host .                       list this directory\n' +
        '  bin/host --quiet /etc | sort     nothing but the listing\n' +
        "  bin/host --stream stdio --json . the stream is the plugin's stdin and stdout\n" +
        '  bin/host --transport socket .    a socket for each service, as go-plugin has it\n'
    )
    .showHelpAfterError('Run with --help for the options.')
    .allowExcessArguments(false)
    .exitOverride()
  const code = parseCommand(command, argv)
  if (code !== undefined) return { t: 'exit', code }
  const { quiet, ...options } = command.opts<Omit<Arguments, 'dir'> & { quiet?: boolean }>()
  const dir = command.processedArgs[0] as string
  return { t: 'run', args: { ...options, dir, logLevel: quiet === true ? 'silent' : options.logLevel } }
}

function notEmpty(value: string): string {
  if (value === '') throw new InvalidArgumentError('It is empty.')
  return value
}
