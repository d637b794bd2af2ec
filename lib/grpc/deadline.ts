import type { Deadline } from '@grpc/grpc-js'

/** The longest delay `setTimeout` takes; a longer one would fire at once. */
const maxDelayMs = 2_147_483_647

/**
 * A deadline as milliseconds since the epoch; `Infinity` is none, `-Infinity` has passed.
 * @throws TypeError for NaN and an invalid Date, which compare false with every time
 */
export function deadlineMs(deadline: Deadline): number {
  const ms = deadline instanceof Date ? deadline.getTime() : deadline
  if (typeof ms !== 'number' || Number.isNaN(ms)) {
    throw new TypeError('Channel#createCall: deadline must be a number or Date')
  }
  return ms
}

/** Calls back once `deadline` (ms since the epoch) has passed, never in the same tick. Gives what cancels it. */
export function onDeadline(deadline: number, expire: () => void): () => void {
  if (deadline === Infinity) return () => {}
  let timer: NodeJS.Timeout
  const arm = () => {
    const remainingMs = Math.max(0, deadline - Date.now())
    timer = setTimeout(remainingMs > maxDelayMs ? arm : expire, Math.min(remainingMs, maxDelayMs))
  }
  arm()
  return () => clearTimeout(timer)
}

/**
 * The value of `grpc-timeout` for `remainingMs`: at most 8 digits and a unit, rounded up, at least 1 (gRPC over
 * HTTP/2, Timeout). Never more than 2147483 s, about 25 days: grpc-js servers keep the time in a 32-bit integer of
 * milliseconds and end a call with more at once.
 */
export function formatTimeout(remainingMs: number): string {
  const ms = Math.max(1, Math.ceil(remainingMs))
  if (ms < 1e8) return `${ms}m`
  return `${Math.min(Math.ceil(ms / 1000), Math.floor(maxDelayMs / 1000))}S`
}
