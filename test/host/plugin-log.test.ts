import { PassThrough } from 'node:stream'
import t from 'tap'
import { capturePluginOutput } from '../../lib/host/plugin-log.js'
import { formatRecord } from '../../lib/plugin/logger.js'
import { recordingLogger } from '../helpers/launch.js'

/** What becomes of lines on stderr and stdout. */
async function captured({ stderr = '', stdout = '' }: { stderr?: string; stdout?: string }) {
  const logger = recordingLogger()
  const child = { stderr: new PassThrough(), stdout: new PassThrough() }
  const log = capturePluginOutput(child, logger)
  child.stderr.end(stderr)
  child.stdout.end(stdout)
  await logger.seen(({ message }) => message === 'the last line')
  return { log, records: logger.records.filter(({ message }) => message !== 'the last line') }
}

const last = 'the last line\n'

t.test('a record of hclog keeps its level, message and fields', async (t) => {
  const line =
    '{"@level":"WARN","@message":"low","@module":"m","@timestamp":"2026-01-02T03:04:05.000006Z","left":3}\n'
  const { records } = await captured({ stderr: line + last })
  t.same(records, [
    {
      level: 'warn',
      message: 'low',
      fields: { '@module': 'm', left: 3, timestamp: '2026-01-02T03:04:05.000006Z', stream: 'stderr' }
    }
  ])
})

t.test('lines that only look like a record are text, whatever is wrong with them', async (t) => {
  const lines = [
    '{"@level":30,"@message":"numeric level"}',
    '{"@level":"fatal","@message":"unknown level"}',
    '{"@level":"info","@message":{"not":"a string"}}',
    '{"@level":"info"}',
    '{"@message":"no level"}',
    '{"truncated',
    '{}',
    '[]',
    'null',
    '{"__proto__":{"polluted":true},"@level":"info"}'
  ]
  const { records } = await captured({ stderr: `${lines.join('\n')}\n${last}` })
  t.same(
    records.map(({ level, message }) => ({ level, message })),
    lines.map((message) => ({ level: 'debug', message }))
  )
  t.notOk('polluted' in {})
})

t.test('text follows go-plugin: a prefix names the level, a panic makes the rest errors', async (t) => {
  const lines = ['[WARN] careful', ' [WARN] not in front', '[info] not in capitals', 'plain']
  const panic = ['panic: oh no', 'goroutine 1', '[DEBUG] keeps its level', 'and on']
  const { records } = await captured({ stderr: [...lines, ...panic, ''].join('\n'), stdout: last })
  t.same(
    records.map(({ level }) => level),
    ['warn', 'debug', 'debug', 'debug', 'error', 'error', 'debug', 'error']
  )
})

t.test('a plugin cannot forge the names that the host gives its own fields', async (t) => {
  const line =
    '{"@level":"info","@message":"x","plugin":"other","pid":1,"stream":"fake","level":"error","msg":"y"}\n'
  const { records } = await captured({ stderr: line + last })
  t.same(records[0]!.fields, {
    plugin_: 'other',
    pid_: 1,
    stream_: 'fake',
    level_: 'error',
    msg_: 'y',
    stream: 'stderr'
  })
})

t.test('the tail keeps the last lines, bounded in number and length', async (t) => {
  const lines = Array.from({ length: 100 }, (_, index) => `line ${index}`)
  const { log } = await captured({ stderr: `${lines.join('\n')}\n${'x'.repeat(10_000)}\n${last}` })
  t.equal(log.tail!.length, 20)
  t.equal(log.tail!.at(-1), 'the last line')
  t.equal(log.tail!.at(-2)!.length, 500)
  t.equal(log.tail!.at(0), 'line 82')
})

t.test('a complaint is an error record with one of our codes', async (t) => {
  const complaint = formatRecord('error', 'cannot', { code: 'ERR_HANDSHAKE_COOKIE', hint: 'do this' })
  t.match((await captured({ stderr: complaint + last })).log.complaint, {
    code: 'ERR_HANDSHAKE_COOKIE',
    message: 'cannot',
    hint: 'do this'
  })
  for (const other of [
    formatRecord('info', 'cannot', { code: 'ERR_HANDSHAKE_COOKIE' }),
    formatRecord('error', 'cannot', { code: 'ERR_OF_SOMEBODY_ELSE' }),
    formatRecord('error', 'cannot', { code: 'ERR_PROCESS_EXITED' }),
    formatRecord('error', 'cannot', { code: 42 })
  ]) {
    t.equal((await captured({ stderr: other + last })).log.complaint, undefined)
  }
})

t.test('a handshake line on stdout is found behind other lines, which are logged', async (t) => {
  const line = '1|1|unix|/tmp/x|grpc|\n'
  const { log, records } = await captured({ stdout: `hello\n${line}after\n`, stderr: last })
  t.match(await log.handshake, {
    t: 'line',
    value: { ok: { network: 'unix', address: '/tmp/x' } },
    junk: ['hello']
  })
  t.same(
    records.filter(({ fields }) => fields['stream'] === 'stdout').map(({ message }) => message),
    ['hello', 'after']
  )
})

t.test('a malformed handshake line on stdout is told as such', async (t) => {
  const { log } = await captured({ stdout: '1|1|carrier-pigeon|x|grpc|\n', stderr: last })
  t.match(await log.handshake, { t: 'line', value: { malformed: /carrier-pigeon/ } })
})

t.test('stdout that ends, or goes on for too long, without a handshake is told', async (t) => {
  t.match(await (await captured({ stdout: 'hello\n', stderr: last })).log.handshake, {
    t: 'end',
    junk: ['hello']
  })
  const banner = 'x'.repeat(1000) + '\n'
  t.match(await (await captured({ stdout: banner.repeat(100), stderr: last })).log.handshake, {
    t: 'overflow'
  })
})
