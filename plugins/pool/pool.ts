import type { Broker, Client, ServiceDescriptor } from 'muxplug/host'

/** Several connections to one broker ID, used as one client. */
export interface Pool<S extends ServiceDescriptor> extends AsyncDisposable {
  /** Runs a call on the connection that has the fewest of this pool's. */
  run<T>(call: (client: Client<S>) => Promise<T>): Promise<T>
}

/** A connection is opened by its first call, so calls one after another need only one of them. */
export function createPool<S extends ServiceDescriptor>(
  broker: Broker,
  id: number,
  service: S,
  size: number
): Pool<S> {
  const members = Array.from({ length: size }, () => {
    const connection = broker.dial(id)
    return { connection, client: connection.dispense(service), calls: 0 }
  })
  return {
    async run(call) {
      const member = members.reduce((least, one) => (one.calls < least.calls ? one : least))
      member.calls += 1
      try {
        return await call(member.client)
      } finally {
        member.calls -= 1
      }
    },

    async [Symbol.asyncDispose]() {
      await Promise.all(members.map(({ connection }) => connection.close()))
    }
  }
}
