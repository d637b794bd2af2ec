import {
  type Plugin,
  type Served,
  type ServiceDescriptor,
  type ServiceImplementation,
  callError,
  status
} from 'muxplug/host'
import type { Neighbours } from '#proto/neighbours/v1/neighbours.js'
import { createRelay } from './relay.js'

/** Another plugin, and what may be called of it. */
export interface Neighbour {
  readonly plugin: Plugin
  readonly services: readonly ServiceDescriptor[]
}

/** Lets `caller` find its neighbours. Each service gets one ID, which lasts as long as the caller. */
export function createNeighbours(
  caller: Plugin,
  neighbours: readonly Neighbour[]
): ServiceImplementation<typeof Neighbours> {
  const { broker } = caller
  const relays = new Map<string, Served>()
  return {
    find({ plugin: name, service: typeName }) {
      const neighbour = neighbours.find(({ plugin }) => plugin.name === name)
      const service = neighbour?.services.find((one) => one.typeName === typeName)
      if (neighbour === undefined || service === undefined) {
        throw callError(status.NOT_FOUND, `${caller.name} may call no ${typeName} of plugin "${name}"`)
      }
      const key = `${name} ${typeName}`
      let served = relays.get(key)
      if (served === undefined) {
        served = broker.accept(broker.nextId(), [createRelay(service, neighbour.plugin, caller.name)])
        relays.set(key, served)
      }
      return { id: served.id }
    }
  }
}
