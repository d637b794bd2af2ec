import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { hashFile, verifyFile } from '../../lib/security/checksum.js'

const content = Buffer.alloc(300_000, 'plugin')
const sha256 = createHash('sha256').update(content).digest()
const path = join(t.testdir(), 'program')
writeFileSync(path, content)

t.test('a file is hashed as a whole, by any algorithm of Node', async (t) => {
  t.same(await hashFile(path), sha256)
  t.same(await hashFile(path, 'SHA512'), createHash('sha512').update(content).digest())
  await t.rejects(hashFile(path, 'crc'), { code: 'ERR_CONFIG_INVALID' })
})

t.test('the file that was expected passes, its checksum given as text or bytes', async (t) => {
  await t.resolves(verifyFile(path, { digest: sha256 }))
  await t.resolves(verifyFile(path, { digest: sha256.toString('hex') }))
  await t.resolves(verifyFile(path, { algorithm: 'sha256', digest: sha256.toString('hex').toUpperCase() }))
  await t.resolves(
    verifyFile(path, { algorithm: 'md5', digest: createHash('md5').update(content).digest('hex') })
  )
})

t.test('another file does not, and the message has path and both checksums', async (t) => {
  const wanted = createHash('sha256').update('another').digest()
  await t.rejects(verifyFile(path, { digest: wanted }), {
    code: 'ERR_SECURITY_CHECKSUM',
    message: new RegExp(`program.*${sha256.toString('hex')}.*${wanted.toString('hex')}`)
  })
})

t.test('what cannot be a whole digest is refused before anything is read', async (t) => {
  const none = join(path, 'nowhere')
  for (const digest of [
    '',
    'ab',
    sha256.toString('hex').slice(2),
    'g'.repeat(64),
    Buffer.alloc(0),
    sha256.subarray(1)
  ]) {
    await t.rejects(verifyFile(none, { digest }), { code: 'ERR_CONFIG_INVALID' })
  }
})

t.test('a file that cannot be read is not the one expected', async (t) => {
  for (const bad of [join(t.testdir(), 'missing'), t.testdir()]) {
    await t.rejects(verifyFile(bad, { digest: sha256 }), { code: 'ERR_SECURITY_CHECKSUM', cause: Error })
  }
})

t.test('an aborted signal rejects with its reason', async (t) => {
  const reason = new Error('enough')
  await t.rejects(hashFile(path, 'sha256', { signal: AbortSignal.abort(reason) }), reason)
  const controller = new AbortController()
  const hashing = hashFile(path, 'sha256', { signal: controller.signal })
  controller.abort(reason)
  await t.rejects(hashing, reason)
})
