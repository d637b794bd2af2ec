import { type Broker, type Served, type ServiceImplementation, callError, status } from 'muxplug/plugin'
import { Counter } from '#proto/counter/v1/counter.js'
import type { Counters } from '#proto/counters/v1/counters.js'

/** Whoever opens counters and forgets them must not fill this process. */
const mostOpen = 16

/** Each counter is a service under an ID of this side's broker. The host learns the ID from the answer, and dials it. */
export function createCounters(broker: Broker): ServiceImplementation<typeof Counters> {
  const open = new Map<number, Served>()
  return {
    open({ start }) {
      if (open.size >= mostOpen) throw callError(status.RESOURCE_EXHAUSTED, `${mostOpen} counters are open`)
      let value = start
      const served = broker.serve(Counter, {
        add({ amount }) {
          value += amount
          return { value }
        }
      })
      open.set(served.id, served)
      return { counter: served.id }
    },

    async close({ counter }) {
      const served = open.get(counter)
      if (served === undefined) throw callError(status.NOT_FOUND, `counter ${counter} is not open`)
      open.delete(counter)
      await served.close()
      return {}
    }
  }
}
