import 'reflect-metadata'
import { X509Certificate, createPrivateKey, webcrypto } from 'node:crypto'
import { once } from 'node:events'
import { type Duplex, duplexPair } from 'node:stream'
import { text } from 'node:stream/consumers'
import type { TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import * as x509 from '@peculiar/x509'
import {
  type Certificate,
  createCertificate,
  formatCertificate,
  parseCertificate,
  tlsOptions
} from '../../lib/security/certificate.js'
import { createTlsAcceptor, dialTls } from '../../lib/security/tls.js'

t.test('a certificate is the one that AutoMTLS of go-plugin makes', async (t) => {
  const before = Math.floor((Date.now() - 30_000) / 1000) * 1000
  const { certPem, certDer, keyPem } = await createCertificate()
  const cert = new X509Certificate(certPem)
  t.ok(certPem.endsWith('-----END CERTIFICATE-----\n'))
  t.same(cert.raw, certDer)
  t.equal(cert.subject, 'O=HashiCorp\nCN=localhost')
  t.equal(cert.issuer, cert.subject)
  t.ok(cert.verify(cert.publicKey), 'signed by itself')
  t.ok(cert.checkPrivateKey(createPrivateKey(keyPem)))
  t.equal(cert.subjectAltName, 'DNS:localhost')
  t.ok(cert.ca)
  t.same(cert.keyUsage, ['1.3.6.1.5.5.7.3.2', '1.3.6.1.5.5.7.3.1'], 'clientAuth and serverAuth')
  t.match(cert.publicKey.asymmetricKeyDetails, { namedCurve: 'secp521r1' })

  const parsed = new x509.X509Certificate(certDer)
  t.match(parsed.signatureAlgorithm, { name: 'ECDSA', hash: { name: 'SHA-512' } })
  t.equal(parsed.notAfter.getTime() - parsed.notBefore.getTime(), 262_980 * 3_600_000 + 30_000)
  t.ok(parsed.notBefore.getTime() >= before && parsed.notBefore.getTime() <= Date.now() - 29_000)
  t.ok(
    certDer.includes(Buffer.from(`\x18\x0f${parsed.notAfter.getUTCFullYear()}`)),
    'GeneralizedTime past 2049'
  )
  t.equal(parsed.getExtension(x509.BasicConstraintsExtension)?.critical, true)
  const usage = parsed.getExtension(x509.KeyUsagesExtension)
  t.equal(usage?.critical, true)
  t.equal(usage?.usages, 0b10101 | 0b100000, 'digitalSignature, keyEncipherment, keyAgreement, keyCertSign')
  t.equal(parsed.serialNumber.length, 32)
  t.ok(Number.parseInt(parsed.serialNumber.slice(0, 2), 16) < 0x80, 'a positive serial number')
})

t.test('each is another one, on the curve that is asked for', async (t) => {
  const [a, b] = await Promise.all([
    createCertificate({ curve: 'P-256' }),
    createCertificate({ curve: 'P-256' })
  ])
  t.not(new X509Certificate(a.certDer).serialNumber, new X509Certificate(b.certDer).serialNumber)
  t.match(new X509Certificate(a.certDer).publicKey.asymmetricKeyDetails, { namedCurve: 'prime256v1' })
  const c = await createCertificate({ curve: 'P-384' })
  t.match(new x509.X509Certificate(c.certDer).signatureAlgorithm, { hash: { name: 'SHA-384' } })
  await t.rejects(createCertificate({ curve: 'P-224' as 'P-256' }), { code: 'ERR_CONFIG_INVALID' })
})

t.test('the field of the handshake line is standard base64 without padding, both ways', async (t) => {
  for (let round = 0; round < 3; round += 1) {
    const { certDer } = await createCertificate({ curve: 'P-256' })
    const field = formatCertificate(certDer)
    t.match(field, /^[A-Za-z0-9+/]{51,}$/)
    t.same(parseCertificate(field), certDer)
  }
  t.equal(formatCertificate(Buffer.of(0xfb, 0xff)), '+/8', 'not the alphabet of URLs')
})

t.test('up to 50 characters are no certificate; longer ones have to be one', async (t) => {
  t.equal(parseCertificate(''), undefined)
  t.equal(parseCertificate('x'.repeat(50)), undefined)
  const { certDer, certPem } = await createCertificate({ curve: 'P-256' })
  const field = formatCertificate(certDer)
  const bad = {
    'no base64': '!'.repeat(51),
    'no DER': 'A'.repeat(52),
    'half of one': field.slice(0, (field.length >> 2) << 1),
    'the alphabet of URLs': `${field.slice(0, -4)}-_-_`,
    PEM: certPem,
    'of another length': 'A'.repeat(53),
    padded: `${'A'.repeat(51)}=`,
    'followed by something': formatCertificate(Buffer.concat([certDer, Buffer.alloc(3)]))
  }
  for (const [name, value] of Object.entries(bad)) {
    t.throws(() => parseCertificate(value), { code: 'ERR_SECURITY_CERTIFICATE' }, name)
  }
  t.throws(() => parseCertificate('A'.repeat(53)), { message: /base64/ }, 'not cut to a length that fits')
  t.throws(() => tlsOptions({ certPem, keyPem: '' }, Buffer.from('x')), { code: 'ERR_SECURITY_CERTIFICATE' })
})

interface Ends {
  readonly host: Certificate
  readonly plugin: Certificate
}

const ends: Promise<Ends> = (async () => ({
  host: await createCertificate({ curve: 'P-256' }),
  plugin: await createCertificate()
}))()

/** A connection that `dialler` opens to `acceptor`; each says whose certificate it trusts. */
function connect(
  t: Test,
  dialler: { own: Certificate; trusts: Buffer },
  acceptor: { own: Certificate; trusts: Buffer }
) {
  const [near, far] = duplexPair()
  const accepted: TLSSocket[] = []
  const accept = createTlsAcceptor(tlsOptions(acceptor.own, acceptor.trusts), (connection) => {
    accepted.push(connection)
    connection.on('error', () => {}).end('welcome')
  })
  accept(far)
  const connection = dialTls(near, tlsOptions(dialler.own, dialler.trusts))
  connection.on('error', () => {})
  t.teardown(() => [near, far, connection].forEach((stream) => stream.destroy()))
  return { connection, accepted, far }
}

/** Not `once`, which rejects when there is an error before. */
function closed(stream: Duplex): Promise<void> {
  return new Promise((resolve) => {
    stream.once('close', resolve)
  })
}

t.test('two ends that know each other speak h2 over TLS, whoever dials', async (t) => {
  const { host, plugin } = await ends
  for (const [a, b] of [
    [host, plugin],
    [plugin, host]
  ] as const) {
    const { connection, accepted } = connect(t, { own: a, trusts: b.certDer }, { own: b, trusts: a.certDer })
    const secured = once(connection, 'secureConnect').then(() => connection.getProtocol())
    t.equal(await text(connection), 'welcome')
    t.equal(await secured, 'TLSv1.3')
    t.equal(connection.alpnProtocol, 'h2')
    t.equal(accepted[0]?.alpnProtocol, 'h2')
    t.equal(connection.authorized, true)
  }
})

t.test('a dialler refuses any other certificate', async (t) => {
  const { host, plugin } = await ends
  const other = await createCertificate({ curve: 'P-256' })
  const { connection } = connect(
    t,
    { own: host, trusts: plugin.certDer },
    { own: other, trusts: host.certDer }
  )
  await closed(connection)
  t.equal(connection.authorized, false)
})

t.test('an acceptor hands on no connection with any other certificate', async (t) => {
  const { host, plugin } = await ends
  const other = await createCertificate({ curve: 'P-256' })
  const { accepted, far } = connect(
    t,
    { own: other, trusts: plugin.certDer },
    { own: plugin, trusts: host.certDer }
  )
  await closed(far)
  t.same(accepted, [])
})

t.test('a certificate that the trusted one has signed is another one', async (t) => {
  const { host, plugin } = await ends
  const child = await signedBy(plugin)
  const { connection } = connect(
    t,
    { own: host, trusts: plugin.certDer },
    { own: child, trusts: host.certDer }
  )
  await closed(connection)
  const { accepted, far } = connect(
    t,
    { own: child, trusts: host.certDer },
    { own: host, trusts: plugin.certDer }
  )
  await closed(far)
  t.same(accepted, [])
})

/** A leaf with both usages for localhost. */
async function signedBy(issuer: Certificate): Promise<Certificate> {
  const keys = await webcrypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, [
    'sign',
    'verify'
  ])
  const pkcs8 = createPrivateKey(issuer.keyPem).export({ type: 'pkcs8', format: 'der' })
  const signingKey = await webcrypto.subtle.importKey(
    'pkcs8',
    pkcs8,
    { name: 'ECDSA', namedCurve: 'P-521' },
    false,
    ['sign']
  )
  const leaf = await x509.X509CertificateGenerator.create(
    {
      subject: 'CN=localhost',
      issuer: 'O=HashiCorp, CN=localhost',
      notBefore: new Date(Date.now() - 1000),
      publicKey: keys.publicKey,
      signingKey,
      signingAlgorithm: { name: 'ECDSA', hash: 'SHA-512' },
      extensions: [
        new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: 'localhost' }]),
        new x509.ExtendedKeyUsageExtension([
          x509.ExtendedKeyUsage.clientAuth,
          x509.ExtendedKeyUsage.serverAuth
        ])
      ]
    },
    webcrypto
  )
  const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey))
  return {
    certPem: new X509Certificate(Buffer.from(leaf.rawData)).toString(),
    certDer: Buffer.from(leaf.rawData),
    keyPem: createPrivateKey({ key, format: 'der', type: 'pkcs8' })
      .export({ type: 'pkcs8', format: 'pem' })
      .toString()
  }
}
