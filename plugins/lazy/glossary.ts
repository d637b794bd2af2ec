import { type Broker, type Client, type ServiceImplementation, callError, status } from 'muxplug/plugin'
import { type Glossary, Starter } from '#proto/glossary/v1/glossary.js'
import { KeyValue } from '#proto/kv/v1/kv.js'
import { lazily } from './lazily.js'

const known: ReadonlyMap<string, string> = new Map([['host', 'the process that starts plugins']])

/** Longest wait for the host's store. The calls that share it have deadlines of their own. */
const startTimeoutMs = 5000

/** The host's stores, by the broker ID of what starts them: each is connected on its first use. */
function connectStores(broker: Broker): (starter: number) => Promise<Client<typeof KeyValue>> {
  const stores = new Map<number, () => Promise<Client<typeof KeyValue>>>()
  return (starter) => {
    const store =
      stores.get(starter) ??
      lazily(async () => {
        await using host = broker.dial(starter)
        // Not the signal of the call that happens to be first: others wait for this, too.
        const deadline = Date.now() + startTimeoutMs
        const { store: id } = await host.dispense(Starter).start({}, { deadline })
        return broker.dial(id).dispense(KeyValue)
      })
    stores.set(starter, store)
    return store()
  }
}

export function createGlossary(broker: Broker): ServiceImplementation<typeof Glossary> {
  const storeOf = connectStores(broker)
  return {
    async explain({ word, starter }, { signal }) {
      const meaning = known.get(word)
      if (meaning !== undefined) return { meaning }
      const store = await storeOf(starter)
      const { found, value } = await store.get({ key: Buffer.from(word) }, { signal })
      if (!found) throw callError(status.NOT_FOUND, `nobody knows what "${word}" is`)
      return { meaning: Buffer.from(value).toString() }
    }
  }
}
