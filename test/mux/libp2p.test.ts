import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import t from 'tap'
import { createLibp2pMuxer } from '../../lib/mux/libp2p.js'
import { loadEngine } from '../../lib/mux/engines.js'
import { muxerContract } from '../contract/muxer.js'
import type { AddressInfo, Socket } from 'node:net'

/** Two joined sockets: buffers and batches of a real stream. */
async function createSocketPair(): Promise<[Socket, Socket]> {
  const server = createServer({ noDelay: true }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const near = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', noDelay: true })
  const [[far]] = (await Promise.all([once(server, 'connection'), once(near, 'connect')])) as [
    [Socket],
    unknown
  ]
  server.close()
  return [near, far]
}

const engine = { client: createLibp2pMuxer, server: createLibp2pMuxer }
muxerContract(t, 'libp2p and libp2p over memory', engine)
muxerContract(t, 'libp2p and libp2p over sockets', { ...engine, streams: createSocketPair })

void t.test('the engine is loaded by its name', async (t) => {
  t.equal(await loadEngine('libp2p'), createLibp2pMuxer)
})
