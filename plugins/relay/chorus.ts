import type { Broker, ServiceImplementation } from 'muxplug/plugin'
import type { Chorus } from '#proto/chorus/v1/chorus.js'
import { Echo } from '#proto/echo/v1/echo.js'
import { Neighbours } from '#proto/neighbours/v1/neighbours.js'

/** Asks the host where the other plugin is, and calls it as if the host were it. */
export function createChorus(broker: Broker): ServiceImplementation<typeof Chorus> {
  return {
    async sing({ neighbours, text, times }, { signal, deadline }) {
      await using host = broker.dial(neighbours)
      const wanted = { plugin: 'echo', service: Echo.typeName }
      const { id } = await host.dispense(Neighbours).find(wanted, { signal, deadline })
      await using neighbour = broker.dial(id)
      const heard = neighbour.dispense(Echo).repeat({ text, count: times }, { signal, deadline })
      const lines: string[] = []
      for await (const line of heard) lines.push(line.text)
      return { lines }
    }
  }
}
