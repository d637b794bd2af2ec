import { type ServeOptions, implement, serve } from 'muxplug/plugin'
import { Bench, createUnaryMethods, streamMethods } from '../ends/service.js'

const { BENCH_MUXER: muxer } = process.env

await serve({
  handshake: { cookieKey: 'BENCH_PLUGIN', cookieValue: 'bench', protocolVersion: 1 },
  // Nobody reattaches here, and a run that is broken off leaves no process.
  orphanTimeoutMs: 100,
  ...(muxer === undefined ? {} : { muxer: muxer as NonNullable<ServeOptions['muxer']> }),
  services: (broker) => [
    implement(Bench, {
      ...createUnaryMethods((id) => {
        const connection = broker.dial(id)
        const { echo } = connection.dispense(Bench)
        return { echo, close: () => connection.close() }
      }),
      ...streamMethods
    })
  ]
})
