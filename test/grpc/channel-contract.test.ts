import t from 'tap'
import { channelContract } from '../contract/channel.js'
import { overPair } from '../helpers/interop-connect.js'

t.test('this channel over a Duplex in memory', async (t) => channelContract(t, overPair, { mass: 0.05 }))
