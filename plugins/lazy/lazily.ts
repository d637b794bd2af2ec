/**
 * Runs `connect` on the first use, not before. Uses at the same time share one run, and all later ones its outcome; after one
 * that failed, the next use runs it again.
 */
export function lazily<T>(connect: () => Promise<T>): () => Promise<T> {
  let connected: Promise<T> | undefined
  return () => {
    if (connected !== undefined) return connected
    // Also what throws at once is an attempt that failed.
    const attempt = (async () => connect())()
    attempt.catch(() => (connected = undefined))
    connected = attempt
    return attempt
  }
}
