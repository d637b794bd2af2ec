import { Metadata, status } from '@grpc/grpc-js'
import t from 'tap'
import { PluginError } from '../../lib/errors.js'
import { callError, fromServiceError, toServiceError } from '../../lib/grpc/status.js'

/** An error as grpc-js's clients give it. */
function serviceError(code: number, details: string, metadata = new Metadata(), cause?: unknown) {
  return Object.assign(new Error(`${code}: ${details}`, { cause }), { code, details, metadata })
}

await t.test('callError carries status, details and facts', async (t) => {
  const cause = new Error('ENOENT')
  const error = callError(status.NOT_FOUND, 'no such directory', { cause, hint: 'Create it.' })
  t.match(error, {
    code: 'ERR_CALL_FAILED',
    status: 5,
    details: 'no such directory',
    hint: 'Create it.',
    cause
  })
  t.equal(error.message, 'NOT_FOUND: no such directory')
})

await t.test('fromServiceError', async (t) => {
  await t.test('keeps status, details, metadata and the error as cause', async (t) => {
    const original = serviceError(13, 'broken')
    const error = fromServiceError(original)
    t.match(error, { code: 'ERR_CALL_FAILED', status: 13, details: 'broken', cause: original })
    t.equal(error.metadata, original.metadata)
  })

  await t.test('takes code and facts from a PluginError that is the cause', async (t) => {
    const cause = new PluginError('ERR_PROCESS_EXITED', 'it exited', {
      exitCode: 3,
      stderrTail: ['bye'],
      hint: 'Look.'
    })
    const error = fromServiceError(serviceError(14, 'connection dropped', undefined, cause))
    t.match(error, {
      code: 'ERR_PROCESS_EXITED',
      status: 14,
      exitCode: 3,
      stderrTail: ['bye'],
      hint: 'Look.',
      cause
    })
    t.equal(error.message, 'UNAVAILABLE: connection dropped')
    t.equal(error.name, 'PluginError')
  })

  await t.test('takes a code that the peer sent, but no other word', async (t) => {
    for (const [sent, code] of [
      ['ERR_BROKER_CLOSED', 'ERR_BROKER_CLOSED'],
      ['ERR_SOMETHING', 'ERR_CALL_FAILED']
    ] as const) {
      const metadata = new Metadata()
      metadata.set('muxplug-error', sent)
      t.equal(fromServiceError(serviceError(14, 'x', metadata)).code, code)
    }
  })

  await t.test('takes anything', async (t) => {
    const own = callError(1, 'x')
    t.equal(fromServiceError(own), own)
    for (const thrown of [
      undefined,
      null,
      'text',
      7,
      {},
      new Error('plain'),
      { code: 'ENOENT' },
      { code: 99 }
    ]) {
      t.match(fromServiceError(thrown), { code: 'ERR_CALL_FAILED', status: status.UNKNOWN, details: String })
    }
  })
})

await t.test('toServiceError', async (t) => {
  const answer = (thrown: unknown): readonly [number, string] => {
    const { code, details } = toServiceError(thrown)
    return [code, details]
  }

  await t.test('chooses the status by what was thrown', async (t) => {
    const aborted = AbortSignal.abort().reason as unknown
    const cases: readonly [thrown: unknown, code: number][] = [
      [callError(status.NOT_FOUND, 'x'), status.NOT_FOUND],
      [callError(status.OK, 'an error is no success'), status.UNKNOWN],
      [callError(99, 'x'), status.UNKNOWN],
      [new PluginError('ERR_CALL_FAILED', 'x'), status.UNKNOWN],
      [new PluginError('ERR_BROKER_TIMEOUT', 'x'), status.UNAVAILABLE],
      [new PluginError('ERR_SESSION_CLOSED', 'x'), status.UNAVAILABLE],
      [new PluginError('ERR_CONFIG_INVALID', 'x'), status.INTERNAL],
      [new PluginError('ERR_PROCESS_EXITED', 'x', { status: 4 }), status.DEADLINE_EXCEEDED],
      [serviceError(7, 'x'), status.PERMISSION_DENIED],
      [{ code: 9, details: 'x' }, status.FAILED_PRECONDITION],
      [serviceError(0, 'x'), status.UNKNOWN],
      [serviceError(1.5, 'x'), status.UNKNOWN],
      [Object.assign(new Error('x'), { code: 'ENOENT' }), status.UNKNOWN],
      [aborted, status.CANCELLED],
      [new DOMException('late', 'TimeoutError'), status.DEADLINE_EXCEEDED],
      [new DOMException('no such node', 'NotFoundError'), status.UNKNOWN],
      [new Error('x'), status.UNKNOWN],
      ['text', status.UNKNOWN],
      [undefined, status.UNKNOWN],
      [Object.create(null), status.UNKNOWN]
    ]
    for (const [thrown, code] of cases) t.equal(toServiceError(thrown).code, code)
  })

  await t.test('sends the details, or else the message', async (t) => {
    t.same(answer(callError(5, 'short')), [5, 'short'])
    t.same(answer(new PluginError('ERR_BROKER_CLOSED', 'message')), [14, 'message'])
    t.same(answer(new Error('oops')), [2, 'oops'])
    t.same(answer({ code: 5, message: 'from message' }), [5, 'from message'])
  })

  await t.test('never sends half a surrogate pair, nor an endless text', async (t) => {
    t.equal(toServiceError(new Error('a\uD800b\uDC00c😀')).details, 'a\uFFFDb\uFFFDc😀')
    t.equal(toServiceError(new Error('x'.repeat(4096))).details, 'x'.repeat(4096))
    const { details } = toServiceError(new Error('😀'.repeat(100_000)))
    t.ok(details.length <= 4096 && details.endsWith('…'))
    t.doesNotThrow(() => encodeURI(details))
  })

  await t.test('sends its own code along, and nothing of a foreign response’s headers', async (t) => {
    const metadata = new Metadata()
    for (const key of ['content-type', 'date', 'grpc-status', 'a:b', 'connection', 'mine'])
      metadata.set(key, 'x')
    const sent = toServiceError(new PluginError('ERR_BROKER_REFUSED', 'x', { metadata })).metadata
    t.same(Object.keys(sent.getMap()).sort(), ['mine', 'muxplug-error'])
    t.same(sent.get('muxplug-error'), ['ERR_BROKER_REFUSED'])
    t.same(toServiceError(callError(5, 'x')).metadata.get('muxplug-error'), [])
    t.equal(metadata.get('date').length, 1, 'the error’s own metadata is left alone')
  })
})
