/** A source of numbers that a seed repeats. */
export interface Random {
  /** An integer from `least` to `most`, both included. */
  int(least: number, most: number): number
  /** True with the given probability. */
  chance(probability: number): boolean
  pick<T>(items: readonly T[]): T
  /** An unsigned 32-bit value, often one at an edge: 0, 1, a window, a sign bit, all ones. */
  uint32(): number
  bytes(length: number): Buffer
}

const edges = [
  0,
  1,
  2,
  3,
  12,
  13,
  255,
  65_535,
  65_536,
  131_072,
  262_143,
  262_144,
  262_145,
  2 ** 31 - 1,
  2 ** 31
]

/** sfc32 of PractRand, seeded with two numbers: the run and the case of it. */
export function createRandom(seed: number, number: number): Random {
  let a = seed >>> 0
  let b = number >>> 0
  let c = Math.floor(seed / 2 ** 32) >>> 0
  let counter = 1
  const next = (): number => {
    const sum = (a + b + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (((c << 21) | (c >>> 11)) + sum) | 0
    return sum >>> 0
  }
  for (let round = 0; round < 15; round++) next()

  const int = (least: number, most: number): number => least + (next() % (most - least + 1))
  const pick = <T>(items: readonly T[]): T => items[int(0, items.length - 1)]!
  return {
    int,
    pick,
    chance: (probability) => next() < probability * 2 ** 32,
    uint32: () => {
      const way = int(0, 3)
      if (way === 0) return pick(edges)
      if (way === 1) return 2 ** 32 - 1 - pick(edges.slice(0, 10))
      return way === 2 ? int(0, 20) : next()
    },
    bytes: (length) => {
      const bytes = Buffer.allocUnsafe(length)
      for (let index = 0; index < length; index++) bytes[index] = next()
      return bytes
    }
  }
}
