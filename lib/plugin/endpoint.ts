import { type Transport, createStreamTransport } from '../broker/transport.js'
import type { RefDuplex } from '../duplex.js'
import { PluginError, isPluginError } from '../errors.js'
import type { ServiceBinding } from '../grpc/handler.js'
import type { PluginEnvironment } from '../handshake/env.js'
import type { HandshakeLine } from '../handshake/line.js'
import type { CreateMuxer } from '../mux/muxer.js'
import { openFd } from '../stream/fd.js'
import { openStdio } from '../stream/stdio.js'
import { captureOutput } from './capture-output.js'
import type { ResolvedServeOptions } from './options.js'

/** Where the host finds the plugin. */
export interface Endpoint {
  readonly transport: Transport
  /** How the handshake line names it. */
  readonly line: Pick<HandshakeLine, 'network' | 'address' | 'certificate' | 'multiplex'>
  /** Wires that the host takes calls on. */
  readonly peerWires: readonly string[]
  /** Services that the main server needs for it, beside those it has already. */
  services(others: readonly ServiceBinding[]): readonly ServiceBinding[]
  /** Whether a host is connected now. */
  readonly connected: boolean
  /** Sends the handshake line, with its newline, to the host. Rejects when the host is gone. */
  announce(line: string): Promise<void>
  /** Lets those go who wait for more: the servers are about to close. */
  end(): void
}

/** What an endpoint is opened with. */
export interface EndpointSetup {
  readonly environment: PluginEnvironment
  readonly options: ResolvedServeOptions
  readonly createMuxer: CreateMuxer
}

/**
 * The endpoint that the host asks for: its stream, or a socket where it has set none.
 * @throws `ERR_HANDSHAKE_TRANSPORT`, `ERR_SECURITY_CERTIFICATE`, `ERR_SOCKET_LISTEN`, `ERR_CONFIG_INVALID`: the plugin
 * cannot work with this host
 */
export async function openEndpoint(setup: EndpointSetup): Promise<Endpoint> {
  const { environment, options } = setup
  const { stream, badStream } = environment
  if (badStream !== undefined) {
    const shown = JSON.stringify(badStream.slice(0, 100))
    throw new PluginError(
      'ERR_HANDSHAKE_TRANSPORT',
      `the host offers a stream that this plugin does not know: ${shown}`,
      { hint: 'Use the same release of this package in host and plugin.' }
    )
  }
  if (stream === undefined) return openSocket(setup)
  try {
    return openStreamEndpoint(stream, setup)
  } catch (error) {
    // A launcher between the two has dropped the descriptor. Such a host reads standard output as well.
    const fallback = stream.kind === 'fd' && environment.multiplex === true
    if (!fallback || !isPluginError(error, 'ERR_HANDSHAKE_TRANSPORT')) throw error
    options.logger.warn({ err: error }, 'the stream cannot be used: answering on a socket')
    return openSocket(setup)
  }
}

function openStreamEndpoint(
  stream: NonNullable<PluginEnvironment['stream']>,
  { environment, options, createMuxer }: EndpointSetup
): Endpoint {
  const opened: RefDuplex = stream.kind === 'fd' ? openFd(stream.fd) : openStdio()
  const transport = createStreamTransport('server', options)
  // Reads from now on, so that a host which is gone is noticed whatever happens next. Nothing is sent before the line,
  // because nothing can be dialled and the host does not know of us.
  transport.start(opened, createMuxer)
  return {
    transport,
    peerWires: environment.wires,
    line: { network: stream.kind, address: stream.kind === 'fd' ? String(stream.fd) : '-' },
    services: () => [],
    connected: true,
    announce(line) {
      opened.write(line)
      return Promise.resolve()
    },
    end() {}
  }
}

/** Loaded here: a plugin on a stream needs none of it. */
async function openSocket(setup: EndpointSetup): Promise<Endpoint> {
  const { openSocketEndpoint } = await import('./socket-endpoint.js')
  return openSocketEndpoint(setup, captureOutput)
}
