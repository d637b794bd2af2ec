import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import type { Test } from 'tap'
import { Echo } from '#proto/echo/v1/echo.js'
import { type ChannelOptions, createDirectChannel } from '../../lib/grpc/channel.js'
import { createClient } from '../../lib/grpc/client.js'
import type { ServiceBinding } from '../../lib/grpc/handler.js'
import { type GrpcServerOptions, createGrpcServer } from '../../lib/grpc/server.js'
import type { Muxer } from '../../lib/mux/muxer.js'
import { createNativeMuxer } from '../../lib/mux/native.js'
import { isPluginError } from '../../lib/errors.js'
import { describe } from './direct-peer.js'
import { startSide } from './muxer-side.js'
import { createPair } from './pair.js'
import { type RouteOptions, startRoute } from './route.js'

/** The broker ID that all calls here are for. */
export const brokerId = 7

/** A substream that is used by hand: what comes is kept, and how it ended. */
export class RawSubstream {
  readonly duplex: Duplex
  /** Settles when the peer has ended its half (`fin`), reset the substream (`rst`), or the session is lost. */
  readonly end: Promise<'fin' | 'rst' | 'lost'>
  #received = Buffer.alloc(0)

  constructor(duplex: Duplex) {
    this.duplex = duplex
    duplex.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk])
    })
    this.end = new Promise((resolve) => {
      duplex.once('end', () => resolve('fin'))
      duplex.once('error', (error) => resolve(isPluginError(error, 'ERR_STREAM_RESET') ? 'rst' : 'lost'))
      // Reset from here.
      duplex.once('close', () => resolve('lost'))
    })
  }

  get received(): Buffer {
    return this.#received
  }

  write(...bytes: Uint8Array[]): void {
    this.duplex.write(Buffer.concat(bytes))
  }

  finish(...bytes: Uint8Array[]): void {
    this.duplex.end(Buffer.concat(bytes))
  }

  reset(): void {
    this.duplex.destroy()
  }

  /** Resolves once so many bytes have come. */
  async until(bytes: number): Promise<Buffer> {
    while (this.#received.length < bytes) await once(this.duplex, 'data')
    return this.#received
  }

  /** All that comes, in words, and how it ends: the last word. */
  async reply(): Promise<string[]> {
    const end = await this.end
    return [...describe(this.#received), end]
  }
}

/** A real server, and a session whose other end opens substreams by hand. */
export function rawCaller(t: Test, bindings: readonly ServiceBinding[], options: GrpcServerOptions = {}) {
  const server = createGrpcServer(bindings, options)
  const [near, far] = createPair()
  const accepting = startRoute(far, 'server')
  const acceptance = accepting.route.accept(
    brokerId,
    (connection) => connection.destroy(),
    (port) => server.serveCall(port)
  )
  const raw = startSide(createNativeMuxer, near, 'client')
  t.teardown(async () => {
    const over = new Error('the test is over')
    await server.abort()
    raw.muxer.abort(over)
    accepting.muxer.abort(over)
    await Promise.all([raw.muxer.closed, accepting.muxer.closed])
  })
  return {
    server,
    acceptance,
    muxer: accepting.muxer,
    raw: raw.muxer,
    open: () => new RawSubstream(raw.muxer.open())
  }
}

/** A real client, and a session whose other end answers substreams by hand. */
export function rawServer(t: Test, options: ChannelOptions = {}) {
  const [near, far] = createPair()
  const dialling = startRoute(near, 'client')
  const raw = startSide(createNativeMuxer, far, 'server')
  const channel = createDirectChannel(() => dialling.route.calls(brokerId), options)
  t.teardown(async () => {
    const over = new Error('the test is over')
    channel.abort(over)
    raw.muxer.abort(over)
    dialling.muxer.abort(over)
    await Promise.all([channel.closed, raw.muxer.closed, dialling.muxer.closed])
  })
  return {
    channel,
    client: createClient(Echo, channel),
    muxer: dialling.muxer,
    raw: raw.muxer,
    accept: async () => new RawSubstream(await raw.accept())
  }
}

/** A real client and a real server, joined by a session. */
export function directPair(
  t: Test,
  bindings: readonly ServiceBinding[],
  options: {
    readonly server?: GrpcServerOptions
    readonly channel?: ChannelOptions
    readonly broker?: RouteOptions
  } = {}
) {
  const server = createGrpcServer(bindings, options.server)
  const [near, far] = createPair()
  const accepting = startRoute(far, 'server', options.broker)
  const dialling = startRoute(near, 'client')
  const channel = createDirectChannel(() => dialling.route.calls(brokerId), options.channel)
  t.teardown(async () => {
    const over = new Error('the test is over')
    channel.abort(over)
    await server.abort()
    dialling.muxer.abort(over)
    accepting.muxer.abort(over)
    await Promise.all([channel.closed, dialling.muxer.closed, accepting.muxer.closed])
  })
  const accept = () =>
    accepting.route.accept(
      brokerId,
      (connection) => connection.destroy(),
      (port) => server.serveCall(port)
    )
  return { server, channel, client: createClient(Echo, channel), accepting, dialling, accept }
}

/** Resolves once both ends have no substream left. */
export async function idle(...muxers: Muxer[]): Promise<void> {
  while (muxers.some((muxer) => muxer.stats().substreams > 0)) {
    await new Promise((resolve) => setImmediate(resolve))
  }
}
