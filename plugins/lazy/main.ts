import { implement, serve } from 'muxplug/plugin'
import { Glossary } from '#proto/glossary/v1/glossary.js'
import { createGlossary } from './glossary.js'
import { handshake } from './handshake.js'

await serve({ handshake, services: (broker) => [implement(Glossary, createGlossary(broker))] })
