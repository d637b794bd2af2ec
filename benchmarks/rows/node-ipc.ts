import { once } from 'node:events'
import { createIpcSender } from '../ends/ipc.js'
import type { Link } from '../link.js'
import { type Message, createPeer } from '../ends/messages.js'
import { exited, spawnPlugin } from './spawn.js'

/** What `fork` of node:child_process gives, with the serialisation that takes bytes. */
export async function openNodeIpc(): Promise<Link> {
  const child = spawnPlugin('node-ipc', ['ignore', 'ignore', 'inherit', 'ipc'], {
    serialization: 'advanced'
  })
  const peer = createPeer(createIpcSender(child))
  child.on('message', (message) => peer.receive(message as Message))
  await once(child, 'spawn')
  return {
    ...peer.link,
    async close() {
      child.disconnect()
      await exited(child)
    }
  }
}
