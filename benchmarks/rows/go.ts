import { execFile, spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const packageRoot = dirname(fileURLToPath(import.meta.resolve('muxplug/package.json')))
const source = join(packageRoot, 'benchmarks/go')
const programs = join(packageRoot, 'dist/benchmarks/go')

/** The host of the rows with Go on both ends. */
export function goHost(flags: readonly string[]): [string, ...string[]] {
  const paths = ['-plugin', join(programs, 'plugin'), '-node', process.execPath]
  return [join(programs, 'host'), ...paths, ...flags]
}

let building: Promise<string | undefined> | undefined

/** Builds both programs, once. Returns why that cannot be done, or nothing. */
export function buildGo(signal: AbortSignal): Promise<string | undefined> {
  building ??= build(signal)
  return building
}

async function build(signal: AbortSignal): Promise<string | undefined> {
  const child = spawn('go', ['build', '-o', `${programs}/`, './host', './plugin'], {
    cwd: source,
    stdio: ['ignore', 'ignore', 'pipe'],
    signal,
    // It removes its temporary files then.
    killSignal: 'SIGINT'
  })
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject).once('close', resolve)
  })
  try {
    const [code, stderr] = await Promise.all([ended, text(child.stderr)])
    return code === 0 ? undefined : `go build has failed: ${stderr.trim().slice(0, 300)}`
  } catch (error) {
    signal.throwIfAborted()
    const { code } = error as NodeJS.ErrnoException
    return code === 'ENOENT' ? 'Go is not installed (there is no `go` in PATH)' : `go build: ${code}`
  }
}

/** What the programs are made with: Go, go-plugin and grpc-go. */
export async function goVersions(): Promise<Record<string, string>> {
  const { stdout } = await promisify(execFile)('go', ['env', 'GOVERSION'], { cwd: source })
  const versions: Record<string, string> = { go: stdout.trim().replace(/^go/, '') }
  const modules = await readFile(join(source, 'go.mod'), 'utf8')
  for (const name of ['github.com/hashicorp/go-plugin', 'google.golang.org/grpc']) {
    const version = modules.split('\n').find((line) => line.trim().startsWith(`${name} v`))
    if (version !== undefined) versions[name] = version.trim().slice(name.length + 2)
  }
  return versions
}
