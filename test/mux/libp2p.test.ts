import t from 'tap'
import { createLibp2pMuxer } from '../../lib/mux/libp2p.js'
import { loadEngine } from '../../lib/mux/engines.js'
import { muxerContract } from '../contract/muxer.js'
import { createSocketPair } from '../helpers/socket-pair.js'

// What is about numbers is done in full by the default engine.
const engine = { client: createLibp2pMuxer, server: createLibp2pMuxer, mass: 0.2 }
muxerContract(t, 'libp2p and libp2p over memory', engine)
muxerContract(t, 'libp2p and libp2p over sockets', { ...engine, streams: createSocketPair })

void t.test('the engine is loaded by its name', async (t) => {
  t.equal(await loadEngine('libp2p'), createLibp2pMuxer)
})
