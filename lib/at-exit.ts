/** One listener for all: each accepted broker ID may have a socket to remove. */
const actions = new Set<() => void>()

function runAll(): void {
  for (const action of actions) action()
}

/**
 * Runs `action`, which must not throw, when the process exits, but not when a signal ends it. What is returned takes that
 * back, and says whether there was anything to take back.
 */
export function atExit(action: () => void): () => boolean {
  if (actions.size === 0) process.on('exit', runAll)
  actions.add(action)
  return () => {
    const was = actions.delete(action)
    if (was && actions.size === 0) process.off('exit', runAll)
    return was
  }
}
