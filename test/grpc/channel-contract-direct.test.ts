import t from 'tap'
import { createLibp2pMuxer } from '../../lib/mux/libp2p.js'
import { createNativeMuxer } from '../../lib/mux/native.js'
import { channelContract } from '../contract/channel.js'
import { overDirect } from '../helpers/interop-connect.js'

t.test('calls on substreams of their own, engine native', async (t) =>
  channelContract(t, overDirect(createNativeMuxer), { mass: 0.1 })
)

t.test('calls on substreams of their own, engine libp2p', async (t) =>
  channelContract(t, overDirect(createLibp2pMuxer), { mass: 0.02 })
)
