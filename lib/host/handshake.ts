import type { Readable } from 'node:stream'
import { chooseWire } from '../grpc/wire.js'
import { type HandshakeLine, type ParsedLine, parseLine } from '../handshake/line.js'
import type { ChildProcessHandle } from '../process/spawn.js'
import { settlesWithin, waitFor } from '../signal.js'
import { type FirstLine, readFirstLine } from '../stream/first-line.js'
import {
  type PluginFacts,
  endedBeforeHandshake,
  exitedBeforeHandshake,
  handshakeTimeout,
  junkInsteadOfHandshake,
  malformedHandshake,
  versionMismatch,
  wrongCertificate,
  wrongTransport
} from './errors.js'
import type { ResolvedLaunchOptions } from './options.js'

/**
 * Waits for the handshake line, on the stream or on stdout, and checks all that it says. The process may be left running
 * when this rejects.
 */
export async function handshake(
  child: ChildProcessHandle,
  plugin: PluginFacts,
  options: ResolvedLaunchOptions
): Promise<HandshakeLine> {
  const { startTimeoutMs, signal, logger } = options
  const { stream, stdout } = child
  const junk: string[] = []
  const soFar = (): readonly string[] => [...junk, ...plugin.log.junk]
  const parse = (text: string): ParsedLine | undefined => {
    const parsed = parseLine(text)
    if (parsed === undefined) junk.push(text)
    return parsed
  }
  const settled = new AbortController()
  const onStdout = plugin.log.handshake

  async function onStream(from: Readable): Promise<FirstLine<ParsedLine>> {
    const first = await readFirstLine(from, { parse, signal: settled.signal })
    // A launcher may have dropped the descriptor that a plugin of go-plugin does not know anyway.
    return first.t === 'end' && options.transport === 'auto' && stdout !== undefined ? onStdout : first
  }

  /** Where the line may come on the stream, stdout is free for other things. */
  async function onlyALine(): Promise<FirstLine<ParsedLine>> {
    const first = await onStdout
    return first.t === 'line' ? first : new Promise<never>(() => {})
  }

  const reading = stream === undefined ? onStdout : Promise.race([onStream(stream), onlyALine()])
  // The process may be gone while something it started still holds the stream open.
  const exited = child.exited.then(async (exit) => {
    if (await settlesWithin(reading, 500)) return reading
    throw exitedBeforeHandshake(plugin, exit, soFar())
  })
  const first: FirstLine<ParsedLine> = await waitFor(Promise.race([reading, exited]), {
    signal,
    timeoutMs: startTimeoutMs,
    onTimeout: () => handshakeTimeout(plugin, startTimeoutMs, soFar())
  }).finally(() => settled.abort())
  if (first.junk.length > 0) {
    const lines = first.junk.slice(0, 20)
    const { name, pid } = plugin
    logger.debug({ plugin: name, pid, lines, count: first.junk.length }, 'skipped before the handshake')
  }
  switch (first.t) {
    case 'line':
      return checkLine(first.value, child, plugin, options)
    case 'overflow':
      throw junkInsteadOfHandshake(plugin, first.junk)
    case 'end': {
      // The end of the stream is seen before the end of the process; a plugin that goes tells why on stderr.
      if (await settlesWithin(child.exited, 2000)) {
        throw exitedBeforeHandshake(plugin, await child.exited, first.junk)
      }
      throw endedBeforeHandshake(plugin, first.junk)
    }
  }
}

async function checkLine(
  parsed: ParsedLine,
  child: ChildProcessHandle,
  plugin: PluginFacts,
  options: ResolvedLaunchOptions
): Promise<HandshakeLine> {
  if ('malformed' in parsed) throw malformedHandshake(plugin, parsed.malformed)
  const line = parsed.ok
  checkNetwork(line, plugin, options)
  if (line.protocol !== 'grpc') {
    throw wrongTransport(plugin, `speaks ${line.protocol}, not gRPC`, 'Only gRPC plugins can be launched.')
  }
  if (!options.versions.has(line.appVersion)) {
    // The plugin has said on stderr which versions it knows: let that arrive before the process is stopped.
    child.stream?.destroy()
    if (!(await settlesWithin(child.exited, 1000))) child.kill('SIGKILL', { group: true })
    await child.exited
    throw versionMismatch(plugin, [...options.versions.keys()], line)
  }
  if (isOnStream(line)) checkWires(line, plugin, options)
  else checkSocket(line, plugin, options)
  return line
}

/** Whether the plugin has answered on our stream; otherwise it speaks go-plugin's own protocol. */
export function isOnStream(line: HandshakeLine): boolean {
  return line.network === 'fd' || line.network === 'stdio'
}

function checkNetwork(line: HandshakeLine, plugin: PluginFacts, options: ResolvedLaunchOptions): void {
  const { transport, stream } = options
  if (isOnStream(line) && line.network !== stream) {
    throw wrongTransport(
      plugin,
      `answered with network "${line.network}" where the stream is ${stream}`,
      'Launch it with that form of the stream, or leave the choice to the plugin.'
    )
  }
  if (!isOnStream(line) && transport === 'stream') {
    throw wrongTransport(
      plugin,
      `answered on stdout with network "${line.network}": it does not know the stream`,
      "It speaks go-plugin's own protocol: launch it with transport 'auto', or build it with this package."
    )
  }
  if (isOnStream(line) && transport !== 'auto' && transport !== 'stream') {
    throw wrongTransport(
      plugin,
      `answered with network "${line.network}", not with a socket`,
      "Use transport 'auto'."
    )
  }
}

function checkWires(line: HandshakeLine, plugin: PluginFacts, options: ResolvedLaunchOptions): void {
  if (chooseWire(options.wires, line.wires) !== undefined) return
  throw wrongTransport(
    plugin,
    `offers the wires ${line.wires.join(', ') || '(none)'}, the host ${options.wires.join(', ')}`,
    'Update the older of the two ends, or allow more wires in the host.'
  )
}

function checkSocket(line: HandshakeLine, plugin: PluginFacts, options: ResolvedLaunchOptions): void {
  if (options.transport === 'socket-mux' && line.multiplex !== true) {
    throw wrongTransport(
      plugin,
      'does not offer to carry all on one socket',
      "Build it with go-plugin 1.6 or newer, or launch it with transport 'auto' or 'socket'."
    )
  }
  if (options.autoMtls && line.certificate === undefined) {
    throw wrongCertificate(
      plugin,
      'answered without a certificate where the host asks for mutual TLS',
      'Leave autoMtls out for plugins that do not support it.'
    )
  }
  if (!options.autoMtls && line.certificate !== undefined) {
    throw wrongCertificate(
      plugin,
      'answered with a certificate that nobody asked for',
      'Launch it with autoMtls: true; or look where it got the certificate of another host from.'
    )
  }
}
