/**
 * The IDs a peer may skip and use later. Go's yamux takes the ID before it queues the SYN, so two opens at
 * once may leave in the other order.
 */
const maxLateIds = 1024

/** Which substream IDs the peer has used: each once, in its half of the numbers, and never going back for long. */
export interface PeerIds {
  /** Notes that the peer opens `id`. Says what is wrong with it; undefined when nothing is. */
  begin(id: number): string | undefined
}

/** @param parity of the peer's IDs: 1 for a yamux client, 0 for a server */
export function createPeerIds(parity: 0 | 1): PeerIds {
  const lateIds = new Set<number>()
  let lastId = parity === 1 ? -1 : 0

  return {
    begin: (id) => {
      if (id % 2 !== parity) return `substream ${id} has an ID of our own half`
      if (id <= lastId) return lateIds.delete(id) ? undefined : `substream ${id} was opened twice`
      for (let skipped = Math.max(lastId + 2, id - 2 * maxLateIds); skipped < id; skipped += 2) {
        lateIds.add(skipped)
      }
      for (const oldest of lateIds) {
        if (lateIds.size <= maxLateIds) break
        lateIds.delete(oldest)
      }
      lastId = id
      return undefined
    }
  }
}
