import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { mkdtemp, rm } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { Channel, Server, ServerCredentials, compressionAlgorithms, credentials } from '@grpc/grpc-js'
import { createChannel, createDirectChannel } from '../../lib/grpc/channel.js'
import { createGrpcServer } from '../../lib/grpc/server.js'
import { createNativeMuxer } from '../../lib/mux/native.js'
import {
  alikeForCaller,
  alikeForHandler,
  isStartOf,
  type AllowedDifference
} from '../contract/differential.js'
import type { Carrier } from '../contract/differential-play.js'
import { answersMany, type Scenario } from '../contract/differential-scenario.js'
import type { Transcript } from '../contract/differential-stage.js'
import { interopPair } from '../helpers/interop-pair.js'
import { startRoute } from '../helpers/route.js'

/** grpc-js alone, over a unix socket. */
const stock: Carrier = {
  name: 'grpc-js',
  async open({ services, channelOptions, serverOptions }) {
    const server = new Server(grpcLimits(serverOptions))
    for (const { definition, handlers } of services) server.addService(definition, handlers)
    // The channel does not show its connections.
    const sockets: Socket[] = []
    const keep = (message: unknown): void => void sockets.push((message as { socket: Socket }).socket)
    subscribe('net.client.socket', keep)
    const folder = await mkdtemp(join(tmpdir(), 'muxplug-'))
    const address = `unix:${join(folder, 'socket')}`
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(address, ServerCredentials.createInsecure(), (error) =>
        error ? reject(error) : resolve()
      )
    })
    const channel = new Channel(address, credentials.createInsecure(), {
      ...grpcLimits(channelOptions),
      'grpc.default_compression_algorithm': compressionAlgorithms[channelOptions.compression],
      // A pool of connections shared by address would join scenarios that have nothing in common.
      'grpc.use_local_subchannel_pool': 1
    })
    return {
      channel,
      async close() {
        channel.close()
        server.forceShutdown()
        unsubscribe('net.client.socket', keep)
        // Where a call has failed in the wrong way, its connection outlives the channel.
        for (const socket of sockets) socket.destroy()
        await rm(folder, { recursive: true })
      }
    }
  }
}

function grpcLimits({ maxReceiveBytes = -1, maxSendBytes = -1 }) {
  return {
    'grpc.max_receive_message_length': maxReceiveBytes,
    'grpc.max_send_message_length': maxSendBytes
  }
}

/** HTTP/2 on a yamux substream: wire `h2`. */
const h2: Carrier = {
  name: 'h2',
  async open({ services, channelOptions, serverOptions }) {
    const server = createGrpcServer(services, serverOptions)
    const [near, far] = interopPair()
    const accepting = createNativeMuxer(far, {
      role: 'server',
      onSubstream: (substream) => server.serve(substream)
    })
    const dialling = createNativeMuxer(near, {
      role: 'client',
      onSubstream: (substream) => substream.destroy()
    })
    const channel = createChannel(() => dialling.open(), channelOptions)
    return {
      channel,
      async close() {
        const over = new Error('the scenario is over')
        channel.abort(over)
        await server.abort()
        dialling.abort(over)
        accepting.abort(over)
        await Promise.all([channel.closed, dialling.closed, accepting.closed])
      }
    }
  }
}

/** Each call a yamux substream: wire `direct`. */
const direct: Carrier = {
  name: 'direct',
  open({ services, channelOptions, serverOptions }) {
    const server = createGrpcServer(services, serverOptions)
    const [near, far] = interopPair()
    const accepting = startRoute(far, 'server')
    const dialling = startRoute(near, 'client')
    accepting.route.accept(
      7,
      (connection) => connection.destroy(),
      (port) => server.serveCall(port)
    )
    const channel = createDirectChannel(() => dialling.route.calls(7), channelOptions)
    return Promise.resolve({
      channel,
      async close() {
        const over = new Error('the scenario is over')
        channel.abort(over)
        await server.abort()
        dialling.muxer.abort(over)
        accepting.muxer.abort(over)
        await Promise.all([channel.closed, dialling.muxer.closed, accepting.muxer.closed])
      }
    })
  }
}

