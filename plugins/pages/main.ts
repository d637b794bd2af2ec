import { implement, serve } from 'muxplug/plugin'
import { Census } from '#proto/census/v1/census.js'
import { createCensus } from './census.js'
import { handshake } from './handshake.js'

await serve({ handshake, services: (broker) => [implement(Census, createCensus(broker))] })
