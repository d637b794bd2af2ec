import { type ServiceImplementation, callError, status } from 'muxplug/host'
import type { KeyValue } from '#proto/kv/v1/kv.js'
import type { Session, Store } from './store.js'

/** What one plugin may ask for. */
export interface KeyValueLimits {
  /** Default 1024. */
  readonly maxKeyBytes?: number
  /** Default 1 MiB. */
  readonly maxValueBytes?: number
  /** Of a page, keys and values together; a page has one entry at least. Default 1 MiB. */
  readonly maxPageBytes?: number
  /** Default 1000. */
  readonly maxPageEntries?: number
  /** Open at the same time. Default 4. */
  readonly maxTransactions?: number
  /** Then it is rolled back: a transaction that has written keeps all others from writing. Default 5000. */
  readonly maxTransactionMs?: number
}

/**
 * Serves a store to one plugin: make one for each. Its transactions are numbers that mean nothing to other plugins, and end
 * with the call that began them, which ends with the plugin.
 */
export function createKeyValue(
  store: Store,
  limits: KeyValueLimits = {}
): ServiceImplementation<typeof KeyValue> {
  const { maxKeyBytes = 1024, maxValueBytes = 1024 * 1024, maxPageBytes = 1024 * 1024 } = limits
  const { maxPageEntries = 1000, maxTransactions = 4, maxTransactionMs = 5000 } = limits
  const transactions = new Map<number, Transaction>()
  let lastNumber = 0

  function find(number: number): Transaction {
    const transaction = transactions.get(number)
    if (transaction !== undefined) return transaction
    throw callError(status.FAILED_PRECONDITION, `transaction ${number} is not open`)
  }

  const sessionOf = (number: number): Session => (number === 0 ? store.main : find(number).session)

  function checkKey(key: Uint8Array): Uint8Array {
    if (key.length === 0) throw callError(status.INVALID_ARGUMENT, 'the key is empty')
    return checkLength('key', key, maxKeyBytes)
  }

  return {
    get({ key, transaction }) {
      const value = sessionOf(transaction).get(checkKey(key))
      return { found: value !== undefined, value }
    },

    set({ key, value, transaction }) {
      checkLength('value', value, maxValueBytes)
      sessionOf(transaction).set(checkKey(key), value)
      return {}
    },

    delete: ({ key, transaction }) => ({ found: sessionOf(transaction).delete(checkKey(key)) }),

    scan({ prefix, pageSize, pageToken, transaction }) {
      checkLength('prefix', prefix, maxKeyBytes)
      checkLength('page token', pageToken, maxKeyBytes)
      const most = Math.min(pageSize === 0 ? maxPageEntries : pageSize, maxPageEntries)
      const entries: { key: Uint8Array; value: Uint8Array }[] = []
      let bytes = 0
      const from = pageToken.length === 0 ? prefix : pageToken
      for (const entry of sessionOf(transaction).entries(from)) {
        if (!Buffer.from(entry.key.subarray(0, prefix.length)).equals(prefix)) break
        bytes += entry.key.length + entry.value.length
        // The next page begins with the first entry that this one has no room for.
        if (entries.length === most || (entries.length > 0 && bytes > maxPageBytes)) {
          return { entries, nextPageToken: entry.key }
        }
        entries.push(entry)
      }
      return { entries }
    },

    async *begin(_request, { signal }) {
      signal.throwIfAborted()
      if (transactions.size >= maxTransactions) {
        throw callError(status.RESOURCE_EXHAUSTED, `${maxTransactions} transactions are open`)
      }
      const number = (lastNumber += 1)
      const transaction = openTransaction(store.connect(), signal, maxTransactionMs, () =>
        transactions.delete(number)
      )
      transactions.set(number, transaction)
      try {
        yield { transaction: number }
        await transaction.ended
      } finally {
        transaction.end()
      }
    },

    commit({ transaction: number }) {
      const { session, end } = find(number)
      session.commit()
      end()
      return {}
    },

    rollback({ transaction }) {
      find(transaction).end()
      return {}
    }
  }
}

interface Transaction {
  readonly session: Session
  /** Ends it; what has not been committed is rolled back. Safe to repeat. */
  readonly end: (reason?: Error) => void
  /** Rejects with the reason, if it ended for one. */
  readonly ended: Promise<void>
}

/** Ends by itself with the signal, at once: whoever writes next must not find a lock of somebody who is gone. */
function openTransaction(
  session: Session,
  signal: AbortSignal,
  limitMs: number,
  onEnd: () => void
): Transaction {
  let settle = (_reason?: Error): void => {}
  const ended = new Promise<void>((resolve, reject) => {
    settle = (reason) => (reason === undefined ? resolve() : reject(reason))
  })
  // The call may be over before anybody waits for it.
  ended.catch(() => {})
  let open = true
  const end = (reason?: Error): void => {
    if (!open) return
    open = false
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
    onEnd()
    session[Symbol.dispose]()
    settle(reason)
  }
  const onAbort = (): void => end(signal.reason as Error)
  const timer = setTimeout(() => {
    end(callError(status.DEADLINE_EXCEEDED, `the transaction was open for ${limitMs} ms: it is rolled back`))
  }, limitMs)
  signal.addEventListener('abort', onAbort)
  session.begin()
  return { session, end, ended }
}

function checkLength(what: string, bytes: Uint8Array, mostBytes: number): Uint8Array {
  if (bytes.length <= mostBytes) return bytes
  throw callError(status.INVALID_ARGUMENT, `the ${what} has ${bytes.length} bytes, more than ${mostBytes}`)
}
