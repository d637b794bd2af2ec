import { createConnection, toBytes, toText } from '../ends/jsonrpc.js'
import type { Link, Usage } from '../link.js'
import { exited, spawnPlugin } from './spawn.js'

/** What editors use for language servers, over the plugin's stdin and stdout. */
export async function openVscodeJsonrpc(): Promise<Link> {
  const child = spawnPlugin('vscode-jsonrpc', ['pipe', 'pipe', 'inherit'])
  const connection = await createConnection(child.stdout!, child.stdin!)
  connection.onRequest('echo', (text) => text)
  connection.listen()
  const call = async (method: string, payload: Buffer): Promise<Buffer> => {
    return toBytes(await connection.sendRequest<string>(method, toText(payload)))
  }
  return {
    call: (payload) => call('echo', payload),
    callback: (payload) => call('callBack', payload),
    usage: () => connection.sendRequest<Usage>('usage'),
    async close() {
      connection.dispose()
      child.stdin!.end()
      await exited(child)
    }
  }
}
