import { writeSync } from 'node:fs'
import { Readable } from 'node:stream'
import type { StdioChannel, StdioOutput } from '../services/stdio.js'

/**
 * Keeps user code off a stream that is made of the plugin's own stdin and stdout. `process.stdout`, and with it `console`,
 * is pointed at stderr: what user code prints ends up in the host's log. `process.stdin` becomes an empty stream: Node
 * itself opens the real one when something imports `node:process`. Runs when `muxplug/plugin` is imported, so import
 * that first; what was printed earlier reaches the host ahead of the handshake, is logged there and skipped. Prints
 * that bypass Node (native code, child processes with inherited stdout) cannot be caught here: use the stream `fd` for
 * plugins that need them.
 */
export function guardStdio(): void {
  const { stdout, stderr } = process
  // A console that has already printed keeps the old object, so that has to be turned too.
  stdout.write = stderr.write.bind(stderr)
  replace('stdout', stderr)
  replace('stdin', Readable.from([]))
}

function replace(name: 'stdin' | 'stdout', stream: NodeJS.ReadableStream | NodeJS.WritableStream): void {
  Object.defineProperty(process, name, { configurable: true, enumerable: true, get: () => stream })
}

/** A host that is gone must not turn the next print into a crash: the end of the stream ends the plugin in order. */
export function tolerateLostHost(): void {
  for (const output of new Set([process.stdout, process.stderr])) output.on('error', ignore)
}

function ignore(): void {}

/** The write functions of a process whose prints go elsewhere. */
interface RealOutput {
  readonly stdout: NodeJS.WriteStream['write']
  readonly stderr: NodeJS.WriteStream['write']
}

let real: RealOutput | undefined

/**
 * From now on what this process prints, by `console` or by `process.stdout` and `process.stderr`, goes to the host through
 * go-plugin's `plugin.GRPCStdio`: standard output belongs to the handshake and nobody reads it afterwards, and standard
 * error to the log. What is written to descriptors 1 and 2 past Node goes there still. When the process ends, what the
 * host has not fetched is written to standard error: it may be the reason.
 */
export function captureOutput(output: StdioOutput): void {
  const { stdout, stderr } = process
  real = { stdout: stdout.write.bind(stdout), stderr: stderr.write.bind(stderr) }
  redirect(stdout, 'stdout', output)
  redirect(stderr, 'stderr', output)
  process.on('uncaughtExceptionMonitor', (error) => {
    // Go's hosts take everything after such a line for errors, the stack that Node prints among it.
    writeLast(`panic: ${error instanceof Error ? error.message : String(error)}\n`)
  })
  process.on('exit', () => writeLast(output.takeRest().subarray(-lastBytes)))
}

/** How much of the last prints is written in the end: less than a pipe holds, because nobody may read it any more. */
const lastBytes = 32_768

function redirect(stream: NodeJS.WriteStream, channel: StdioChannel, output: StdioOutput): void {
  type Callback = (error?: Error | null) => void
  stream.write = (chunk: Uint8Array | string, encoding?: BufferEncoding | Callback, callback?: Callback) => {
    const [named, done] = typeof encoding === 'function' ? [undefined, encoding] : [encoding, callback]
    const goOn = output.write(channel, typeof chunk === 'string' ? Buffer.from(chunk, named) : chunk)
    if (done !== undefined) process.nextTick(done)
    return goOn
  }
}

function writeLast(text: string | Uint8Array): void {
  try {
    if (text.length > 0) writeSync(2, typeof text === 'string' ? Buffer.from(text) : text)
  } catch {
    // The host is gone, or does not read.
  }
}

/** Tells those that write as fast as they may, such as pipes, to go on. */
export function resumeOutput(): void {
  process.stdout.emit('drain')
  process.stderr.emit('drain')
}

/** Writes to the standard output that the process was started with. Rejects when nobody can read it any more. */
export function writeStdout(text: string): Promise<void> {
  const write = real?.stdout ?? process.stdout.write.bind(process.stdout)
  return new Promise((resolve, reject) => {
    write(text, (error) => {
      if (error) reject(error)
      else resolve()
    })
  })
}

/** Writes to the standard error that the process was started with: the log. */
export function writeLog(text: string): void {
  const write = real?.stderr ?? process.stderr.write.bind(process.stderr)
  write(text)
}
