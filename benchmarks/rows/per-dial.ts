import { createInterface } from 'node:readline'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import type { ChannelOptions } from '@grpc/grpc-js'
import type { ConnInfo } from '#proto/goplugin/goplugin.js'
import { brokerDefinition, createStockBroker, type StockBroker } from '../ends/grpc-js-broker.js'
import { callPlugin, callUnary, connect } from '../ends/grpc-js-calls.js'
import { type Link, encodeNumbers } from '../link.js'
import { exited, spawnPlugin } from './spawn.js'

/** go-plugin's own way with nothing but grpc-js on both ends. */
export async function openPerDial(options: ChannelOptions): Promise<Link> {
  const child = spawnPlugin('per-dial', ['pipe', 'pipe', 'inherit'], {
    env: { BENCH_CHANNEL_OPTIONS: JSON.stringify(options) }
  })
  const [line] = (await once(createInterface(child.stdout as Readable), 'line')) as [string]
  const client = connect(line.split('|')[3]!, options)
  const { startStream } = brokerDefinition
  const stream = client.makeBidiStreamRequest<ConnInfo.Init, ConnInfo>(
    startStream!.path,
    startStream!.requestSerialize,
    startStream!.responseDeserialize as (bytes: Buffer) => ConnInfo
  )
  // It ends with the plugin, which is not an error here.
  stream.on('error', () => {})
  const broker = createStockBroker(stream, { echo: (payload) => payload }, options)
  let caller: ReturnType<StockBroker['serve']> | undefined
  return {
    ...callPlugin(client),
    async callback(payload) {
      caller ??= broker.serve()
      return callUnary(client, 'callBack', Buffer.concat([encodeNumbers((await caller).id), payload]))
    },
    async dial(payload) {
      const served = await broker.serve()
      const answer = await callUnary(client, 'visit', Buffer.concat([encodeNumbers(served.id), payload]))
      served.close()
      return answer
    },
    async keep(payload) {
      const { id } = await broker.serve()
      return callUnary(client, 'callBack', Buffer.concat([encodeNumbers(id), payload]))
    },
    async close() {
      child.stdin!.end()
      await exited(child)
      client.close()
    }
  }
}
