import { createConnection, toBytes, toText } from '../ends/jsonrpc.js'
import { ownUsage } from '../link.js'

const connection = await createConnection(process.stdin, process.stdout)
// Bytes are what a plugin works with: it decodes and encodes as the host does.
connection.onRequest('echo', (text) => toText(toBytes(text)))
connection.onRequest('callBack', (text) => connection.sendRequest('echo', text))
connection.onRequest('usage', ownUsage)
connection.listen()
process.stdin.on('close', () => process.exit(0))
