import t from 'tap'
import { channelContract } from '../contract/channel.js'
import { overSubstream } from '../helpers/interop-connect.js'

t.test('this channel over a yamux substream', async (t) => channelContract(t, overSubstream, { mass: 0.2 }))
