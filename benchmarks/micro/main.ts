import { constants } from 'node:fs'
import { access, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { Command } from 'commander'
import { pick, positive } from '../args.js'
import { type Micro, micros } from './list.js'
import { formatMicros, timeMicros } from './time.js'
import { parseCommand } from '../../lib/cli/command.js'

interface Options {
  readonly only?: readonly Micro[]
  readonly json?: string
  readonly durationMs: number
}

/** Resolves with the exit code: 0 done, 1 failed, 2 wrong usage. */
async function main(argv: readonly string[]): Promise<number> {
  const width = Math.max(...micros.map(({ name }) => name.length)) + 3
  const names = micros.map(({ name, text }) => `  ${name.padEnd(width)}${text}`).join('\n')
  const command = new Command('npm run bench:micro --')
    .description('Times the busy modules alone, one operation after another. Prints a table.')
    .option('--only <name,..>', 'these operations alone', (text) => pick('operation', micros, text))
    .option('--duration-ms <ms>', 'how long each is timed', positive, 500)
    .option('--json <file>', 'write the results there too')
    .helpOption('-h, --help', 'print this help')
    .addHelpText('after', `\nOperations:\n${names}`)
    .showHelpAfterError('Run with --help for the names.')
    .allowExcessArguments(false)
    .exitOverride()
  const code = parseCommand(command, argv)
  if (code !== undefined) return code
  const { only = micros, json, durationMs } = command.opts<Options>()
  try {
    // Before the work, not after it.
    if (json !== undefined) await access(dirname(json), constants.W_OK)
    const results = await timeMicros(only, durationMs)
    process.stdout.write(formatMicros(results))
    if (json !== undefined) {
      const report = { date: new Date().toISOString(), node: process.versions.node, durationMs, results }
      await writeFile(json, `${JSON.stringify(report, undefined, 2)}\n`)
    }
    return 0
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    return 1
  }
}

process.exitCode = await main(process.argv.slice(2))
