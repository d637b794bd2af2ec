import { createStreamTransport } from '../broker/transport.js'
import { hostVariables } from '../handshake/env.js'
import type { HandshakeLine } from '../handshake/line.js'
import { type LogFields, childLogger } from '../log.js'
import { isPluginError } from '../errors.js'
import { loadEngine } from '../mux/engines.js'
import type { CreateMuxer } from '../mux/muxer.js'
import { findProgram } from '../process/diagnose.js'
import { pluginEnvironment } from '../process/environment.js'
import { type ChildProcessHandle, spawnProcess } from '../process/spawn.js'
import { type Certificate, createCertificate, parseCertificate, tlsOptions } from '../security/certificate.js'
import { chooseWire } from '../grpc/wire.js'
import { verifyFile } from '../security/checksum.js'
import { settlesWithin } from '../signal.js'
import { atExit } from '../at-exit.js'
import { createSocketDir } from '../stream/socket-dir.js'
import { removeStaleSocket, sweepSockets } from '../stream/socket-sweep.js'
import { checkConnection, onOneSocket, onSockets } from './connect.js'
import type { PluginFacts } from './errors.js'
import { handshake, isOnStream } from './handshake.js'
import { type LaunchOptions, type ResolvedLaunchOptions, resolveLaunchOptions } from './options.js'
import { type Plugin, createPlugin } from './plugin.js'
import { capturePluginOutput } from './plugin-log.js'
import { reattachConfig } from '../handshake/reattach.js'

/**
 * Starts a plugin as a child process and connects to it.
 *
 *     starting --> ready --> closing --> closed
 *        |           |                      ^
 *        v           `----------------------' the process ended, or kill()
 *     failed
 *
 * The plugin does not keep the host's event loop alive while no call is in flight; when the host ends, however it ends,
 * the plugin ends too. (One of go-plugin on transport `socket` does not notice that a signal ended its host.)
 * @throws `ERR_CONFIG_*` and `ERR_SECURITY_CHECKSUM` before anything is started; `ERR_PROCESS_SPAWN`,
 * `ERR_PROCESS_EXITED`, `ERR_HANDSHAKE_*`, `ERR_SECURITY_CERTIFICATE`, `ERR_SOCKET_CONNECT` with nothing left behind; the
 * signal's reason
 */
export async function launch(launchOptions: LaunchOptions): Promise<Plugin> {
  const options = resolveLaunchOptions(launchOptions)
  const { signal, transport } = options
  signal?.throwIfAborted()
  const [program, ...args] = options.command
  options.logger.debug({ plugin: options.name, path: program, args }, 'starting plugin')
  // The engine loads while the child starts.
  const loading = loadEngine(options.muxer)
  loading.catch(() => {})
  const certificate =
    options.autoMtls && transport !== 'stream' ? await createCertificate({ curve: options.curve }) : undefined
  const sockets = transport === 'stream' ? undefined : await openSockets(options)
  let child: ChildProcessHandle
  try {
    child = await spawnPlugin(options, certificate, sockets?.path)
  } catch (error) {
    sockets?.remove()
    throw error
  }
  // A program that is no plugin does not notice the end of its host, nor does one of go-plugin on sockets of its own.
  const leave = atExit(() => child.kill('SIGKILL', { group: true }))
  const logger = childLogger(options.logger, { plugin: options.name, pid: child.pid })
  logger.debug({}, 'plugin started')
  const facts: PluginFacts = {
    name: options.name,
    pid: child.pid,
    log: capturePluginOutput(child, logger, options.onOutput)
  }
  let line: HandshakeLine | undefined
  try {
    line = await handshake(child, facts, options)
    logger.debug(handshakeFields(line), 'handshake')
    const createMuxer = await loading
    signal?.throwIfAborted()
    facts.log.passOn(isOnStream(line))
    if (!isOnStream(line)) {
      return await connectSockets({ child, facts, line, createMuxer, certificate, sockets, leave, options })
    }
    leave()
    sockets?.remove()
    return connectStream(child, facts, line, createMuxer, options)
  } catch (error) {
    child.kill('SIGKILL', { group: true })
    child.stream?.destroy()
    // A process that may not be signalled (sudo) ends with its stream, if it is a plugin at all.
    await settlesWithin(child.exited, 5000)
    leave()
    await releaseSockets(sockets, line)
    throw error
  }
}

/** What the log says of it: a certificate would only fill the screen. */
function handshakeFields(line: HandshakeLine): LogFields {
  const { network, address, appVersion: version, multiplex, wires } = line
  if (isOnStream(line)) return { stream: network, wires, version }
  return { network, address, multiplexed: multiplex === true, mtls: line.certificate !== undefined, version }
}

