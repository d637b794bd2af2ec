const threeDigits = new Intl.NumberFormat('en-US', { maximumSignificantDigits: 3 })

/** The steps of units that are shown in larger ones, the smallest first. */
const steps: Readonly<Record<string, readonly (readonly [size: number, name: string])[]>> = {
  us: [
    [1, 'µs'],
    [1000, 'ms'],
    [1_000_000, 's']
  ],
  bytes: [
    [1, 'bytes'],
    [2 ** 10, 'KiB'],
    [2 ** 20, 'MiB'],
    [2 ** 30, 'GiB']
  ],
  count: [[1, '']],
  's/10k calls': [[1, 's']],
  x: [[1, '×']]
}

/** What of a unit a number is best shown in. */
export function stepFor(value: number, unit: string): { readonly size: number; readonly name: string } {
  const known = steps[unit] ?? [[1, unit]]
  const [size, name] = known.findLast(([size]) => Math.abs(value) >= size) ?? known[0]!
  return { size, name }
}

/** Three digits that count, with the unit. Nothing is nothing in all units. */
export function formatValue(value: number, unit: string): string {
  if (value === 0) return '0'
  const { size, name } = stepFor(value, unit)
  return `${formatNumber(value / size)} ${name}`.trim()
}

/** The same for an axis, where a long unit takes too much room: the values of the rows show it. */
export function formatTick(value: number, unit: string): string {
  return steps[unit] === undefined ? formatNumber(value) : formatValue(value, unit)
}

function formatNumber(value: number): string {
  return threeDigits.format(value)
}

export function formatRatio(ratio: number): string {
  return `${formatNumber(ratio)}×`
}
