import type { Socket } from 'node:net'
import {
  type SessionTransport,
  type SocketTransport,
  type Transport,
  createMuxTransport,
  createSocketTransport,
  createStreamTransport
} from '../broker/transport.js'
import type { RefDuplex } from '../duplex.js'
import { PluginError, isPluginError } from '../errors.js'
import type { ServiceBinding } from '../grpc/handler.js'
import type { PluginEnvironment } from '../handshake/env.js'
import type { HandshakeLine } from '../handshake/line.js'
import type { CreateMuxer } from '../mux/muxer.js'
import {
  type Certificate,
  createCertificate,
  formatCertificate,
  tlsOptions
} from '../security/certificate.js'
import { brokerStreamService } from '../services/broker-stream.js'
import { type StdioOutput, createStdioOutput, stdioService } from '../services/stdio.js'
import { openFd } from '../stream/fd.js'
import { type SocketListener, listenSocket } from '../stream/socket.js'
import { sweepSockets } from '../stream/socket-sweep.js'
import { openStdio } from '../stream/stdio.js'
import { captureOutput, resumeOutput, writeLog, writeStdout } from './capture-output.js'
import { formatRecord } from './logger.js'
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
  if (stream === undefined) return openSocketEndpoint(setup, captureOutput)
  try {
    return openStreamEndpoint(stream, setup)
  } catch (error) {
    // A launcher between the two has dropped the descriptor. Such a host reads standard output as well.
    const fallback = stream.kind === 'fd' && environment.multiplex === true
    if (!fallback || !isPluginError(error, 'ERR_HANDSHAKE_TRANSPORT')) throw error
    options.logger.warn({ err: error }, 'the stream cannot be used: answering on a socket')
    return openSocketEndpoint(setup, captureOutput)
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

/**
 * A socket with go-plugin's protocol on it.
 * @param capture told where prints are to go
 */
export async function openSocketEndpoint(
  { environment, options, createMuxer }: EndpointSetup,
  capture: (output: StdioOutput) => void
): Promise<Endpoint> {
  const output = createStdioOutput({
    onDrain: resumeOutput,
    // Whether or not the plugin has a logger.
    onDrop: () =>
      writeLog(formatRecord('warn', 'the host does not read all that is printed: some is lost', {}))
  })
  capture(output)
  const { reflectionServices } = await import('../services/reflection.js')
  const certificate = await makeCertificate(environment, options)
  const broker = brokerStreamService()
  const multiplexed = environment.multiplex === true
  const go = {
    ...options,
    link: () => broker.link,
    tls: certificate === undefined ? undefined : tlsOptions(certificate, environment.clientCertificate!)
  }
  const place = listeningPlace(environment, options)
  if (place.kind === 'unix') void sweepSockets(place.dir)

  let transport: Transport
  let listener: SocketListener
  let isConnected: () => boolean
  if (multiplexed) {
    const session = createMuxTransport('server', go)
    listener = await listenOnce(place, session, createMuxer)
    isConnected = () => session.stats().accepted > 0
    transport = session
  } else {
    const sockets: SocketTransport = createSocketTransport({ ...go, listen: place })
    listener = await sockets.listen()
    isConnected = () => sockets.connected
    transport = sockets
  }
  return {
    transport,
    peerWires: ['h2'],
    line: {
      network: listener.network,
      address: listener.address,
      ...(certificate === undefined ? {} : { certificate: formatCertificate(certificate.certDer) }),
      ...(environment.multiplex === undefined ? {} : { multiplex: multiplexed })
    },
    services(others) {
      const own = [broker.binding, stdioService(output)]
      const reflection = reflectionServices(() => [...others, ...own, ...reflection])
      return [...own, ...reflection]
    },
    get connected() {
      return isConnected()
    },
    announce: writeStdout,
    end: () => output.end()
  }
}

/** Takes one connection, ever, as go-plugin does: the session is on it. The socket's file goes with its coming. */
async function listenOnce(
  place: ReturnType<typeof listeningPlace>,
  session: SessionTransport,
  createMuxer: CreateMuxer
): Promise<SocketListener> {
  let taken = false
  const listener = await listenSocket({
    ...place,
    onConnection(socket: Socket) {
      if (taken) return void socket.destroy()
      taken = true
      session.start(socket, createMuxer)
      void listener.close()
    }
  })
  return listener
}

function listeningPlace(
  { socketDir, socketGroup, ports, badPorts }: PluginEnvironment,
  { network }: ResolvedServeOptions
) {
  if (network === 'tcp' && badPorts !== undefined) {
    throw new PluginError(
      'ERR_HANDSHAKE_TRANSPORT',
      `the host offers the ports ${badPorts}, which are none`,
      {
        hint: 'PLUGIN_MIN_PORT and PLUGIN_MAX_PORT are numbers from 0 to 65535, the first not above the second.'
      }
    )
  }
  return { kind: network, dir: socketDir, group: socketGroup, minPort: ports.min, maxPort: ports.max }
}

async function makeCertificate(
  { clientCertificate, badClientCertificate }: PluginEnvironment,
  { curve }: ResolvedServeOptions
): Promise<Certificate | undefined> {
  if (badClientCertificate) {
    throw new PluginError(
      'ERR_SECURITY_CERTIFICATE',
      'the host asks for mutual TLS, but what it sent as its certificate (PLUGIN_CLIENT_CERT) is none',
      { hint: 'It has to be an X.509 certificate in PEM.' }
    )
  }
  return clientCertificate === undefined ? undefined : createCertificate({ curve })
}
