import type { EventEmitter } from 'node:events'

/** What can be told whether it keeps the process running, and says when it is gone: a socket, a server. */
export type RefHandle = Pick<EventEmitter, 'once'> & {
  ref(): unknown
  unref(): unknown
}

/** Handles that keep the process running together, or not at all. */
export interface RefGroup {
  /** Takes a handle that is still open; it counts with the group from now on, until its `close`. */
  add(handle: RefHandle): void
  /** The group keeps the process running for as long as it has a handle, as at the beginning. */
  ref(): void
  /** It does not. */
  unref(): void
}

/** The longest that a timer of Node runs, some 25 days; it does nothing, and begins again. */
const longestTimerMs = 2 ** 31 - 1

/**
 * A group without handles, which keeps the process running once it has one. A timer does so for all of them: a call begins
 * and ends by `ref()` and `unref()`, which must not cost more where there are a thousand handles.
 */
export function createRefGroup(): RefGroup {
  const handles = new Set<RefHandle>()
  let holding = true
  let holder: NodeJS.Timeout | undefined

  function hold(wanted: boolean): void {
    holding = wanted
    if (holding) holder?.ref()
    else holder?.unref()
  }

  return {
    add(handle) {
      handle.unref()
      if (handles.has(handle)) return
      handles.add(handle)
      holder ??= setInterval(() => {}, longestTimerMs)
      hold(holding)
      handle.once('close', () => {
        handles.delete(handle)
        if (handles.size > 0) return
        clearInterval(holder)
        holder = undefined
      })
    },
    ref: () => hold(true),
    unref: () => hold(false)
  }
}
