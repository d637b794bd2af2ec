import { implement, serve } from 'muxplug/plugin'
import { Chorus } from '#proto/chorus/v1/chorus.js'
import { createChorus } from './chorus.js'
import { handshake } from './handshake.js'

await serve({ handshake, services: (broker) => [implement(Chorus, createChorus(broker))] })
