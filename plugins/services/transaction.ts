import { type CallOptions, type Client, callError, status } from 'muxplug/plugin'
import type { KeyValue } from '#proto/kv/v1/kv.js'

/**
 * Commits when `work` is done. When it fails, the loop is left, which cancels the call that began the transaction: the host
 * rolls it back, as it does when this process dies.
 */
export async function inTransaction<T>(
  store: Client<typeof KeyValue>,
  work: (transaction: number) => Promise<T>,
  options: CallOptions = {}
): Promise<T> {
  for await (const { transaction } of store.begin({}, options)) {
    const result = await work(transaction)
    await store.commit({ transaction }, options)
    return result
  }
  throw callError(status.INTERNAL, 'the host has begun no transaction')
}
