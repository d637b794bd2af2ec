// Clients that a plugin's or host's socket should know what to do with.
import { randomUUID } from 'node:crypto'
import { connect as connectSocket } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { createCertificate } from '../../lib/security/certificate.js'

/** How every HTTP/2 client begins: the preface, and SETTINGS with nothing in them. */
const clientPreface = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  Buffer.from('000000040000000000', 'hex')
])

/** Whether an HTTP/2 client is answered, with SETTINGS: the fourth byte of a frame is its type. */
async function isAnswered(stream: Duplex): Promise<boolean> {
  stream.write(clientPreface)
  let received = Buffer.alloc(0)
  return new Promise((resolve) => {
    stream.on('data', (bytes: Buffer) => {
      received = Buffer.concat([received, bytes])
      if (received.length < 9) return
      resolve(received[3] === 4)
      stream.destroy()
    })
    stream.on('error', () => {})
    stream.once('close', () => resolve(false))
  })
}

/** Whether the server on a unix socket answers a client without TLS. */
export async function answersInClear(path: string): Promise<boolean> {
  return isAnswered(connectSocket(path))
}

export interface ClientCertificate {
  readonly cert: string
  readonly key: string
}

/** A certificate that nobody trusts. */
export async function foreignCertificate(): Promise<ClientCertificate> {
  const { certPem, keyPem } = await createCertificate({ curve: 'P-256' })
  return { cert: certPem, key: keyPem }
}

/** The certificate of the server on a unix socket, and whether it answers a client with `client`, or none. */
export async function serverCertificate(
  path: string,
  client?: ClientCertificate
): Promise<{ readonly certificate: string; readonly answered: boolean }> {
  const stream = connectTls({
    path,
    servername: 'localhost',
    ALPNProtocols: ['h2'],
    rejectUnauthorized: false,
    ...client
  })
  let certificate = `none ${randomUUID()}`
  stream.once('secureConnect', () => {
    certificate = stream.getPeerX509Certificate()?.fingerprint256 ?? certificate
  })
  const answered = await isAnswered(stream)
  return { certificate, answered }
}
