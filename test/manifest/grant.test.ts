import t from 'tap'
import { type Offer, grant } from '../../lib/manifest/grant.js'
import type { Ask } from '../../lib/manifest/manifest.js'

/** Binds to text, so that a test sees what is served. */
function offer(service: string, scopes?: readonly string[]): Offer<string> {
  const bind = (granted: readonly string[]) => `${service}(${granted.join(' ')})`
  return scopes === undefined ? { service, bind } : { service, scopes, bind }
}

const offers = [offer('host.Files', ['files.read', 'files.write']), offer('host.Clock')]

for (const [what, asks, served, refused] of [
  ['nothing asked, nothing served', [], [], []],
  ['what is asked and offered is served', [['host.Files', 'files.read']], ['host.Files(files.read)'], []],
  [
    'services come in the order of the manifest, scopes too',
    [['host.Clock'], ['host.Files', 'files.write', 'files.read']],
    ['host.Clock()', 'host.Files(files.write files.read)'],
    []
  ],
  [
    'a scope that is not offered is left out, and told',
    [['host.Files', 'files.read', 'files.delete']],
    ['host.Files(files.read)'],
    [['host.Files', 'with files.delete, which this host does not grant']]
  ],
  [
    'a service without any scope left is not served',
    [['host.Files', 'files.delete']],
    [],
    [['host.Files', 'with files.delete, which this host does not grant']]
  ],
  [
    'a service with scopes is not served to those who ask for none',
    [['host.Files']],
    [],
    [['host.Files', 'without a scope; there are files.read, files.write']]
  ],
  [
    'a service without scopes is not served to those who think it has some',
    [['host.Clock', 'clock.set']],
    [],
    [['host.Clock', 'with clock.set, which this host does not grant']]
  ],
  [
    'a service that is not offered is told',
    [['host.Keys']],
    [],
    [['host.Keys', 'which this host does not offer']]
  ]
] as const satisfies readonly (readonly [
  string,
  readonly (readonly string[])[],
  readonly string[],
  readonly (readonly string[])[]
])[]) {
  t.test(what, async (t) => {
    const manifest = {
      name: 'x',
      asks: asks.map(([service, ...scopes]): Ask => ({ service, scopes }))
    }
    const grants = grant(manifest, offers)
    t.same(grants.bindings, served)
    t.same(
      grants.granted.map(({ service, scopes }) => `${service}(${scopes.join(' ')})`),
      served
    )
    t.equal(grants.refused.length, refused.length)
    for (const [index, [service, reason]] of refused.entries()) {
      t.equal(grants.refused[index]!.service, service)
      t.ok(grants.refused[index]!.reason.endsWith(reason), grants.refused[index]!.reason)
    }
  })
}

t.test('what is not granted is not even made', async (t) => {
  const bind = () => t.fail('bound')
  grant({ name: 'x', asks: [{ service: 'host.Files', scopes: ['other'] }] }, [
    { service: 'host.Files', scopes: ['files.read'], bind },
    { service: 'host.Clock', bind }
  ])
})
