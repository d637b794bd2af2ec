import { createHash, timingSafeEqual } from 'node:crypto'
import type { Cookie } from './env.js'

export interface CookieProblem {
  readonly code: 'ERR_HANDSHAKE_COOKIE'
  /** For stderr; several lines, without a newline at the end. Names the variable, never a value. */
  readonly text: string
  /** True when the variable is not set: most likely a person ran the plugin by hand. */
  readonly missing: boolean
}

/** undefined when the cookie is right; otherwise what to tell the person who started this plugin. */
export function cookieProblem(
  expected: Cookie,
  actual: string | undefined,
  programName: string
): CookieProblem | undefined {
  if (actual === undefined || actual === '') {
    return {
      code: 'ERR_HANDSHAKE_COOKIE',
      missing: true,
      text:
        `${programName} is a plugin. It does nothing when run by itself.\n` +
        `Start the program that uses it, which runs its plugins as it needs them ` +
        `and sets ${expected.cookieKey} for them.`
    }
  }
  if (timingSafeEqual(digest(actual), digest(expected.cookieValue))) return undefined
  return {
    code: 'ERR_HANDSHAKE_COOKIE',
    missing: false,
    text:
      `${programName} is a plugin, but not of the program that started it: ` +
      `the value of ${expected.cookieKey} is not the one it expects.\n` +
      `Host and plugin must be built with the same cookie.`
  }
}

/** Digests have one length, which a comparison in constant time needs. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
