import 'reflect-metadata'
import { KeyObject, webcrypto } from 'node:crypto'
import { SubjectAlternativeNameExtension, X509CertificateGenerator } from '@peculiar/x509'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { compressionAlgorithms, ServerCredentials, type Server } from '@grpc/grpc-js'
import { createChannel, createDirectChannel } from '../../lib/grpc/channel.js'
import { attachGrpcJs, handlerFor } from '../../lib/grpc/direct-intercepting.js'
import { createDirectServer } from '../../lib/grpc/direct-server.js'
import { createLibp2pMuxer } from '../../lib/mux/libp2p.js'
import type { CreateMuxer } from '../../lib/mux/muxer.js'
import type { ConnectOptions, ConnectServer, ServerConnection } from '../contract/channel.js'
import { interopPair } from './interop-pair.js'
import { startRoute } from './route.js'

/** How a channel's byte stream comes about; `serve` is given the server's end of it. */
type OpenStream = (serve: (stream: Duplex) => void) => Duplex

/** Our channel over the streams that `openStream` makes. */
function over(openStream: OpenStream, serverCredentials = ServerCredentials.createInsecure()): ConnectServer {
  return async (server, options = {}) => {
    const injector = server.createConnectionInjector(serverCredentials)
    const channel = createChannel(() => openStream((stream) => injector.injectConnection(stream)), options)
    return {
      address: 'unused',
      clientOptions: { channelOverride: channel },
      async close() {
        channel.close()
        injector.drain(0)
        await channel.closed
        injector.destroy()
      }
    }
  }
}

/** Two ends in memory. */
export const overPair = over((serve) => {
  const [near, far] = interopPair()
  serve(far)
  return near
})

/** One substream of a yamux session over two ends in memory. */
export const overSubstream = over((serve) => {
  const [near, far] = interopPair()
  createLibp2pMuxer(far, { role: 'server', onSubstream: serve })
  const session = createLibp2pMuxer(near, { role: 'client', onSubstream: (substream) => substream.destroy() })
  const substream = session.open()
  substream.once('close', () => void session.close())
  return substream
})

/** Each call on a substream of its own (wire `direct`), over two ends in memory. */
export function overDirect(createMuxer: CreateMuxer): ConnectServer {
  return async (server, options = {}) => {
    const [near, far] = interopPair()
    const direct = createDirectServer({
      maxReceiveBytes: 4 * 1024 * 1024,
      maxSendBytes: Infinity,
      find(path) {
        const handler = handlerFor(server, path)
        if (handler === undefined) return undefined
        return { background: false, attach: (call) => attachGrpcJs(server, handler, [], call) }
      },
      began: () => {},
      ended: () => {}
    })
    const sides = {
      near: startRoute(near, 'client', { createMuxer }),
      far: startRoute(far, 'server', { createMuxer })
    }
    sides.far.route.accept(
      7,
      () => {},
      (port) => direct.take(port)
    )
    const channel = createDirectChannel(() => sides.near.route.calls(7), options)
    return {
      address: 'unused',
      clientOptions: { channelOverride: channel },
      async close() {
        channel.close()
        await channel.closed
        direct.end()
        await sides.near.muxer.close({ timeoutMs: 1000 })
      }
    }
  }
}

/** A key and certificate for `localhost`, made anew for each run. */
export async function makeCertificate(): Promise<{ key: Buffer; cert: Buffer }> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      name: 'CN=localhost',
      keys,
      signingAlgorithm: algorithm,
      extensions: [new SubjectAlternativeNameExtension([{ type: 'dns', value: 'localhost' }])]
    },
    webcrypto
  )
  const key = KeyObject.from(keys.privateKey).export({ type: 'pkcs8', format: 'pem' })
  return { key: Buffer.from(key), cert: Buffer.from(certificate.toString('pem')) }
}

/** TLS on two ends in memory. */
export function overTls({ key, cert }: { key: Buffer; cert: Buffer }): ConnectServer {
  const serverCredentials = ServerCredentials.createSsl(null, [{ private_key: key, cert_chain: cert }])
  return over((serve) => {
    const [near, far] = interopPair()
    serve(far)
    return connectTls({ socket: near, servername: 'localhost', ca: cert, ALPNProtocols: ['h2'] })
  }, serverCredentials)
}

/** grpc-js's own channel over a unix socket: what the suite's expectations are held against. */
export async function overSocket(server: Server, options: ConnectOptions = {}): Promise<ServerConnection> {
  const folder = await mkdtemp(join(tmpdir(), 'muxplug-'))
  const address = `unix:${join(folder, 'socket')}`
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(address, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve()
    )
  })
  const { maxReceiveBytes, maxSendBytes, compression } = options
  return {
    address,
    clientOptions: {
      // A pool of connections shared by address would join tests that have nothing in common.
      'grpc.use_local_subchannel_pool': 1,
      ...(maxReceiveBytes !== undefined && { 'grpc.max_receive_message_length': maxReceiveBytes }),
      ...(maxSendBytes !== undefined && { 'grpc.max_send_message_length': maxSendBytes }),
      ...(compression !== undefined && {
        'grpc.default_compression_algorithm': compressionAlgorithms[compression]
      })
    },
    close: () => rm(folder, { recursive: true, force: true })
  }
}
