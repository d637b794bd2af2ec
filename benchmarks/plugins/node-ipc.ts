import { createIpcSender } from '../ends/ipc.js'
import { type Message, createPeer } from '../ends/messages.js'

const peer = createPeer(createIpcSender(process))
process.on('message', (message) => peer.receive(message as Message))
