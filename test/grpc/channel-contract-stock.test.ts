import t from 'tap'
import { channelContract } from '../contract/channel.js'
import { overSocket } from '../helpers/interop-connect.js'

t.test("grpc-js's own channel over a unix socket", async (t) =>
  channelContract(t, overSocket, { mass: 0.05 })
)
