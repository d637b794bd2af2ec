import { implement, serve } from 'muxplug/plugin'
import { Indexer } from '#proto/indexer/v1/indexer.js'
import { handshake } from './handshake.js'
import { createIndexer } from './indexer.js'

await serve({ handshake, services: (broker) => [implement(Indexer, createIndexer(broker))] })
