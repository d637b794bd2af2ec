import { PluginError } from './errors.js'

/** The error for an option that cannot be: names it, shows the value, says what to give instead. */
export function invalidOption(name: string, value: unknown, hint: string): PluginError {
  let shown = JSON.stringify(value) ?? String(value)
  if (shown.length > 200) shown = `${shown.slice(0, 200)}...`
  return new PluginError('ERR_CONFIG_INVALID', `${name} is ${shown}`, { hint })
}

/** Checks a size: a whole number of bytes, at most gRPC's 2^31-1. @throws `ERR_CONFIG_INVALID` */
export function checkBytes(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value > 0 && value <= 0x7fff_ffff) return value
  throw invalidOption(name, value, `Give ${name} as a whole number of bytes from 1 to 2147483647.`)
}

/** Checks that a word is one of those that may be chosen. @throws `ERR_CONFIG_INVALID` */
export function checkChoice<T extends string>(name: string, value: string, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === value)
  if (found !== undefined) return found
  throw invalidOption(name, value, `Choose one of: ${choices.join(', ')}.`)
}
