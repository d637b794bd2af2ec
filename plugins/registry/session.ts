import { type Broker, type ServiceImplementation, callError, status } from 'muxplug/plugin'
import { Cache } from '#proto/cache/v1/cache.js'
import type { Session } from '#proto/session/v1/session.js'
import { type Registry, createRegistry } from './registry.js'

/** Keeps the registry as long as the process lives: its connections end with it. */
export function createSession(broker: Broker): ServiceImplementation<typeof Session> {
  let registry: Registry | undefined
  return {
    start({ services }) {
      if (registry !== undefined) throw callError(status.FAILED_PRECONDITION, 'the session has begun')
      registry = createRegistry(broker, services)
      return {}
    },

    async visit({ name }, { signal }) {
      if (registry === undefined) throw callError(status.FAILED_PRECONDITION, 'call Start first')
      const cache = registry.get(Cache)
      const { value } = await cache.get({ key: name }, { signal })
      const count = Number(Buffer.from(value).toString()) + 1
      await cache.put({ key: name, value: Buffer.from(String(count)) }, { signal })
      return { count }
    }
  }
}
