import t from 'tap'
import { createNativeMuxer } from '../../lib/mux/native.js'
import { muxerWire } from '../contract/wire.js'

muxerWire(t, 'native on the wire', createNativeMuxer)
