import { implement, serve } from 'muxplug/plugin'
import { Session } from '#proto/session/v1/session.js'
import { handshake } from './handshake.js'
import { createSession } from './session.js'

await serve({ handshake, services: (broker) => [implement(Session, createSession(broker))] })
