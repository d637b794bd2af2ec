import { type ErrorFacts, PluginError, isPluginError } from '../errors.js'
import type { HandshakeLine } from '../handshake/line.js'
import type { TransportKind } from '../broker/transport.js'
import { type Exit, describeExit } from '../process/spawn.js'
import type { PluginLog } from './plugin-log.js'

/** Which plugin an error is about, and what it wrote to stderr. */
export interface PluginFacts {
  readonly name: string
  readonly pid: number
  readonly log: PluginLog
}

function facts(plugin: PluginFacts, more: ErrorFacts): ErrorFacts {
  return { plugin: plugin.name, pid: plugin.pid, stderrTail: [...(plugin.log.tail ?? [])], ...more }
}

/** The last stderr lines as they stand at the end of a message. */
function quoteTail(plugin: PluginFacts, lines = 3): string {
  if (plugin.log.tail === undefined) return ''
  const last = plugin.log.tail.filter((line) => line.trim() !== '').slice(-lines)
  if (last.length === 0) return '; it wrote nothing to stderr'
  return `; last on stderr: ${last.map((line) => JSON.stringify(line)).join(' ')}`
}

/** The process ended after the handshake, and nobody had asked it to. */
export function pluginExited(plugin: PluginFacts, exit: Exit): PluginError {
  const message = `plugin ${plugin.name} (pid ${plugin.pid}) ${describeExit(exit)}${quoteTail(plugin)}`
  return new PluginError(
    'ERR_PROCESS_EXITED',
    message,
    facts(plugin, {
      exitCode: exit.code,
      signal: exit.signal,
      hint: 'Look at its last lines on stderr, then launch it again: nothing reconnects a plugin by itself.'
    })
  )
}

/** The host itself closed or killed the plugin. */
export function pluginClosed(plugin: PluginFacts, how: 'closed' | 'killed'): PluginError {
  return new PluginError(
    'ERR_STREAM_CLOSED',
    `plugin ${plugin.name} (pid ${plugin.pid}) was ${how} by the host`,
    {
      plugin: plugin.name,
      pid: plugin.pid,
      hint: 'Finish calls before closing the plugin, or launch it again.'
    }
  )
}

/** The transport ended though the process still ran. */
export function transportLost(
  plugin: PluginFacts,
  kind: TransportKind,
  cause: Error | undefined
): PluginError {
  const why = cause === undefined ? 'the plugin ended it' : cause.message
  const what = kind === 'stream' ? 'stream' : 'connection'
  return new PluginError(
    isPluginError(cause, 'ERR_SESSION_PROTOCOL') ? cause.code : 'ERR_STREAM_CLOSED',
    `the ${what} to plugin ${plugin.name} (pid ${plugin.pid}) was lost while its process still ran: ${why}${quoteTail(plugin)}`,
    facts(plugin, {
      cause,
      hint:
        kind === 'stream'
          ? 'Something closed or wrote to the descriptor that carries the stream.'
          : "Look at the plugin's log: its server has stopped, or its main thread is stuck."
    })
  )
}

/** The plugin has answered, but its socket does not work. */
export function notConnected(plugin: PluginFacts, address: string, cause: PluginError): PluginError {
  // The reason of a lost connection has the last lines in it already.
  const quoted = isPluginError(cause.cause) && cause.cause.stderrTail !== undefined
  return new PluginError(
    'ERR_SOCKET_CONNECT',
    `plugin ${plugin.name} (pid ${plugin.pid}) cannot be reached at ${address}: ${cause.message}${quoted ? '' : quoteTail(plugin)}`,
    facts(plugin, {
      cause,
      hint: 'Check that the plugin serves gRPC there, with TLS exactly where the host has autoMtls.'
    })
  )
}

export function wrongCertificate(plugin: PluginFacts, what: string, hint: string): PluginError {
  return new PluginError(
    'ERR_SECURITY_CERTIFICATE',
    `plugin ${plugin.name} (pid ${plugin.pid}) ${what}`,
    facts(plugin, { hint })
  )
}

