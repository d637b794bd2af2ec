import { createHash, timingSafeEqual } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { invalidOption } from '../check.js'
import { PluginError } from '../errors.js'

/** What a file has to hash to. */
export interface Checksum {
  /** A hash of `crypto.getHashes()`, in any case. Default `sha256`. */
  readonly algorithm?: string
  /** The whole digest: bytes, or hexadecimal text. */
  readonly digest: string | Uint8Array
}

/**
 * Hashes a file, in pieces.
 * @throws `ERR_CONFIG_INVALID` for an unknown algorithm, `ERR_SECURITY_CHECKSUM` when the file cannot be
 * read, and the signal's reason
 */
export async function hashFile(
  path: string,
  algorithm = 'sha256',
  options: { readonly signal?: AbortSignal } = {}
): Promise<Buffer> {
  const { signal } = options
  const hash = newHash(algorithm)
  signal?.throwIfAborted()
  try {
    await pipeline(createReadStream(path), hash, signal === undefined ? {} : { signal })
  } catch (cause) {
    signal?.throwIfAborted()
    const message = `${path} cannot be hashed: ${cause instanceof Error ? cause.message : String(cause)}`
    throw new PluginError('ERR_SECURITY_CHECKSUM', message, {
      cause,
      hint: 'Check that the path names a file which this process may read.'
    })
  }
  return hash.digest()
}

/**
 * Checks that a file is the one that is expected; the comparison takes the same time whatever differs. What
 * happens to the file afterwards is the caller's to prevent.
 * @throws `ERR_SECURITY_CHECKSUM` when it is another or cannot be read; `ERR_CONFIG_INVALID` for an unknown
 * algorithm or a digest that is not one of that algorithm; the signal's reason
 */
export async function verifyFile(
  path: string,
  checksum: Checksum,
  options: { readonly signal?: AbortSignal } = {}
): Promise<void> {
  const { algorithm = 'sha256' } = checksum
  const expected = parseDigest(algorithm, checksum.digest)
  const actual = await hashFile(path, algorithm, options)
  if (timingSafeEqual(expected, actual)) return
  const [want, got] = [expected.toString('hex'), actual.toString('hex')]
  throw new PluginError(
    'ERR_SECURITY_CHECKSUM',
    `${path} has the ${algorithm} checksum ${got}, not ${want}`,
    {
      hint: 'It is another file: install it again, or update the checksum if the change was meant.'
    }
  )
}

/**
 * @throws `ERR_CONFIG_INVALID` when it cannot be a digest of `algorithm`: a short one would match too much.
 */
function parseDigest(algorithm: string, digest: string | Uint8Array): Buffer {
  const length = newHash(algorithm).digest().length
  const hint = `Give the whole ${algorithm} digest: ${length} bytes, or ${2 * length} hexadecimal digits.`
  if (typeof digest !== 'string') {
    if (digest.length !== length) throw invalidOption('digest', `${digest.length} bytes`, hint)
    return Buffer.from(digest)
  }
  if (digest.length !== 2 * length || !/^[0-9a-f]+$/i.test(digest))
    throw invalidOption('digest', digest, hint)
  return Buffer.from(digest, 'hex')
}

function newHash(algorithm: string): ReturnType<typeof createHash> {
  try {
    return createHash(algorithm)
  } catch {
    throw invalidOption('algorithm', algorithm, 'Choose one of crypto.getHashes(), such as sha256 or sha512.')
  }
}
