import type { Ask, Manifest } from './manifest.js'

/** A service that a host can serve to its plugins. */
export interface Offer<Binding> {
  /** `package.Service` */
  readonly service: string
  /** What plugins may do there, at most. Default: the service has no scopes, and is granted as a whole. */
  readonly scopes?: readonly string[]
  /** Makes what is served, for a plugin that was granted these scopes: the service itself keeps to them. */
  readonly bind: (scopes: readonly string[]) => Binding
}

/** What a plugin asked for and does not get. */
export interface Refusal extends Ask {
  /** A sentence without its full stop, for a person. */
  readonly reason: string
}

export interface Grants<Binding> {
  /**
   * What to serve to this plugin, and nothing besides: for `broker.accept()`. In the order of the manifest.
   */
  readonly bindings: readonly Binding[]
  readonly granted: readonly Ask[]
  readonly refused: readonly Refusal[]
}

/**
 * What a plugin gets out of what the host offers: the services its manifest asks for, each in the scopes that
 * are both asked for and offered. A service without scopes is granted as it is; one with scopes only when one
 * of them is. What is not asked for is not granted, and `bind` is not called for it.
 */
export function grant<Binding>(
  { name, asks }: Pick<Manifest, 'name' | 'asks'>,
  offers: readonly Offer<Binding>[]
): Grants<Binding> {
  const bindings: Binding[] = []
  const granted: Ask[] = []
  const refused: Refusal[] = []
  const refuse = ({ service, scopes }: Ask, what: string): void => {
    refused.push({ service, scopes, reason: `plugin "${name}" asks for ${service}${what}` })
  }
  for (const ask of asks) {
    const offer = offers.find(({ service }) => service === ask.service)
    if (offer === undefined) {
      refuse(ask, ', which this host does not offer')
      continue
    }
    const { scopes: offered = [], bind } = offer
    const scopes = ask.scopes.filter((scope) => offered.includes(scope))
    const missing = ask.scopes.filter((scope) => !offered.includes(scope))
    if (offered.length > 0 && ask.scopes.length === 0) {
      refuse(ask, ` without a scope; there are ${offered.join(', ')}`)
    } else if (missing.length > 0) {
      refuse({ ...ask, scopes: missing }, ` with ${missing.join(', ')}, which this host does not grant`)
    }
    const whole = offered.length === 0 && ask.scopes.length === 0
    if (scopes.length === 0 && !whole) continue
    bindings.push(bind(scopes))
    granted.push({ service: ask.service, scopes })
  }
  return { bindings, granted, refused }
}
