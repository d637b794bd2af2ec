import type { Socket } from 'node:net'
import {
  type SocketTransport,
  createMuxTransport,
  createSocketTransport
} from '../broker/socket-transports.js'
import type { SessionTransport, Transport } from '../broker/transport.js'
import { PluginError } from '../errors.js'
import type { PluginEnvironment } from '../handshake/env.js'
import type { CreateMuxer } from '../mux/muxer.js'
import {
  type Certificate,
  createCertificate,
  formatCertificate,
  tlsOptions
} from '../security/certificate.js'
import { brokerStreamService } from '../services/broker-stream.js'
import { type StdioOutput, createStdioOutput, stdioService } from '../services/stdio.js'
import { type SocketListener, listenSocket } from '../stream/socket.js'
import { sweepSockets } from '../stream/socket-sweep.js'
import { resumeOutput, writeLog, writeStdout } from './capture-output.js'
import type { Endpoint, EndpointSetup } from './endpoint.js'
import { formatRecord } from './logger.js'
import type { ResolvedServeOptions } from './options.js'

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
