// What a rooted open costs beside a plain one. Run `node dist/benchmarks/micro/root-open.js` after a build.
import { mkdir, mkdtemp, open, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openRoot } from '../../lib/host/index.js'

const rounds = 15
const opens = 1000

const directory = await mkdtemp(join(tmpdir(), 'muxplug-bench-'))
try {
  await mkdir(join(directory, 'a/b/c/d/e'), { recursive: true })
  for (const path of ['file', 'a/b/file', 'a/b/c/d/e/file']) await writeFile(join(directory, path), '')
  await symlink('a/b/file', join(directory, 'link'))
  await using root = await openRoot(directory)

  for (const path of ['file', 'a/b/file', 'a/b/c/d/e/file', 'link']) {
    const plain: number[] = []
    const rooted: number[] = []
    // In turns, so that both meet the same machine.
    for (let round = 0; round <= rounds; round += 1) {
      plain.push(await time(() => open(join(directory, path))))
      rooted.push(await time(() => root.open(path)))
    }
    const [base, cost] = [median(plain.slice(1)), median(rooted.slice(1))]
    console.log(
      `${path.padEnd(16)} ${base.toFixed(1)} us plain, ${cost.toFixed(1)} us rooted: ${(cost / base).toFixed(1)} times`
    )
  }
} finally {
  await rm(directory, { recursive: true })
}

/** Microseconds for one open and close, of many one after another. */
async function time(openFile: () => ReturnType<typeof open>): Promise<number> {
  const begin = performance.now()
  for (let count = 0; count < opens; count += 1) await (await openFile()).close()
  return ((performance.now() - begin) * 1000) / opens
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!
}
