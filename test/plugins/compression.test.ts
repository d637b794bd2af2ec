import '../helpers/plain-children.js'
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import t from 'tap'
import { Digest } from '#proto/digest/v1/digest.js'
import { isWorthCompressing } from '../../plugins/compression/choice.js'
import { checkPage, launchExample } from '../helpers/example.js'

t.test('the page', (t) => checkPage(t, 'compression'))

t.test('what is short, or does not become smaller, is not worth it', async (t) => {
  const text = Buffer.from('plain text. '.repeat(10_000))
  t.equal(await isWorthCompressing(text), true)
  t.equal(await isWorthCompressing(text.subarray(0, 4 * 4096)), true)
  t.equal(await isWorthCompressing(text.subarray(0, 4 * 4096 - 1)), false)
  t.equal(await isWorthCompressing(randomBytes(text.length)), false)
  t.equal(await isWorthCompressing(Buffer.alloc(0)), false)
})

const linux = process.platform === 'linux' ? {} : { skip: 'what a process reads is only told on Linux' }

t.test('a compressed connection sends fewer bytes, one that is not sends them all', linux, async (t) => {
  const plugin = await launchExample(t, 'compression')
  const bytesRead = async (): Promise<number> => {
    const io = await readFile(`/proc/${plugin.pid}/io`, 'utf8')
    return Number(/^rchar: (\d+)$/m.exec(io)?.[1])
  }
  const data = Buffer.alloc(4 * 1024 * 1024, 'plain text. ')
  const read = async (compression: 'identity' | 'gzip' | 'deflate'): Promise<number> => {
    const client = plugin.broker.dial(0, { compression }).dispense(Digest)
    const before = await bytesRead()
    await client.sum({ data })
    return (await bytesRead()) - before
  }
  t.ok((await read('identity')) >= data.length)
  for (const compression of ['gzip', 'deflate'] as const) {
    t.ok((await read(compression)) < data.length / 4, compression)
  }
})
