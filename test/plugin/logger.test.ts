import t from 'tap'
import { formatRecord } from '../../lib/plugin/logger.js'

t.test('a record is one JSON line in the form of hclog', (t) => {
  const line = formatRecord('info', 'started', { port: 1 }, 'lister')
  t.ok(line.endsWith('}\n'))
  t.match(JSON.parse(line), { '@level': 'info', '@message': 'started', '@module': 'lister', port: 1 })
  t.notOk('@module' in (JSON.parse(formatRecord('info', 'x', {})) as object))
  t.end()
})

t.test('the timestamp has exactly six fraction digits, or Go hosts take the line for text', (t) => {
  const { '@timestamp': timestamp } = JSON.parse(formatRecord('info', 'x', {})) as Record<string, string>
  t.match(timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
  t.end()
})

t.test("fields cannot take the place of hclog's own, of which a wrong type crashes Go hosts", (t) => {
  const record = JSON.parse(
    formatRecord('warn', 'x', { '@level': 5, '@message': null, '@timestamp': 1 })
  ) as object
  t.match(record, { '@level': 'warn', '@message': 'x', '@timestamp': String, _level: 5, _message: null })
  t.end()
})

t.test('a message with newlines stays one line', (t) => {
  t.equal(formatRecord('info', 'a\nb', { text: 'c\r\nd' }).split('\n').length, 2)
  t.end()
})

t.test('values that JSON cannot hold are replaced, never thrown', (t) => {
  const circular: Record<string, unknown> = { name: 'loop' }
  circular['self'] = circular
  const bad = {
    toJSON: () => {
      throw new Error('no')
    }
  }
  for (const fields of [{ value: 1n }, { value: circular }, { value: bad }, { error: new Error('told') }]) {
    t.match(JSON.parse(formatRecord('info', 'kept', fields)), { '@message': 'kept' })
  }
  t.match(JSON.parse(formatRecord('info', 'x', { error: new Error('told') })), { error: 'told' })
  t.match(JSON.parse(formatRecord('info', 'x', { big: 2n ** 64n })), { big: '18446744073709551616' })
  t.end()
})
