import type { Duplex } from 'node:stream'
import { type TLSSocket, connect, createServer } from 'node:tls'
import { type Logger, silentLogger } from '../log.js'
import type { TlsSettings } from './certificate.js'

/**
 * Puts TLS on a byte stream that this side dialled: the dialler is always the TLS client. It can be written
 * to at once; when the peer is not the one expected it is destroyed with the TLS error. The byte stream goes
 * with it.
 */
export function dialTls(stream: Duplex, settings: TlsSettings): TLSSocket {
  return connect({ ...settings.connect, socket: stream })
}

/** Takes byte streams that the peer dialled; see {@link createTlsAcceptor}. */
export type TlsAcceptor = (stream: Duplex) => void

/**
 * How long the peer may take for the TLS handshake, in ms. 10 s: it is another process of the same machine.
 */
const handshakeTimeoutMs = 10_000

/**
 * Puts TLS on byte streams that the peer dialled. `onConnection` gets those whose peer showed the trusted
 * certificate, with its handshake done; the others are destroyed, and logged at warn.
 */
export function createTlsAcceptor(
  settings: TlsSettings,
  onConnection: (connection: TLSSocket) => void,
  logger: Logger = silentLogger
): TlsAcceptor {
  // Never listens: a bare TLSSocket would not check the client's certificate, this does.
  const server = createServer({ ...settings.accept, handshakeTimeout: handshakeTimeoutMs })
  server.on('secureConnection', (connection) => {
    // One that the trusted certificate has signed would pass too.
    if (connection.getPeerX509Certificate()?.raw.equals(settings.peerCertificate) === true) {
      onConnection(connection)
    } else {
      logger.warn({}, 'a connection was refused: its certificate is not the one expected')
      connection.destroy()
    }
  })
  server.on('tlsClientError', (error, socket) => {
    logger.warn({ err: error }, 'a connection was refused: its TLS handshake failed')
    socket.destroy()
  })
  return (stream) => {
    stream.on('error', (error) => logger.debug({ err: error }, 'a connection failed'))
    server.emit('connection', stream)
  }
}
