// What generated code needs at run time.
export { default } from 'protobufjs/minimal.js'

/** An integer of 64 bits as a number. @throws RangeError where that is not exact */
export function $exact(value, lowest = Number.MIN_SAFE_INTEGER) {
  const number = Number(value)
  if (Number.isSafeInteger(number) && number >= lowest) return number
  throw RangeError(`${value} is not an integer from ${lowest} to ${Number.MAX_SAFE_INTEGER}`)
}

export function $allExact(values, lowest) {
  return values.map((value) => $exact(value, lowest))
}

/** Reads a packed field of the reader's `kind` behind what `values` has already. */
export function $readExact(reader, kind, values) {
  let next = values.length
  reader[kind](values)
  for (; next < values.length; next++) values[next] = $exact(values[next])
}
