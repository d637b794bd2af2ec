/** One listener for all: each accepted broker ID has a socket. */
const removals = new Set<() => void>()

function removeAll(): void {
  for (const remove of removals) remove()
}

/**
 * Calls `remove` when the process exits, but not when a signal ends it. What is returned takes that back, and
 * says whether there was anything to take back.
 */
export function atExit(remove: () => void): () => boolean {
  if (removals.size === 0) process.on('exit', removeAll)
  removals.add(remove)
  return () => {
    const was = removals.delete(remove)
    if (was && removals.size === 0) process.off('exit', removeAll)
    return was
  }
}
