/** The newest application protocol version that both lists hold; undefined when there is none. */
export function chooseVersion(own: readonly number[], theirs: readonly number[]): number | undefined {
  return own.filter((version) => theirs.includes(version)).toSorted((a, b) => b - a)[0]
}

/**
 * What a plugin answers to the versions of its host: the newest in common, else its own lowest, which the host then
 * rejects with both lists at hand (go-plugin's `protocolVersion`).
 * @param own at least one version
 */
export function answerVersion(own: readonly number[], theirs: readonly number[]): number {
  return chooseVersion(own, theirs) ?? Math.min(...own)
}
