import { Argument, Command, InvalidArgumentError, Option } from 'commander'
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
import { completion, shells } from './completion.js'

/** The command line of `bin/host`, checked. */
export interface Arguments {
  /** The directory to list, as given. */
  readonly dir: string
  /** Name of a plugin, or path of its manifest; undefined: the filelister of this package. */
  readonly plugin: string | undefined
  /** Folders of plugins, beside those that are looked into anyway. */
  readonly pluginsIn: readonly string[]
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

/** What `bin/host plugins` was asked for. */
export interface PluginsArguments {
  readonly pluginsIn: readonly string[]
  readonly form: 'text' | 'json' | 'names'
}

/** What the command line asks for: a job, or an exit with what was to be printed already printed. */
export type Parsed =
  | { readonly t: 'run'; readonly args: Arguments }
  | { readonly t: 'plugins'; readonly args: PluginsArguments }
  | { readonly t: 'exit'; readonly code: number }

/** Reads the arguments after the program's name. Prints help and version on stdout, and what is wrong on stderr. */
export function parseArguments(argv: readonly string[], version: string): Parsed {
  let parsed: Parsed = { t: 'exit', code: 0 }
  const host = listCommand(version).action((dir: string, options: ListOptions) => {
    const { quiet, ...args } = options
    parsed = { t: 'run', args: { ...args, dir, logLevel: quiet === true ? 'silent' : args.logLevel } }
  })
  host
    .command('plugins')
    .description('list the plugins that --plugin takes by name, and what is wrong with others')
    .addOption(pluginsInOption())
    .addOption(new Option('--json', 'print the list as JSON').default(false))
    .addOption(new Option('--names', 'print the usable names alone').default(false).conflicts('json'))
    .allowExcessArguments(false)
    .action(({ pluginsIn, json, names }: { pluginsIn: string[]; json: boolean; names: boolean }) => {
      parsed = { t: 'plugins', args: { pluginsIn, form: json ? 'json' : names ? 'names' : 'text' } }
    })
  host
    .command('completion')
    .description("print a script that completes this program's words in a shell")
    .addArgument(new Argument('<shell>', 'the shell').choices(shells))
    .allowExcessArguments(false)
    .action((shell: (typeof shells)[number]) => {
      process.stdout.write(completion(host, shell))
    })
  const code = parseCommand(host, argv)
  return code === undefined ? parsed : { t: 'exit', code }
}

type ListOptions = Omit<Arguments, 'dir'> & { readonly quiet?: boolean }

function pluginsInOption(): Option {
  return new Option(
    '--plugins-in <folder>',
    'look for plugins in the folders in this one, too; may be given more than once'
  )
    .argParser((folder: string, before: readonly string[]) => [...before, notEmpty(folder)])
    .default([], 'none')
}

/** The main job, with all of its options. */
function listCommand(version: string): Command {
  return new Command('host')
    .usage('[options] [DIR]\n       host plugins [options]\n       host completion <shell>')
    .description(
      'Lists a directory through a plugin: the filelister plugin runs as a process of its own, ' +
        'calls back to this one to read DIR, and returns the listing. Both share one stream, unless told otherwise.'
    )
    .argument('[DIR]', 'the one directory that the plugin may read', notEmpty, '.')
    .addOption(
      new Option(
        '--plugin <name|path>',
        'another plugin than the filelister of this package: its name, or a path with a slash'
      ).argParser(notEmpty)
    )
    .addOption(pluginsInOption())
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
        '\n--plugin finds a name in the plugins/ of this package, in --plugins-in, and in the node_modules of\n' +
        'the working directory and of those above; a path leads to a manifest or its folder. DIR may be named\n' +
        'plugins or completion as ./plugins and ./completion.\n' +
        '\nExit codes: 0 done, 1 failed, 2 wrong usage, 128 + n ended by signal n.\n' +
        '\nExamples:\n' +
        '  bin/host .                       list this directory\n' +
        '  bin/host --quiet /etc | sort     nothing but the listing\n' +
        "  bin/host --stream stdio --json . the stream is the plugin's stdin and stdout\n" +
        '  bin/host --transport socket .    a socket for each service, as go-plugin has it\n'
    )
    .showHelpAfterError('Run with --help for the options.')
    .allowExcessArguments(false)
    .helpCommand(false)
    .enablePositionalOptions()
    .exitOverride()
}

function notEmpty(value: string): string {
  if (value === '') throw new InvalidArgumentError('It is empty.')
  return value
}
