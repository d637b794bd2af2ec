import t from 'tap'
import { createLibp2pMuxer } from '../../lib/mux/libp2p.js'
import { muxerWire } from '../contract/wire.js'

muxerWire(t, 'libp2p on the wire', createLibp2pMuxer, {
  smallCredit: 'the library keeps back what is no more than a header',
  tellsLate: 'the guard sees the whole chunk before the library does'
})

void t.test('Promise.withResolvers is left as it is', async (t) => {
  t.equal('withResolvers' in Promise, Number(process.versions.node.split('.')[0]) >= 22)
})
