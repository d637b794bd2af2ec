import { KeyObject, X509Certificate, randomBytes, webcrypto } from 'node:crypto'
import {
  type CommonConnectionOptions,
  type ConnectionOptions,
  type SecureContextOptions,
  type TlsOptions,
  checkServerIdentity
} from 'node:tls'
import { PluginError } from '../errors.js'

/**
 * The name in every certificate here, and the one that is checked: also on unix sockets (go-plugin
 * `mtls.go`).
 */
const hostName = 'localhost'

/**
 * Values of up to 50 characters are no certificate: very old plugins print unrelated text there (go-plugin
 * `client.go`).
 */
const shortestField = 51

/** 30 years, as go-plugin's: the end lies past 2049, so that DER needs GeneralizedTime there. */
const validityMs = 262_980 * 3_600_000

/** Starts in the past, for clocks that differ a little. */
const clockSkewMs = 30_000

const hashes = { 'P-256': 'SHA-256', 'P-384': 'SHA-384', 'P-521': 'SHA-512' } as const

export type Curve = keyof typeof hashes

export interface CertificateOptions {
  /** Default `P-521`, as go-plugin; `P-256` is the most widely understood. */
  readonly curve?: Curve | undefined
}

/** A key and the self-signed certificate for it, which lives as long as the process that made it. */
export interface Certificate {
  /** PEM with a trailing newline: the form of `PLUGIN_CLIENT_CERT`. */
  readonly certPem: string
  /** PKCS #8 in PEM. Secret. */
  readonly keyPem: string
  /** The certificate alone, in DER: see {@link formatCertificate}. */
  readonly certDer: Buffer
}

/**
 * Makes a key and a certificate as go-plugin's AutoMTLS does (`mtls.go`): one for each process, good for both
 * roles. The library for it is loaded with the first call.
 */
export async function createCertificate(options: CertificateOptions = {}): Promise<Certificate> {
  const { curve = 'P-521' } = options
  const hash = hashes[curve]
  if (hash === undefined) {
    throw new PluginError('ERR_CONFIG_INVALID', `curve is ${curve}`, {
      hint: `Choose one of: ${Object.keys(hashes).join(', ')}.`
    })
  }
  // Its decorators need this to be there first.
  await import('reflect-metadata')
  const x509 = await import('@peculiar/x509')
  const keys = await webcrypto.subtle.generateKey({ name: 'ECDSA', namedCurve: curve }, true, [
    'sign',
    'verify'
  ])
  const { digitalSignature, keyEncipherment, keyAgreement, keyCertSign } = x509.KeyUsageFlags
  const now = Date.now()
  const made = await x509.X509CertificateGenerator.createSelfSigned(
    {
      name: `O=HashiCorp, CN=${hostName}`,
      serialNumber: serialNumber().toString('hex'),
      notBefore: new Date(now - clockSkewMs),
      notAfter: new Date(now + validityMs),
      keys,
      signingAlgorithm: { name: 'ECDSA', hash },
      extensions: [
        new x509.BasicConstraintsExtension(true, undefined, true),
        new x509.KeyUsagesExtension(digitalSignature | keyEncipherment | keyAgreement | keyCertSign, true),
        new x509.ExtendedKeyUsageExtension([
          x509.ExtendedKeyUsage.clientAuth,
          x509.ExtendedKeyUsage.serverAuth
        ]),
        new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: hostName }])
      ]
    },
    webcrypto
  )
  const certDer = Buffer.from(made.rawData)
  return {
    certPem: toPem(certDer),
    keyPem: KeyObject.from(keys.privateKey).export({ type: 'pkcs8', format: 'pem' }).toString(),
    certDer
  }
}

/** Positive, below 2^127, and in its shortest form: the first byte is neither zero nor negative. */
function serialNumber(): Buffer {
  const bytes = randomBytes(16)
  bytes[0] = (bytes[0]! & 0x3f) | 0x40
  return bytes
}

/** The certificate as field 6 of the handshake line: standard base64 without padding, on which Go insists. */
export function formatCertificate(der: Uint8Array): string {
  return Buffer.from(der).toString('base64').replaceAll('=', '')
}

/**
 * Reads field 6 of the handshake line into DER; undefined when it holds no certificate, which is up to 50
 * characters.
 * @throws `ERR_SECURITY_CERTIFICATE` for padded or otherwise wrong base64, and for what is not one
 * certificate
 */
export function parseCertificate(field: string): Buffer | undefined {
  if (field.length < shortestField) return undefined
  if (!/^[A-Za-z0-9+/]+$/.test(field) || field.length % 4 === 1) {
    throw badCertificate('is not standard base64 without padding')
  }
  const der = Buffer.from(field, 'base64')
  let raw: Buffer
  try {
    raw = new X509Certificate(der).raw
  } catch (cause) {
    throw badCertificate('is no X.509 certificate', cause)
  }
  if (!raw.equals(der)) throw badCertificate('has something after the certificate')
  return der
}

function badCertificate(what: string, cause?: unknown): PluginError {
  return new PluginError(
    'ERR_SECURITY_CERTIFICATE',
    `the plugin's certificate in its handshake line ${what}`,
    {
      cause,
      hint: 'The plugin has to print its certificate as DER in standard base64 without "=" at the end.'
    }
  )
}

/** The same TLS settings for the two roles that each process has: it dials, and it accepts. */
export interface TlsSettings {
  /** The one certificate that is trusted, in DER. */
  readonly peerCertificate: Buffer
  /** For `tls.connect`, together with `socket`. */
  readonly connect: ConnectionOptions
  /** For `tls.createServer`. A bare `TLSSocket` checks no certificate by itself. */
  readonly accept: TlsOptions
}

/**
 * Mutual TLS between two processes that know each other's certificate: exactly `peerCertificate` is trusted,
 * whoever dials. HTTP/2 is negotiated, without which gRPC of Go refuses the connection; TLS 1.2 at least, as
 * go-plugin.
 * @param peerCertificate DER
 * @throws `ERR_SECURITY_CERTIFICATE` when it is no certificate
 */
export function tlsOptions(
  own: Pick<Certificate, 'certPem' | 'keyPem'>,
  peerCertificate: Uint8Array
): TlsSettings {
  const trusted = Buffer.from(peerCertificate)
  const common: SecureContextOptions & CommonConnectionOptions = {
    cert: own.certPem,
    key: own.keyPem,
    ca: [toPem(trusted)],
    ALPNProtocols: ['h2'],
    minVersion: 'TLSv1.2',
    rejectUnauthorized: true
  }
  return {
    peerCertificate: trusted,
    connect: {
      ...common,
      // Without it the name is guessed from the address, which no certificate of ours has.
      servername: hostName,
      checkServerIdentity: (name, certificate) =>
        certificate.raw.equals(trusted)
          ? checkServerIdentity(name, certificate)
          : new Error('another certificate')
    },
    accept: { ...common, requestCert: true }
  }
}

function toPem(der: Buffer): string {
  try {
    const pem = new X509Certificate(der).toString()
    return pem.endsWith('\n') ? pem : `${pem}\n`
  } catch (cause) {
    throw new PluginError(
      'ERR_SECURITY_CERTIFICATE',
      'the certificate to be trusted is no X.509 certificate',
      {
        cause,
        hint: 'Give it in DER, as parseCertificate() returns it.'
      }
    )
  }
}
