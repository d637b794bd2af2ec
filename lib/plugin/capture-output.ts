import { Readable } from 'node:stream'

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
