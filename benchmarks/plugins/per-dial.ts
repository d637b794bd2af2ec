import { type ChannelOptions, Server, type ServerDuplexStream } from '@grpc/grpc-js'
import type { ConnInfo } from '#proto/goplugin/goplugin.js'
import { brokerDefinition, createStockBroker, socketPath } from '../ends/grpc-js-broker.js'
import { benchDefinition, callUnary, handlers, listen } from '../ends/grpc-js-calls.js'
import { createUnaryMethods } from '../ends/service.js'

const options = JSON.parse(process.env['BENCH_CHANNEL_OPTIONS']!) as ChannelOptions
const server = new Server(options)
let broker: ReturnType<typeof createStockBroker>

server.addService(brokerDefinition, {
  startStream(stream: ServerDuplexStream<ConnInfo, ConnInfo.Init>) {
    broker = createStockBroker(stream, {}, options)
  }
})
server.addService(
  benchDefinition,
  handlers(
    createUnaryMethods(async (id) => {
      const client = await broker.dial(id)
      return { echo: (payload) => callUnary(client, 'echo', payload), close: () => client.close() }
    })
  )
)
const path = socketPath()
await listen(path, server)
console.log(`1|1|unix|${path}|grpc`)

// The host holds the other end for as long as it lives.
process.stdin.resume().on('close', () => process.exit(0))
