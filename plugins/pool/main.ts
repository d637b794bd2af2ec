import { implement, serve } from 'muxplug/plugin'
import { Digest } from '#proto/digest/v1/digest.js'
import { digest } from './digest.js'
import { handshake } from './handshake.js'

await serve({ handshake, services: () => [implement(Digest, digest)] })
