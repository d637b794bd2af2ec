import type { Duplex } from 'node:stream'
import type { Test } from 'tap'
import { type StreamRoute, createStreamRoute } from '../../lib/broker/on-stream.js'
import type { BrokerOptions } from '../../lib/broker/options.js'
import type { CreateMuxer, Muxer, MuxerOptions } from '../../lib/mux/muxer.js'
import { createNativeMuxer } from '../../lib/mux/native.js'
import { type MuxerSide, startSide } from './muxer-side.js'
import { createPair } from './pair.js'

export interface RouteOptions extends BrokerOptions, Pick<MuxerOptions, 'acknowledgeDelayMs'> {
  /** Default: native. */
  readonly createMuxer?: CreateMuxer
}

export interface RouteEnd {
  readonly route: StreamRoute
  readonly muxer: Muxer
}

/**
 * Broker IDs on one end of a session. Nobody has to watch its connections: a test may be over before they are. ACKs have no delay unless one is given: in memory no handle keeps the process until a
 * timer fires.
 */
export function startRoute(stream: Duplex, role: 'client' | 'server', options: RouteOptions = {}): RouteEnd {
  const { createMuxer = createNativeMuxer, acknowledgeDelayMs = 0 } = options
  const route = createStreamRoute(() => muxer, options)
  const muxer: Muxer = createMuxer(stream, {
    role,
    receiverOf: (port) => route.receiverOf(port),
    acknowledgeDelayMs
  })
  const watched = (connection: Duplex): Duplex => connection.on('error', () => {})
  const own: Pick<StreamRoute, 'accept' | 'dial'> = {
    accept: (id, onConnection, onCall) =>
      route.accept(id, (connection) => onConnection(watched(connection)), onCall),
    dial: (id) => watched(route.dial(id))
  }
  return { route: Object.assign(Object.create(route) as StreamRoute, own), muxer }
}

/** A route on one end of a session, whose other end has nothing on it. */
export function routeBesideBare(
  t: Test,
  options: BrokerOptions = {}
): RouteEnd & { readonly bare: MuxerSide } {
  const [near, far] = createPair()
  const end = startRoute(near, 'client', options)
  const bare = startSide(createNativeMuxer, far, 'server')
  t.teardown(() => end.muxer.abort(new Error('test is over')))
  return { ...end, bare }
}
