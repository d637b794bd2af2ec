import { Socket } from 'node:net'
import { createSender, receiveMessages } from '../ends/frames.js'
import { createPeer } from '../ends/messages.js'

const socket = new Socket({ fd: 3, readable: true, writable: true })
receiveMessages(socket, createPeer(createSender(socket)).receive)
// The host that is killed resets the stream.
socket.on('error', () => process.exit(0))