/** Starts the process, once it is known to be the one that is meant. */
async function spawnPlugin(
  options: ResolvedLaunchOptions,
  certificate: Certificate | undefined,
  socketDir: string | undefined
): Promise<ChildProcessHandle> {
  const { command, cwd, checksum, transport, signal } = options
  const usesSockets = transport !== 'stream'
  const stream = transport === 'auto' || transport === 'stream' ? options.stream : undefined
  const env = pluginEnvironment({
    from: process.env,
    inherit: options.inheritEnv,
    own: options.env,
    protocol: hostVariables({
      ...options.handshake,
      versions: [...options.versions.keys()],
      stream,
      wires: options.wires,
      ...(usesSockets && {
        ports: options.ports,
        multiplex: transport !== 'socket',
        clientCertificate: certificate?.certPem,
        socketDir,
        socketGroup: options.socketGroup
      })
    })
  })
  if (checksum !== undefined) {
    const file = checksum.file ?? findProgram({ command, cwd, env }) ?? command[0]
    await verifyFile(file, checksum, signal === undefined ? {} : { signal })
  }
  return spawnProcess({ command, cwd, env, stream: stream ?? 'none', stdin: options.stdin })
}

function connectStream(
  child: ChildProcessHandle,
  facts: PluginFacts,
  line: HandshakeLine,
  createMuxer: CreateMuxer,
  options: ResolvedLaunchOptions
): Plugin {
  const { plugin } = createPlugin({
    facts,
    process: child,
    version: line.appVersion,
    wire: chooseWire(options.wires, line.wires) ?? 'h2',
    connect: () => {
      const transport = createStreamTransport('client', options)
      // The handshake has come on it.
      transport.start(child.stream!, createMuxer)
      return transport
    },
    options,
    reattachConfig: undefined
  })
  return plugin
}

interface SocketPlugin {
  readonly child: ChildProcessHandle
  readonly facts: PluginFacts
  readonly line: HandshakeLine
  readonly createMuxer: CreateMuxer
  readonly certificate: Certificate | undefined
  readonly sockets: Sockets | undefined
  /** The process is no longer killed at this one's exit. */
  readonly leave: () => void
  readonly options: ResolvedLaunchOptions
}

async function connectSockets(started: SocketPlugin): Promise<Plugin> {
  const { child, facts, line, createMuxer, certificate, sockets, leave, options } = started
  const { network, address, appVersion } = line
  const main = { network: network === 'tcp' ? 'tcp' : 'unix', address } as const
  const tls =
    certificate === undefined ? undefined : tlsOptions(certificate, parseCertificate(line.certificate ?? '')!)
  const place = { main, tls, peerGone: child.exited, dir: sockets?.path, options }
  keepReading(child, facts)
  // A plugin that nobody asked for it does without, whatever it says.
  const multiplexed = line.multiplex === true && options.transport !== 'socket'
  const connect = multiplexed
    ? await onOneSocket(place, facts, createMuxer, options.signal)
    : onSockets(place)
  if (options.outlive) leave()
  const connected = createPlugin({
    facts,
    process: child,
    version: appVersion,
    wire: 'h2',
    connect,
    options,
    reattachConfig:
      multiplexed || tls !== undefined ? undefined : reattachConfig(child.pid, appVersion, main),
    release: async () => {
      leave()
      await releaseSockets(sockets, line)
    }
  })
  try {
    await checkConnection(connected, facts, main, {
      timeoutMs: options.startTimeoutMs,
      signal: options.signal
    })
  } catch (error) {
    await connected.plugin.kill()
    throw error
  }
  return connected.plugin
}

/** A stream that the plugin does not use: its standard output, which somebody has to read, or a spare descriptor. */
function keepReading(child: ChildProcessHandle, { log }: PluginFacts): void {
  if (child.stream === undefined) return
  if (child.stdout !== undefined) return void child.stream.destroy()
  child.stream.on('data', (bytes: Buffer) => log.take('stdout', bytes))
  // Calls in flight are on the sockets.
  child.stream.unref()
}

/** Where this plugin's unix sockets are: a directory of its own, unless the caller has named one. */
interface Sockets {
  readonly path: string
  remove(): unknown
}

let swept: Promise<unknown> | undefined

async function openSockets(options: ResolvedLaunchOptions): Promise<Sockets | undefined> {
  if (process.platform === 'win32') return undefined
  const { transport, socketDir, socketGroup, outlive } = options
  // What killed hosts have left, once for each process; nobody waits for it.
  swept ??= sweepSockets(socketDir)
  if (socketDir !== undefined) return { path: socketDir, remove: () => {} }
  if (outlive) return undefined
  try {
    return await createSocketDir({ group: socketGroup })
  } catch (error) {
    // A plugin on the stream needs none.
    if (transport !== 'auto' || !isPluginError(error, 'ERR_SOCKET_LISTEN')) throw error
    options.logger.debug({ plugin: options.name, err: error }, 'no directory for sockets: doing without')
    return undefined
  }
}

/** Removes what the plugin may have left of its sockets; go-plugin's own leave theirs when they are killed. */
async function releaseSockets(sockets: Sockets | undefined, line: HandshakeLine | undefined): Promise<void> {
  if (line?.network === 'unix') await removeStaleSocket(line.address)
  sockets?.remove()
}
