import type { Socket } from 'node:net'
import { createSender, receiveMessages } from '../ends/frames.js'
import type { Link } from '../link.js'
import { createPeer } from '../ends/messages.js'
import { exited, spawnPlugin } from './spawn.js'

/** Length-prefixed messages over the fourth stdio slot, which Node makes a socketpair. */
export async function openRawSocketpair(): Promise<Link> {
  const child = spawnPlugin('raw-socketpair', ['ignore', 'ignore', 'inherit', 'pipe'])
  const socket = child.stdio[3] as Socket
  const peer = createPeer(createSender(socket))
  receiveMessages(socket, peer.receive)
  return {
    ...peer.link,
    async close() {
      socket.end()
      await exited(child)
    }
  }
}
