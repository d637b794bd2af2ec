import { implement, serve } from 'muxplug/plugin'
import { Counters } from '#proto/counters/v1/counters.js'
import { createCounters } from './counters.js'
import { handshake } from './handshake.js'

await serve({ handshake, services: (broker) => [implement(Counters, createCounters(broker))] })
