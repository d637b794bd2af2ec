import { tooManyDials } from './errors.js'
import { type WaitOptions, waitFor } from '../signal.js'
import type { SocketAddress } from '../stream/socket.js'

export interface AddressBookOptions {
  /** Addresses that are kept. Beyond it those found already go first, then the oldest. */
  readonly maxAddresses: number
  /** Searches that may wait at once. */
  readonly maxWaiting: number
}

/**
 * Where the other side's broker IDs are to be reached: the last address heard of each, for any number of
 * dials.
 */
export interface AddressBook {
  /** The other side listens for `id` at `place`: whoever waits for that is told. */
  add(id: number, place: SocketAddress): void
  /**
   * The address of `id`, once it is known.
   * @throws `ERR_BROKER_REFUSED` when too many wait, and what {@link waitFor} throws
   */
  find(id: number, options: WaitOptions): Promise<SocketAddress>
  /** Nobody listens at `place` any more; a newer address of `id` stays. */
  remove(id: number, place: SocketAddress): void
  /** Searches that wait now. */
  readonly waiting: number
}

export function createAddressBook({ maxAddresses, maxWaiting }: AddressBookOptions): AddressBook {
  /** Oldest first. */
  const known = new Map<number, { readonly place: SocketAddress; found: boolean }>()
  const waiting = new Set<{ readonly id: number; readonly tell: (place: SocketAddress) => void }>()

  function makeRoom(): void {
    if (known.size < maxAddresses) return
    let [gone] = known.keys()
    for (const [id, { found }] of known) {
      if (!found) continue
      gone = id
      break
    }
    if (gone !== undefined) known.delete(gone)
  }

  return {
    add(id, place) {
      const searches = [...waiting].filter((search) => search.id === id)
      known.delete(id)
      makeRoom()
      known.set(id, { place, found: searches.length > 0 })
      for (const { tell } of searches) tell(place)
    },

    async find(id, limits) {
      const entry = known.get(id)
      if (entry !== undefined) {
        entry.found = true
        return entry.place
      }
      if (waiting.size >= maxWaiting) throw tooManyDials(id)
      let leave = (): void => {}
      const heard = new Promise<SocketAddress>((tell) => {
        const search = { id, tell }
        waiting.add(search)
        leave = () => waiting.delete(search)
      })
      try {
        return await waitFor(heard, limits)
      } finally {
        leave()
      }
    },

    remove(id, place) {
      const entry = known.get(id)
      if (entry?.place.address === place.address && entry.place.network === place.network) known.delete(id)
    },

    get waiting() {
      return waiting.size
    }
  }
}
