import { randomUUID } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type ChannelOptions,
  type Client,
  type ClientDuplexStream,
  Server,
  type ServerDuplexStream
} from '@grpc/grpc-js'
import { GRPCBroker, type ConnInfo } from '#proto/goplugin/goplugin.js'
import { serviceDefinition } from '../../lib/grpc/service.js'
import { type createUnaryMethods } from './service.js'
import { benchDefinition, connect, handlers, listen } from './grpc-js-calls.js'

/** go-plugin's service for telling the other side where a broker ID listens. */
export const brokerDefinition = serviceDefinition(GRPCBroker)

/** The one call of that service, at either end. */
export type BrokerStream =
  ClientDuplexStream<ConnInfo.Init, ConnInfo> | ServerDuplexStream<ConnInfo, ConnInfo.Init>

export interface StockBroker {
  /** Serves Bench under a fresh ID, on a unix socket of its own. */
  serve(): Promise<{ readonly id: number; close(): void }>
  /** A client of what the other side serves. */
  dial(id: number): Promise<Client>
}

/** go-plugin's broker without multiplexing: for each ID a server of grpc-js on a new socket, for each dial a client. */
export function createStockBroker(
  stream: BrokerStream,
  unary: Partial<ReturnType<typeof createUnaryMethods>>,
  options: ChannelOptions
): StockBroker {
  const addresses = new Map<number, string>()
  const waiting = new Map<number, (address: string) => void>()
  let lastId = 0

  stream.on('data', ({ serviceId, address }: ConnInfo) => {
    const settle = waiting.get(serviceId)
    waiting.delete(serviceId)
    if (settle === undefined) addresses.set(serviceId, address)
    else settle(address)
  })

  return {
    async serve() {
      lastId += 1
      const id = lastId
      const path = socketPath()
      const server = new Server(options)
      server.addService(benchDefinition, handlers(unary))
      await listen(path, server)
      // The same method at both ends, with types that no union calls.
      const info: ConnInfo.Init = { serviceId: id, network: 'unix', address: path }
      ;(stream as ServerDuplexStream<ConnInfo, ConnInfo.Init>).write(info)
      return { id, close: () => server.forceShutdown() }
    },
    async dial(id) {
      const known = addresses.get(id)
      addresses.delete(id)
      const path = known ?? (await new Promise<string>((resolve) => waiting.set(id, resolve)))
      return connect(path, options)
    }
  }
}

/** A path for a new socket. The cell has a temporary directory of its own. */
export function socketPath(): string {
  return join(tmpdir(), `${randomUUID().slice(0, 8)}.sock`)
}
