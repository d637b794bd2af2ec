import { type Plugin, type Served, type ServiceImplementation, callError, status } from 'muxplug/host'
import type { Starter } from '#proto/glossary/v1/glossary.js'
import { KeyValue } from '#proto/kv/v1/kv.js'
import { createKeyValue } from '../services/key-value.js'
import type { Store } from '../services/store.js'

/** Opens the store when the plugin asks for it. Whoever opened it closes it, once the plugin has ended. */
export function createStarter(
  { broker }: Pick<Plugin, 'broker'>,
  open: () => Store
): ServiceImplementation<typeof Starter> {
  let served: Served | undefined
  return {
    start() {
      try {
        served ??= broker.serve(KeyValue, createKeyValue(open()))
      } catch (error) {
        throw callError(status.UNAVAILABLE, 'the store cannot be opened', { cause: error })
      }
      return { store: served.id }
    }
  }
}
