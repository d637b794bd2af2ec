import { readFile } from 'node:fs/promises'
import { Command } from 'commander'
import { parseCommand } from '../lib/cli/command.js'
import { type Profile, bundleMaps, formatSummary, summariseProfile } from './profile.js'

/** Resolves with the exit code: 0 done, 1 a file that cannot be read, 2 wrong usage. */
async function main(argv: readonly string[]): Promise<number> {
  const command = new Command('npm run bench:profile --')
    .description('Says where the time of V8 CPU profiles went, such as those of npm run bench -- --profile.')
    .argument('<file.cpuprofile...>', 'profiles to read')
    .helpOption('-h, --help', 'print this help')
    .exitOverride()
  const code = parseCommand(command, argv)
  if (code !== undefined) return code
  for (const file of command.args) {
    try {
      const profile = JSON.parse(await readFile(file, 'utf8')) as Profile
      console.log(formatSummary(file, summariseProfile(profile, bundleMaps())))
    } catch (error) {
      console.error(`${file}: ${error instanceof Error ? error.message : String(error)}`)
      return 1
    }
  }
  return 0
}

process.exitCode = await main(process.argv.slice(2))
