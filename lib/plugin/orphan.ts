/** How often a plugin looks whether it still has a host, in ms; at least four times within the time-out. */
const longestPollMs = 2000

/**
 * Watches for the end of a host that leaves no other trace: calls `onOrphan` when the process that started this one is
 * gone and nobody has been connected for `timeoutMs`. Does not keep the process running.
 */
export function watchForOrphan(
  isConnected: () => boolean,
  timeoutMs: number,
  onOrphan: () => void,
  parent: () => number = () => process.ppid
): void {
  if (!Number.isFinite(timeoutMs)) return
  const started = parent()
  let aloneSince: number | undefined
  const timer = setInterval(
    () => {
      // Another host may connect at any time (go-plugin calls it reattached), or the first one still run.
      if (isConnected() || parent() === started) {
        aloneSince = undefined
        return
      }
      aloneSince ??= performance.now()
      if (performance.now() - aloneSince < timeoutMs) return
      clearInterval(timer)
      onOrphan()
    },
    Math.max(1, Math.min(longestPollMs, timeoutMs / 4))
  )
  timer.unref()
}
