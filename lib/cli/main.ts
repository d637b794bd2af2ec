import { constants } from 'node:fs'
import { access, opendir, readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { FileLister } from '#proto/filelister/v1/filelister.js'
import { type Logger, PluginError, isPluginError, launch, openRoot } from '../host/index.js'
import { type Arguments, parseArguments } from './args.js'
import { listenForSignals } from './command.js'
import { grantHostServices } from './grants.js'
import { type Entry, escapeControls, formatJson, formatListing } from './listing.js'
import { createCliLogger } from './logger.js'
import { choosePlugin, findAll, formatPlugins } from './plugins.js'

const packageRoot = dirname(fileURLToPath(import.meta.resolve('muxplug/package.json')))

/** Runs the command line and resolves with the exit code: 0 done, 1 failed, 2 wrong usage, 128 + n for a signal. */
export async function main(argv: readonly string[]): Promise<number> {
  const { version } = JSON.parse(await readFile(resolve(packageRoot, 'package.json'), 'utf8')) as {
    version: string
  }
  const parsed = parseArguments(argv, version)
  if (parsed.t === 'exit') return parsed.code
  // Ctrl-C and the like end the plugin first, then this process with the shell's code for the signal.
  const interrupted = listenForSignals((name) => new PluginError('ERR_CALL_FAILED', `interrupted by ${name}`))
  try {
    if (parsed.t === 'plugins') {
      const { pluginsIn, form } = parsed.args
      await print(formatPlugins(await findAll(packageRoot, pluginsIn), form), interrupted.signal)
      return 0
    }
    const { args } = parsed
    const logger = await createCliLogger(args)
    await checkDirectory(args.dir)
    const entries = await list(args, logger, interrupted.signal)
    await print(args.json ? formatJson(entries) : formatListing(entries), interrupted.signal)
    return 0
  } catch (error) {
    if (interrupted.code !== undefined) return interrupted.code
    report(error, parsed.t === 'run' ? parsed.args.logFormat : 'pretty')
    return 1
  }
}

/** The main job: the plugin lists the directory by calling back to the service that this process gives it. */
async function list(args: Arguments, logger: Logger, signal: AbortSignal): Promise<Entry[]> {
  const { dir, transport, mtls, wire, muxer } = args
  const manifest = await choosePlugin(packageRoot, args)
  // A plugin that can use one form of the stream alone is not asked for the other.
  const [stream] =
    args.stream === undefined && manifest.streams?.length === 1 ? manifest.streams : [args.stream]
  await using plugin = await launch({
    name: manifest.name,
    command: manifest.command,
    handshake: manifest.handshake,
    transport,
    ...(stream === undefined ? {} : { stream }),
    autoMtls: mtls,
    ...(wire === undefined ? {} : { wires: [wire] }),
    muxer,
    signal,
    logger
  })
  signal.addEventListener('abort', () => void plugin.kill(), { once: true })

  await using root = await openRoot(dir)
  await using hostServices = plugin.broker.accept(
    plugin.broker.nextId(),
    grantHostServices(manifest, root, logger)
  )
  logger.debug({ plugin: plugin.name, brokerId: hostServices.id }, 'host service registered')

  const lister = plugin.dispense(FileLister)
  await lister.establishHostServices({ hostService: hostServices.id }, { signal })
  const { entries } = await lister.list({ dir: '.' }, { signal })
  logger.debug({ plugin: plugin.name, entries: entries.length }, 'listed')
  await lister.disconnectHostServices({}, { signal })
  return entries
}

/** Finds out before anything is started whether the directory can be listed at all. */
async function checkDirectory(dir: string): Promise<void> {
  try {
    await access(dir, constants.R_OK)
    await (await opendir(dir)).close()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const [what, hint] = directoryProblems[code ?? ''] ?? [
      `cannot be read (${code})`,
      'Give another directory.'
    ]
    throw new PluginError('ERR_CONFIG_INVALID', `${escapeControls(dir)} ${what}`, { cause: error, hint })
  }
}

const directoryProblems: Readonly<Record<string, readonly [what: string, hint: string]>> = {
  ENOENT: ['does not exist', 'Check the spelling; a relative path starts at the working directory.'],
  ENOTDIR: ['is not a directory', 'Give the directory that the file is in.'],
  EACCES: ['may not be read by this user', 'Change its permissions, or run as a user who may read it.']
}

/** Writes to stdout and waits until it has left; a reader that has seen enough (`| head`) is no failure. */
async function print(text: string, signal: AbortSignal): Promise<void> {
  const written = new Promise<void>((resolvePrint, reject) => {
    const settle = (error?: NodeJS.ErrnoException | null): void => {
      if (!error || error.code === 'EPIPE') return resolvePrint()
      reject(
        new PluginError('ERR_CONFIG_INVALID', `the output cannot be written to stdout: ${error.message}`, {
          cause: error,
          hint: 'Look at where stdout goes: the device may be full.'
        })
      )
    }
    // Without a listener the error would be thrown as well.
    process.stdout.on('error', settle)
    process.stdout.write(text, settle)
  })
  const interruption = new Promise<never>((_resolve, reject) => {
    // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- the reason is an error
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
  await Promise.race([written, interruption])
}

/** One readable paragraph with the hint, or one JSON record. */
function report(error: unknown, logFormat: Arguments['logFormat']): void {
  if (!isPluginError(error)) throw error
  if (logFormat === 'json') {
    const record = {
      level: 'error',
      time: new Date().toISOString(),
      code: error.code,
      msg: error.message,
      hint: error.hint
    }
    process.stderr.write(`${JSON.stringify(record)}\n`)
    return
  }
  const hint = error.hint === undefined ? '' : ` ${error.hint}`
  process.stderr.write(`host: ${error.message}.${hint} (${error.code})\n`)
}
