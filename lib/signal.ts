import { PluginError } from './errors.js'

/** Limits on a wait: the caller's signal, and a time in milliseconds (`Infinity`: none). */
export interface WaitOptions {
  readonly signal?: AbortSignal | undefined
  readonly timeoutMs?: number
  /** Makes the error that a time-out rejects with. */
  readonly onTimeout?: () => Error
}

/**
 * Waits for `promise`, but no longer than the options say. An aborted signal rejects with its `reason`, untouched.
 * Timer and listener are gone when the returned promise has settled; `promise` itself is left alone.
 */
export async function waitFor<T>(promise: Promise<T>, options: WaitOptions): Promise<T> {
  const { signal, timeoutMs = Infinity, onTimeout } = options
  // Nobody else may be waiting for it when a limit comes first.
  promise.catch(() => {})
  signal?.throwIfAborted()
  let timer: NodeJS.Timeout | undefined
  let onAbort: (() => void) | undefined
  const limits = new Promise<never>((_resolve, reject) => {
    if (Number.isFinite(timeoutMs)) {
      timer = setTimeout(() => {
        reject(onTimeout?.() ?? new PluginError('ERR_CONFIG_INVALID', `timed out after ${timeoutMs} ms`))
      }, timeoutMs)
    }
    if (signal !== undefined) {
      // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- the caller's reason, whatever it is
      onAbort = () => reject(signal.reason)
      signal.addEventListener('abort', onAbort, { once: true })
    }
  })
  try {
    return await Promise.race([promise, limits])
  } finally {
    clearTimeout(timer)
    if (onAbort !== undefined) signal?.removeEventListener('abort', onAbort)
  }
}

/** Resolves true when `promise` settles within `timeoutMs`, false otherwise. Never rejects. */
export async function settlesWithin(promise: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<false>((resolve) => {
    if (Number.isFinite(timeoutMs)) timer = setTimeout(() => resolve(false), timeoutMs)
  })
  const done = promise.then(
    () => true as const,
    () => true as const
  )
  try {
    return await Promise.race([done, late])
  } finally {
    clearTimeout(timer)
  }
}

/** The longest that a timer of Node runs; it fires a longer one, `Infinity` too, at once. */
const longestTimerMs = 2_147_483_647

/** A duration as `setTimeout` takes it: `Infinity` is as long as a timer can be, some 25 days. */
export function timerMs(durationMs: number): number {
  return Math.min(durationMs, longestTimerMs)
}

/**
 * Checks a duration option: a positive number of milliseconds, or `Infinity` for none.
 * @throws `ERR_CONFIG_INVALID`
 */
export function checkDuration(name: string, value: number): number {
  if (typeof value === 'number' && value > 0 && (value === Infinity || value <= longestTimerMs)) return value
  throw new PluginError('ERR_CONFIG_INVALID', `${name} is ${String(value)}, not a duration`, {
    hint: `Give ${name} as milliseconds from 1 to 2147483647, or Infinity for no limit.`
  })
}
