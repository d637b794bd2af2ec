import t from 'tap'
import { Echo } from '#proto/echo/v1/echo.js'
import { type PluginError, status } from '../../lib/host/index.js'
import { launchFixture } from '../helpers/launch.js'

t.test('no metadata of a handler harms more than its own call', async (t) => {
  const { plugin } = await launchFixture(t, 'plugin-echo.mjs')
  const echo = plugin.dispense(Echo)
  const pid = plugin.pid
  const neighbour = echo.sleep({ ms: 60_000 }).catch((error: unknown) => error)
  const cases: readonly (readonly [what: string, list: readonly (readonly [string, string])[]])[] = [
    ['a header of the connection', [['te', 'x']]],
    [
      'a name that is taken once, twice',
      [
        ['etag', '1'],
        ['etag', '2']
      ]
    ],
    ['a length that is not the body', [['content-length', '3']]],
    ['a status of its own', [['grpc-status', '5']]],
    ['a connection header', [['keep-alive', 'x']]],
    ['more than a client takes', [['big', 'v'.repeat(70_000)]]],
    ['bytes, more than a client takes', [['also-big', 'v'.repeat(2_000_000)]]]
  ]
  for (const [what, list] of cases) {
    const payload = Buffer.from(JSON.stringify(list))
    for (const text of ['trailer', 'header', 'thrown']) {
      const outcome = await echo.echo({ text, payload }, { timeoutMs: 30_000 }).then(
        () => 'answered',
        (error: unknown) => error as PluginError
      )
      // Left out, or refused: but never a time-out, a lost connection, or somebody else's status.
      if (outcome === 'answered') continue
      const allowed = [
        status.INTERNAL,
        status.RESOURCE_EXHAUSTED,
        ...(text === 'thrown' ? [status.NOT_FOUND] : [])
      ]
      t.ok(allowed.includes((outcome as PluginError).status!), `${what} as ${text}: ${String(outcome)}`)
    }
  }
  t.equal((await echo.echo({ text: 'still here' })).text, 'still here')
  t.equal(plugin.pid, pid)
  const undisturbed = Symbol('undisturbed')
  t.equal(await Promise.race([neighbour, Promise.resolve(undisturbed)]), undisturbed)
})

t.test('metadata that fit arrive, the reserved ones left out', async (t) => {
  const { plugin } = await launchFixture(t, 'plugin-echo.mjs')
  const payload = Buffer.from(
    JSON.stringify([
      ['mine', 'a'],
      ['mine', 'b'],
      ['grpc-status', '5'],
      ['te', 'x']
    ])
  )
  let received: unknown
  const answer = await plugin
    .dispense(Echo)
    .echo({ text: 'trailer', payload }, { onTrailer: (metadata) => (received = metadata.getMap()) })
  t.equal(answer.text, 'trailer')
  t.match(received, { mine: 'a, b' })
})

t.test('a thrown value that cannot be read is an answer all the same', async (t) => {
  const { plugin } = await launchFixture(t, 'plugin-echo.mjs')
  const echo = plugin.dispense(Echo)
  await t.rejects(echo.echo({ text: 'getter' }, { timeoutMs: 30_000 }), {
    code: 'ERR_CALL_FAILED',
    message: /UNKNOWN/
  })
  t.equal((await echo.echo({ text: 'still here' })).text, 'still here')
})

t.test(
  'a generator of requests is told to return when the call ends while its answers are being dealt with',
  async (t) => {
    const { plugin } = await launchFixture(t, 'plugin-echo.mjs')
    let produced = 0
    const generator = { returned: false }
    async function* endless(): AsyncGenerator<{ text: string }> {
      try {
        for (;;) {
          produced += 1
          yield { text: String(produced) }
        }
      } finally {
        generator.returned = true
      }
    }
    const cancel = new AbortController()
    const answers = plugin.dispense(Echo).chat(endless(), { signal: cancel.signal })
    await t.rejects(
      (async () => {
        for await (const _answer of answers) {
          // The call ends in here, while nobody asks for the next answer.
          cancel.abort()
          while (!generator.returned) await new Promise(setImmediate)
          break
        }
        throw new Error('left')
      })(),
      { message: 'left' }
    )
    t.ok(generator.returned)
  }
)
