import { duplexPair } from 'node:stream'
import type { Test } from 'tap'
import { createChannel } from '../../lib/grpc/channel.js'
import { createClient } from '../../lib/grpc/client.js'
import type { ServiceBinding } from '../../lib/grpc/handler.js'
import { createGrpcServer } from '../../lib/grpc/server.js'
import type { Connection } from '../../lib/services/broker.js'

/** A connection to a server with these services, in memory. */
export function connectTo(t: Test, bindings: readonly ServiceBinding[]): Connection {
  const server = createGrpcServer(bindings)
  const [near, far] = duplexPair({ highWaterMark: 256 * 1024 })
  // A pair does not pass on that one of its ends was destroyed, as every other stream does.
  near.on('close', () => far.destroy())
  far.on('close', () => near.destroy())
  server.serve(far)
  const channel = createChannel(() => near, { target: 'test' })
  const connection: Connection = {
    id: 0,
    channel,
    dispense: (service) => createClient(service, channel),
    async close() {
      channel.close()
      await channel.closed
    },
    abort: (reason) => channel.abort(reason),
    [Symbol.asyncDispose]: () => connection.close()
  }
  t.teardown(async () => {
    channel.abort(new Error('the test is over'))
    await Promise.all([channel.closed, server.abort()])
  })
  return connection
}
