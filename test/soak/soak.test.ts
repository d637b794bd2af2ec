import t from 'tap'
import { createNativeMuxer } from '../../lib/mux/native.js'
import { soak } from './soak.js'
import type { Duplex } from 'node:stream'
import type { CreateMuxer } from '../../lib/mux/muxer.js'
import type { SoakReport } from './soak.js'

function soakBriefly(create: CreateMuxer): Promise<SoakReport> {
  return soak({ create, substreams: 3000, bytes: 16 * 1024 * 1024, warmUpSubstreams: 3000 })
}

void t.test('the native engine leaves nothing behind', async (t) => {
  const { problems, figures } = await soakBriefly(createNativeMuxer)
  t.same(problems, [])
  t.equal(figures['MiB'], 16)
})

void t.test('an engine that keeps its substreams is found out', async (t) => {
  const kept: Duplex[] = []
  const { problems } = await soakBriefly((stream, options) => {
    const muxer = createNativeMuxer(stream, options)
    return {
      ...muxer,
      open: () => {
        const substream = muxer.open()
        kept.push(substream)
        return substream
      }
    }
  })
  t.match(problems, [/the heap has grown/])
})

void t.test('an engine that counts wrong is found out', async (t) => {
  const { problems } = await soakBriefly((stream, options) => {
    const muxer = createNativeMuxer(stream, options)
    return { ...muxer, stats: () => ({ ...muxer.stats(), substreams: 1 }) }
  })
  t.same(problems, ['the client counts 1 substreams', 'the server counts 1 substreams'])
})
