import t from 'tap'
import { createLibp2pMuxer } from '../../lib/mux/libp2p.js'
import { createNativeMuxer } from '../../lib/mux/native.js'
import { muxerContract } from '../contract/muxer.js'
import { createSocketPair } from '../helpers/socket-pair.js'

const native = { client: createNativeMuxer, server: createNativeMuxer }
muxerContract(t, 'native and native over memory', native)
muxerContract(t, 'native and native over sockets', { ...native, streams: createSocketPair })
muxerContract(t, 'native and libp2p over memory', { ...native, server: createLibp2pMuxer, mass: 0.2 })
muxerContract(t, 'libp2p and native over memory', { ...native, client: createLibp2pMuxer, mass: 0.2 })