/** All that is tested; one more is one more entry. */
export const carriers: readonly Carrier[] = [stock, h2, direct]

export const allowed: readonly AllowedDifference[] = [
  {
    name: 'sent though cancelled',
    carrier: stock.name,
    reason:
      'A call cancelled in the tick it was made in is sent all the same, and its handler may wait for ever.',
    explains: (scenario, faulty, other) =>
      scenario.caller.cancel === 'before start' &&
      other.handler.length === 0 &&
      alikeForCaller(scenario, faulty.caller, other.caller)
  },
  {
    name: 'second answer hangs',
    carrier: stock.name,
    reason:
      'A second answer to a call that takes one is never read, and the status behind it waits for that.',
    explains: ({ kind, handler }, faulty, other) =>
      handler.surplus !== 'none' &&
      !answersMany(kind) &&
      faulty.caller === 'hung' &&
      other.caller !== 'hung' &&
      other.caller.outcome.t === 'status' &&
      other.caller.outcome.details === 'Too many responses received'
  },
  {
    name: 'responses lost before an error',
    carrier: stock.name,
    reason:
      'A status other than OK overtakes messages that the caller has not read yet, and they are dropped.',
    explains: (scenario, faulty, other) =>
      answersMany(scenario.kind) &&
      faulty.caller !== 'hung' &&
      other.caller !== 'hung' &&
      faulty.caller.outcome.t === 'status' &&
      faulty.caller.outcome.code !== 0 &&
      isStartOf(faulty.caller.messages, other.caller.messages) &&
      alikeForCaller(scenario, { ...faulty.caller, messages: other.caller.messages }, other.caller) &&
      alikeForHandler(scenario, faulty.handler, other.handler)
  },
  {
    name: 'late request fails the call',
    carrier: stock.name,
    reason: 'A request after the answer replaces its status, as long as the caller has responses to read.',
    explains: ({ kind }, faulty, other) =>
      kind === 'duplex' &&
      faulty.caller !== 'hung' &&
      faulty.caller.outcome.t === 'status' &&
      faulty.caller.outcome.details === 'Write error: write after end' &&
      other.caller !== 'hung' &&
      other.caller.outcome.t === 'status' &&
      other.caller.outcome.details !== 'Write error: write after end' &&
      isStartOf(faulty.caller.messages, other.caller.messages)
  },
  {
    name: 'status out of range',
    carrier: stock.name,
    reason: 'A status code that gRPC does not have is passed on; to a client it has to be UNKNOWN.',
    explains: ({ handler: { outcome } }, faulty, other) =>
      outcome.t === 'status' &&
      outcome.code > 16 &&
      faulty.caller !== 'hung' &&
      faulty.caller.outcome.t === 'status' &&
      // The typed API sees to the code itself.
      [2, outcome.code].includes(faulty.caller.outcome.code) &&
      isDeepStrictEqual(other, {
        ...faulty,
        caller: {
          ...faulty.caller,
          outcome: {
            ...faulty.caller.outcome,
            code: 2,
            details: `Unknown gRPC status ${outcome.code}: ${outcome.details}`
          }
        }
      })
  },
  {
    name: 'half-closed by cancelling, on a socket',
    carrier: stock.name,
    reason:
      'node:http2 half-closes a stream before it resets it. Where the two are read apart, which is seldom on a socket, ' +
      'the handler takes the requests for complete.',
    rare: true,
    explains: halfClosedByCancelling
  }
]

function halfClosedByCancelling(scenario: Scenario, faulty: Transcript, other: Transcript): boolean {
  const notEnded = faulty.handler.map((view) => ({ ...view, ended: false }))
  return (
    scenario.caller.halfClose === 'never' &&
    alikeForCaller(scenario, faulty.caller, other.caller) &&
    alikeForHandler(scenario, notEnded, other.handler)
  )
}
