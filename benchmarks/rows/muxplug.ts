import { type LaunchOptions, implement, launch } from 'muxplug/host'
import { type Link, encodeNumbers } from '../link.js'
import { Bench, callPlugin, createUnaryMethods, streamMethods } from '../ends/service.js'
import { nodePlugin } from './spawn.js'

/** What tells the rows with this project on both ends apart. */
export type MuxplugOptions = Pick<LaunchOptions, 'transport' | 'stream' | 'muxer' | 'wires'>

/** This project on both ends. */
export async function openMuxplug(options: MuxplugOptions): Promise<Link> {
  const plugin = await launch({
    command: nodePlugin('muxplug'),
    handshake: { cookieKey: 'BENCH_PLUGIN', cookieValue: 'bench', protocolVersion: 1 },
    // The same engine on both ends.
    env: options.muxer === undefined ? {} : { BENCH_MUXER: options.muxer },
    ...options
  })
  const client = plugin.dispense(Bench)
  const service = implement(Bench, {
    ...createUnaryMethods(() => {
      throw new Error('the plugin is not visited')
    }),
    ...streamMethods
  })
  const serve = (): ReturnType<typeof plugin.broker.accept> => {
    return plugin.broker.accept(plugin.broker.nextId(), [service])
  }
  let caller: ReturnType<typeof serve> | undefined
  return {
    ...callPlugin(client),
    callback(payload) {
      caller ??= serve()
      return client.callBack(Buffer.concat([encodeNumbers(caller.id), payload]))
    },
    async dial(payload) {
      const served = serve()
      const answer = await client.visit(Buffer.concat([encodeNumbers(served.id), payload]))
      await served.close()
      return answer
    },
    keep: (payload) => client.callBack(Buffer.concat([encodeNumbers(serve().id), payload])),
    close: () => plugin.close()
  }
}
