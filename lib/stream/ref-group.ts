import type { EventEmitter } from 'node:events'

/** What can be told whether it keeps the process running, and says when it is gone: a socket, a server. */
export type RefHandle = Pick<EventEmitter, 'once'> & {
  ref(): unknown
  unref(): unknown
}

/** Handles that keep the process running together, or not at all. */
export interface RefGroup {
  /** Takes a handle that is still open; it is as the group is from now on, until its `close`. */
  add(handle: RefHandle): void
  /** Every handle keeps the process running, as at the beginning. */
  ref(): void
  /** None does. */
  unref(): void
}

/** A group without handles, which keeps the process running. */
export function createRefGroup(): RefGroup {
  const handles = new Set<RefHandle>()
  let holding = true

  function apply(handle: RefHandle): void {
    if (holding) handle.ref()
    else handle.unref()
  }

  function hold(wanted: boolean): void {
    if (holding === wanted) return
    holding = wanted
    handles.forEach(apply)
  }

  return {
    add(handle) {
      apply(handle)
      if (handles.has(handle)) return
      handles.add(handle)
      handle.once('close', () => handles.delete(handle))
    },
    ref: () => hold(true),
    unref: () => hold(false)
  }
}
