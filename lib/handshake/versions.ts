import { PluginError } from '../errors.js'
import { type Cookie, checkCookieConfig } from './env.js'

/** What host and plugin must agree on. Share one object of these between the two programs. */
export interface Handshake extends Cookie {
  /** Version of the application's own protocol: a whole number, 0 or more. Default 1. For several, see `versions`. */
  readonly protocolVersion?: number
}

/**
 * The versions one end speaks, each with its set of services: either the one version of the handshake with `single`,
 * or those of `sets`.
 * @throws `ERR_CONFIG_INVALID` for a version that is no whole number, `ERR_CONFIG_CONFLICT` when both are given and
 * disagree
 */
export function resolveVersions<T>(
  handshake: Handshake,
  single: T,
  sets: Readonly<Record<number, T>> | undefined
): ReadonlyMap<number, T> {
  const { protocolVersion } = handshake
  if (sets === undefined) return new Map([[checkVersion(protocolVersion ?? 1), single]])
  const resolved = new Map<number, T>()
  for (const [version, set] of Object.entries(sets)) resolved.set(checkVersion(Number(version)), set)
  if (resolved.size === 0) {
    throw new PluginError('ERR_CONFIG_INVALID', 'versions is empty', {
      hint: 'Give at least one version with its services, or leave versions out.'
    })
  }
  if (protocolVersion !== undefined && !resolved.has(protocolVersion)) {
    throw new PluginError('ERR_CONFIG_CONFLICT', `protocolVersion ${protocolVersion} is not among versions`, {
      hint: 'Leave protocolVersion out when versions is given, or add a set of services for it.'
    })
  }
  return resolved
}

function checkVersion(version: number): number {
  if (Number.isSafeInteger(version) && version >= 0) return version
  throw new PluginError('ERR_CONFIG_INVALID', `protocol version is ${String(version)}`, {
    hint: 'Versions are whole numbers, 0 or more.'
  })
}

/** Checks what a caller gave as its handshake. @throws `ERR_CONFIG_INVALID` */
export function checkHandshake(handshake: Handshake): void {
  if (typeof handshake !== 'object' || handshake === null) {
    throw new PluginError('ERR_CONFIG_INVALID', 'handshake is missing', {
      hint: 'Give the same object of cookieKey and cookieValue to launch() and to serve().'
    })
  }
  checkCookieConfig(handshake)
}
