import { PluginError } from '../errors.js'
import { parseGoBool } from './go-bool.js'

/** The core protocol version: the line's first field, 1 since go-plugin began. */
const coreVersion = '1'

/** Certificates of up to 50 characters are none: very old plugins print unrelated text there (go-plugin `client.go`). */
const shortestCertificate = 51

/** Bounds on what a plugin may say. Far above real values: a P-521 certificate has about 800 characters. */
const longestCertificate = 16_384
const longestAddress = 4096
const mostWires = 16

const networks = ['fd', 'stdio', 'unix', 'tcp'] as const
const protocols = ['grpc', 'netrpc'] as const

/**
 * The plugin's answer to the environment the host gave it. go-plugin has the first seven fields; the networks `fd` and
 * `stdio` and the wires are additions that no go-plugin host asks for.
 */
export interface HandshakeLine {
  /** Application protocol version, 0 or more. */
  readonly appVersion: number
  readonly network: (typeof networks)[number]
  /** The descriptor's number for `fd`, `-` for `stdio`, a path for `unix`, host and port for `tcp`. */
  readonly address: string
  readonly protocol: (typeof protocols)[number]
  /** The plugin's certificate: DER in base64 without padding. */
  readonly certificate?: string
  /** Present only towards a host that has set `PLUGIN_MULTIPLEX_GRPC`: older hosts choke on a seventh field. */
  readonly multiplex?: boolean
  /** How gRPC may sit on substreams, in the plugin's order of preference. Only on `fd` and `stdio`. */
  readonly wires: readonly string[]
}

export type ParsedLine =
  | { readonly ok: HandshakeLine }
  /** What is wrong, with the value seen: quoted and bounded. */
  | { readonly malformed: string }

/**
 * The line without its newline: `1|APP|NETWORK|ADDRESS|PROTOCOL|CERTIFICATE|MULTIPLEX|WIRES`. All eight fields on `fd`
 * and `stdio`; on `unix` and `tcp` those a go-plugin plugin prints: six, and the seventh when `multiplex` is given.
 * @throws `ERR_HANDSHAKE_TRANSPORT` when the address holds a `|` or a line break, which the line cannot express
 */
export function formatLine(line: HandshakeLine): string {
  if (/[|\r\n]/.test(line.address)) {
    const message = `the address ${quote(line.address)} does not fit into the handshake line`
    throw new PluginError('ERR_HANDSHAKE_TRANSPORT', message, {
      hint: 'Choose a temporary directory whose name has neither a vertical bar nor a line break.'
    })
  }
  const certificate = line.certificate?.replace(/=+$/, '') ?? ''
  const fields = [
    coreVersion,
    String(line.appVersion),
    line.network,
    line.address,
    line.protocol,
    certificate
  ]
  if (line.network === 'fd' || line.network === 'stdio') {
    fields.push(String(line.multiplex ?? ''), line.wires.join(','))
  } else if (line.multiplex !== undefined) {
    fields.push(String(line.multiplex))
  }
  return fields.join('|')
}

/**
 * Reads a line, white space around it aside. undefined: no handshake line at all, since it does not begin with digits
 * and a `|`. Four to eight fields are read as go-plugin hosts do, and further ones ignored; no fifth means `netrpc`.
 */
export function parseLine(text: string): ParsedLine | undefined {
  const trimmed = text.trim()
  if (!/^\d+\|/.test(trimmed)) return undefined

  const fields = trimmed.split('|')
  const [core = '', app = '', network = '', address = '', protocol = 'netrpc'] = fields
  const [certificate = '', multiplex = '', wires = ''] = fields.slice(5)

  if (core !== coreVersion) return malformed(`core protocol version ${quote(core)} where only 1 is known`)
  if (fields.length < 4) return malformed(`only ${fields.length} of at least 4 fields: ${quote(trimmed)}`)
  if (!isDecimal(app, Number.MAX_SAFE_INTEGER))
    return malformed(`application protocol version ${quote(app)} is not a number`)
  if (!isOneOf(networks, network)) return malformed(`unknown network ${quote(network)}`)
  if (!addressFits[network](address))
    return malformed(`address ${quote(address)} does not fit network ${network}`)
  if (!isOneOf(protocols, protocol)) return malformed(`unknown protocol ${quote(protocol)}`)

  const hasCertificate = certificate.length >= shortestCertificate
  if (hasCertificate && !isRawBase64(certificate)) {
    return malformed(`certificate ${quote(certificate)} is not base64 without padding`)
  }
  const multiplexed = parseGoBool(multiplex)
  if (multiplex !== '' && multiplexed === undefined)
    return malformed(`multiplex ${quote(multiplex)} is not a bool`)
  const wireNames = wires === '' ? [] : wires.split(',')
  if (wireNames.length > mostWires || !wireNames.every((name) => /^[a-z][a-z0-9.-]{0,31}$/.test(name))) {
    return malformed(`wires ${quote(wires)} are not names joined by commas`)
  }

  return {
    ok: {
      appVersion: Number(app),
      network,
      address,
      protocol,
      ...(hasCertificate && { certificate }),
      ...(multiplexed !== undefined && { multiplex: multiplexed }),
      wires: wireNames
    }
  }
}

function malformed(what: string): ParsedLine {
  return { malformed: what }
}

const addressFits: Record<HandshakeLine['network'], (address: string) => boolean> = {
  fd: (address) => isDecimal(address, 0xffff),
  stdio: (address) => address === '-',
  unix: (address) => address !== '' && address.length <= longestAddress && !address.includes('\0'),
  // The host may be empty, which means this machine.
  tcp: (address) => isDecimal(/^[^\s\0]{0,255}:(\d+)$/.exec(address)?.[1] ?? '', 0xffff)
}

function isDecimal(text: string, max: number): boolean {
  return /^(0|[1-9]\d{0,15})$/.test(text) && Number(text) <= max
}

function isRawBase64(text: string): boolean {
  return text.length <= longestCertificate && text.length % 4 !== 1 && /^[A-Za-z0-9+/]+$/.test(text)
}

function isOneOf<T extends string>(list: readonly T[], text: string): text is T {
  return (list as readonly string[]).includes(text)
}

function quote(text: string): string {
  return text.length <= 80
    ? JSON.stringify(text)
    : `${JSON.stringify(text.slice(0, 80))}... (${text.length} characters)`
}
