import { implement, serve } from 'muxplug/plugin'
import { Echo } from '#proto/echo/v1/echo.js'
import { echo } from './echo.js'
import { handshake } from './handshake.js'

await serve({ handshake, services: () => [implement(Echo, echo)] })
