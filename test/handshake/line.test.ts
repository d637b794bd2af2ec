import { join } from 'node:path'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { formatLine, parseLine, type HandshakeLine } from '../../lib/handshake/line.js'
import { packageRoot } from '../helpers/paths.js'

interface Case {
  readonly title: string
  readonly text: string
  readonly line: HandshakeLine
}
interface Golden {
  readonly both: readonly Case[]
  readonly parse: readonly Case[]
  readonly malformed: ReadonlyArray<{ readonly text: string; readonly says: string }>
  readonly junk: readonly string[]
}
const golden = JSON.parse(
  readFileSync(join(packageRoot, 'test/golden/handshake-lines.json'), 'utf8')
) as Golden

await t.test('formats and reads the golden lines', async (t) => {
  for (const { title, text, line } of golden.both) {
    t.equal(formatLine(line), text, `${title}: formatted`)
    t.strictSame(parseLine(text), { ok: line }, `${title}: read`)
  }
})

await t.test('reads what other plugins print', async (t) => {
  for (const { title, text, line } of golden.parse) t.strictSame(parseLine(text), { ok: line }, title)
})

await t.test('says what is wrong with a malformed line', async (t) => {
  for (const { text, says } of golden.malformed) t.strictSame(parseLine(text), { malformed: says }, text)
})

await t.test('takes text that does not begin like a line for junk', async (t) => {
  for (const text of golden.junk) t.equal(parseLine(text), undefined, JSON.stringify(text))
})

await t.test('bounds what it accepts and what it quotes', async (t) => {
  const big = 'A'.repeat(60_000)
  const lines = [`1|${big}|fd|3`, `1|1|${big}|3`, `1|1|unix|${big}`, `1|1|tcp|${big}:1`, `1|1|fd|3|${big}`]
  lines.push(
    `1|1|fd|3|grpc|${big}`,
    `1|1|fd|3|grpc||${big}`,
    `1|1|fd|3|grpc|||${big}`,
    `1|${big}`,
    `${'1'.repeat(60_000)}|1|fd|3`
  )
  for (const line of lines) {
    const parsed = parseLine(line)
    t.ok(parsed !== undefined && 'malformed' in parsed, `${line.slice(0, 20)}...`)
    t.ok(parsed !== undefined && 'malformed' in parsed && parsed.malformed.length < 200, 'the text is short')
  }
  t.match(parseLine(`1|1|unix|/${'x'.repeat(4000)}`), { ok: {} }, 'a long path')
  t.match(parseLine(`1|1|unix|/p|grpc|${'A'.repeat(16_384)}`), { ok: {} }, 'a long certificate')
})

await t.test('quotes control characters', async (t) => {
  t.strictSame(parseLine('1|\u001b[2J|fd|3'), {
    malformed: 'application protocol version "\\u001b[2J" is not a number'
  })
})

await t.test('strips the padding of a certificate', async (t) => {
  const line = { appVersion: 1, network: 'unix', address: '/p', protocol: 'grpc', wires: [] } as const
  t.equal(formatLine({ ...line, certificate: 'QUJD==' }), '1|1|unix|/p|grpc|QUJD')
})

await t.test('refuses an address that the line cannot express', async (t) => {
  for (const address of ['/tmp/a|b', '/tmp/a\nb']) {
    t.throws(() => formatLine({ appVersion: 1, network: 'unix', address, protocol: 'grpc', wires: [] }), {
      code: 'ERR_HANDSHAKE_TRANSPORT'
    })
  }
})
