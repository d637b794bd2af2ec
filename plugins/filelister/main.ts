import { createPluginLogger, implement, serve } from 'muxplug/plugin'
import { FileLister } from '#proto/filelister/v1/filelister.js'
import { handshake } from './handshake.js'
import { createLister } from './lister.js'

const logger = createPluginLogger({ name: 'filelister' })

await serve({ handshake, services: (broker) => [implement(FileLister, createLister(broker, logger))] })