/** The process ended before its handshake. What it complained about itself says more than its exit code. */
export function exitedBeforeHandshake(plugin: PluginFacts, exit: Exit, junk: readonly string[]): PluginError {
  const { complaint } = plugin.log
  const exitFacts = { exitCode: exit.code, signal: exit.signal }
  if (complaint !== undefined && exit.code === 1) {
    return new PluginError(
      complaint.code,
      `plugin ${plugin.name} (pid ${plugin.pid}) refused to start: ${complaint.message}`,
      facts(plugin, { ...exitFacts, ...(complaint.hint === undefined ? {} : { hint: complaint.hint }) })
    )
  }
  const printed = junk.length === 0 ? '' : `; it printed ${quoteJunk(junk)}`
  return new PluginError(
    'ERR_PROCESS_EXITED',
    `plugin ${plugin.name} (pid ${plugin.pid}) ${describeExit(exit)} before its handshake${printed}${quoteTail(plugin)}`,
    facts(plugin, {
      ...exitFacts,
      hint:
        'Run the command by hand to see what it prints, and check that cookieKey and cookieValue are those of the ' +
        'plugin: it should explain itself and exit with code 1.'
    })
  )
}

/** The stream ended without a handshake, and the process stayed. */
export function endedBeforeHandshake(plugin: PluginFacts, junk: readonly string[]): PluginError {
  const printed = junk.length === 0 ? '' : `; it printed ${quoteJunk(junk)}`
  return new PluginError(
    'ERR_HANDSHAKE_MALFORMED',
    `plugin ${plugin.name} (pid ${plugin.pid}) gave no handshake before it closed its output${printed}${quoteTail(plugin)}`,
    facts(plugin, { hint: 'Check that the program is a plugin and calls serve().' })
  )
}

export function handshakeTimeout(
  plugin: PluginFacts,
  waitedMs: number,
  junk: readonly string[]
): PluginError {
  const printed = junk.length === 0 ? '' : `; so far it printed ${quoteJunk(junk)}`
  return new PluginError(
    'ERR_HANDSHAKE_TIMEOUT',
    `plugin ${plugin.name} (pid ${plugin.pid}) gave no handshake within ${waitedMs} ms${printed}${quoteTail(plugin)}`,
    facts(plugin, {
      hint: 'Check that the program is a plugin and calls serve() early; raise startTimeoutMs if it needs longer.'
    })
  )
}

export function junkInsteadOfHandshake(plugin: PluginFacts, junk: readonly string[]): PluginError {
  return new PluginError(
    'ERR_HANDSHAKE_MALFORMED',
    `plugin ${plugin.name} (pid ${plugin.pid}) sent something else instead of its handshake: ${quoteJunk(junk)}`,
    facts(plugin, {
      hint:
        'Check that the program is a plugin, and that nothing prints to stdout ahead of it: ' +
        'import muxplug/plugin first.'
    })
  )
}

export function malformedHandshake(plugin: PluginFacts, reason: string): PluginError {
  return new PluginError(
    'ERR_HANDSHAKE_MALFORMED',
    `the handshake of plugin ${plugin.name} (pid ${plugin.pid}) cannot be understood: ${reason}`,
    facts(plugin, { hint: 'Rebuild the plugin with a current release of this package.' })
  )
}

export function versionMismatch(
  plugin: PluginFacts,
  host: readonly number[],
  line: HandshakeLine
): PluginError {
  const { complaint } = plugin.log
  const listed = complaint?.code === 'ERR_HANDSHAKE_VERSION' ? complaint.fields['versions'] : undefined
  const known = Array.isArray(listed) && listed.length <= 100 && listed.every(Number.isSafeInteger)
  const theirs = known ? listed.join(', ') : String(line.appVersion)
  return new PluginError(
    'ERR_HANDSHAKE_VERSION',
    `plugin ${plugin.name} speaks protocol version ${theirs} of the application, the host ${host.join(', ')}: ` +
      'they have none in common',
    facts(plugin, {
      hint: 'Update the older of the two, or list more versions in the host or in the plugin.'
    })
  )
}

export function wrongTransport(plugin: PluginFacts, what: string, hint: string): PluginError {
  return new PluginError(
    'ERR_HANDSHAKE_TRANSPORT',
    `plugin ${plugin.name} (pid ${plugin.pid}) ${what}`,
    facts(plugin, { hint })
  )
}

/** Quotes what came instead of the handshake, bounded: it may be anything. */
function quoteJunk(junk: readonly string[]): string {
  const shown = junk
    .slice(0, 5)
    .map((line) => JSON.stringify(line.length > 200 ? `${line.slice(0, 200)}...` : line))
  const rest = junk.length - shown.length
  return shown.join(' ') + (rest > 0 ? ` and ${rest} more lines` : '')
}
