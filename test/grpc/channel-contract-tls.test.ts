import t from 'tap'
import { channelContract } from '../contract/channel.js'
import { makeCertificate, overTls } from '../helpers/interop-connect.js'

t.test('this channel over TLS', async (t) =>
  channelContract(t, overTls(await makeCertificate()), { mass: 0.05 })
)
