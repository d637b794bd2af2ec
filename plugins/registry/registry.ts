import {
  type Broker,
  type Client,
  type Connection,
  type ServiceDescriptor,
  callError,
  status
} from 'muxplug/plugin'

/** The host's services by name. */
export interface Registry extends AsyncDisposable {
  /** A typed client of a service. @throws NOT_FOUND, with the names that are there */
  get<S extends ServiceDescriptor>(service: S): Client<S>
}

/** @param services broker IDs of the host by `package.Service`, as the host has sent them */
export function createRegistry(broker: Broker, services: Readonly<Record<string, number>>): Registry {
  // The names are the host's: in a Map, none of them is one that every object has.
  const ids = new Map(Object.entries(services))
  const connections = new Map<string, Connection>()
  return {
    get<S extends ServiceDescriptor>(service: S) {
      const { typeName } = service
      const id = ids.get(typeName)
      if (id === undefined) {
        const names = [...ids.keys()].sort().join(', ') || 'nothing'
        throw callError(status.NOT_FOUND, `the host does not serve ${typeName}; it serves ${names}`)
      }
      const connection = connections.get(typeName) ?? broker.dial(id)
      connections.set(typeName, connection)
      return connection.dispense(service)
    },

    async [Symbol.asyncDispose]() {
      await Promise.all([...connections.values()].map((connection) => connection.close()))
    }
  }
}
