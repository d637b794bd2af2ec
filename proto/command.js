/** The command `muxplug-proto`: writes code beside .proto files. */
import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Command, CommanderError } from 'commander'

/** Resolves with the exit code: 0 done, 1 a file that is wrong or not up to date, 2 wrong usage. */
export async function main(argv) {
  const command = new Command('muxplug-proto')
    .description('Writes a .js and a .d.ts with messages, types and services beside each .proto file.')
    .argument('<file or folder...>', '.proto files, and folders with some at any depth')
    .option('-I, --proto-path <folder>', 'where imports are looked up, and what files are named from', '.')
    .option('--check', 'write nothing; exit with 1 and name the files that are not up to date', false)
    .helpOption('-h, --help', 'print this help')
    .exitOverride()
  try {
    command.parse(argv, { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    throw error
  }
  const { protoPath, check } = command.opts()
  const start = process.cwd()
  try {
    const protos = find(command.args, protoPath)
    const { generate } = await loadGenerator()
    process.chdir(protoPath)
    const stale = []
    for (const proto of protos) stale.push(...(await update(generate, proto, check)))
    for (const file of stale) {
      const named = path.relative(start, file)
      console.log(`${check ? 'not up to date' : 'wrote'}: ${named}`)
    }
    return check && stale.length > 0 ? 1 : 0
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    console.error(`muxplug-proto: ${error.message}`)
    return 1
  } finally {
    process.chdir(start)
  }
}

/** What is wrong with a file, for people to read. */
class Failure extends Error {}

/** The .proto files asked for, by their paths from `protoPath`. */
function find(args, protoPath) {
  if (!statSync(protoPath, { throwIfNoEntry: false })?.isDirectory()) {
    throw new Failure(`${protoPath} is no folder: give one with -I`)
  }
  const found = new Set()
  for (const arg of args) {
    const stats = statSync(arg, { throwIfNoEntry: false })
    if (stats === undefined) throw new Failure(`${arg} is not there`)
    const files = stats.isDirectory() ? protosIn(arg) : [arg]
    if (files.length === 0) throw new Failure(`there is no .proto file in ${arg}`)
    for (const file of files) {
      if (!file.endsWith('.proto')) throw new Failure(`${file} is no .proto file`)
      const name = path.relative(protoPath, file).replaceAll(path.sep, '/')
      if (name.startsWith('../')) throw new Failure(`${file} is not in ${protoPath}: give its folder with -I`)
      found.add(name)
    }
  }
  return [...found].sort()
}

function protosIn(folder) {
  return readdirSync(folder, { recursive: true })
    .filter((name) => name.endsWith('.proto') && !name.split(path.sep).includes('node_modules'))
    .map((name) => path.join(folder, name))
}

/** protobufjs-cli is many times as large as this package, and nobody needs it at run time: see docs/adr/0005-dependencies.md. */
async function loadGenerator() {
  try {
    return await import('./generate.js')
  } catch (error) {
    if (error.code !== 'ERR_MODULE_NOT_FOUND' || !error.message.includes('protobufjs-cli')) throw error
    throw new Failure('protobufjs-cli is needed beside it: npm install --save-dev protobufjs-cli')
  }
}

/** The files that were, or would be, written for one .proto: absolute paths. */
async function update(generate, proto, check) {
  let generated
  try {
    generated = await generate(proto)
  } catch (error) {
    const missing = error.code === 'ENOENT' ? `${error.path} cannot be found: imports are looked up from -I` : undefined
    const message = missing ?? error.message
    throw new Failure(message.includes(proto) ? message : `${proto}: ${message}`, { cause: error })
  }
  const stale = generated.filter(([file, content]) => currentContent(file) !== content)
  if (!check) for (const [file, content] of stale) writeFileSync(file, content)
  return stale.map(([file]) => path.resolve(file))
}

function currentContent(file) {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (error.code === 'ENOENT') return undefined
    throw error
  }
}
