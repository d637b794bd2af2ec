import { promisify } from 'node:util'
import { deflate } from 'node:zlib'

/** So much of a payload tells whether the rest is worth compressing. */
const sampleBytes = 4096

/** Whether a payload is large, and its middle becomes smaller by a quarter at least. */
export async function isWorthCompressing(data: Uint8Array): Promise<boolean> {
  if (data.length < 4 * sampleBytes) return false
  const middle = Math.floor((data.length - sampleBytes) / 2)
  const sample = data.subarray(middle, middle + sampleBytes)
  return (await promisify(deflate)(sample)).length < 0.75 * sampleBytes
}
