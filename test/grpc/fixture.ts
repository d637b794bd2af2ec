import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Channel, credentials, type ChannelInterface } from '@grpc/grpc-js'
import type { Test } from 'tap'
import { Echo } from '#proto/echo/v1/echo.js'
import { callError } from '../../lib/grpc/status.js'
import { createChannel } from '../../lib/grpc/channel.js'
import { createClient, type Client } from '../../lib/grpc/client.js'
import { implement, type ServiceBinding, type ServiceImplementation } from '../../lib/grpc/handler.js'
import { createGrpcServer, type GrpcServer, type GrpcServerOptions } from '../../lib/grpc/server.js'

type EchoImplementation = ServiceImplementation<typeof Echo>

/** The echo service as its .proto describes it. */
export const echo: EchoImplementation = {
  echo: ({ text, payload }) => ({ text, payload }),
  async *repeat({ text, count, payload }) {
    for (let index = 0; index < count; index += 1) yield { text, payload, index }
  },
  async collect(requests) {
    const texts: string[] = []
    const payloads: Uint8Array[] = []
    for await (const { text, payload } of requests) {
      texts.push(text)
      payloads.push(payload)
    }
    return { text: texts.join(''), payload: Buffer.concat(payloads), count: texts.length }
  },
  async *chat(requests) {
    let index = 0
    for await (const { text, payload } of requests) {
      yield { text, payload, index }
      index += 1
    }
  },
  sleep: ({ ms }, { signal }) => sleep(ms, {}, { signal }),
  fail({ code, details }) {
    throw callError(code, details)
  }
}

export interface Served {
  readonly server: GrpcServer
  readonly channel: ChannelInterface
  readonly client: Client<typeof Echo>
  /** The server's ends of the connections, oldest first. */
  readonly accepted: readonly Socket[]
  /** A further connection, not yet spoken on. */
  readonly connect: () => Promise<Socket>
}

/** The channels that a client is tried on. */
export const channels = {
  'grpc-js’s own channel': (socketPath: string): ChannelInterface =>
    new Channel(`unix:${socketPath}`, credentials.createInsecure(), {
      'grpc.max_receive_message_length': -1,
      // Its retry buffer takes requests faster than the event loop turns.
      'grpc.enable_retries': 0
    }),
  'a channel on a byte stream': (socketPath: string): ChannelInterface =>
    createChannel(() => connect(socketPath), { maxReceiveBytes: Infinity })
}

/** Serves `bindings` on a unix socket, with a channel to it. All is closed at the end of the test. */
export async function serve(
  t: Test,
  bindings: readonly ServiceBinding[],
  options: GrpcServerOptions = {},
  openChannel: (socketPath: string) => ChannelInterface = channels['grpc-js’s own channel']
): Promise<Served> {
  const folder = await mkdtemp(path.join(tmpdir(), 'muxplug-grpc-'))
  const socketPath = path.join(folder, 'socket')
  const server = createGrpcServer(bindings, options)
  const accepted: Socket[] = []
  const listener = createServer((socket) => {
    accepted.push(socket)
    server.serve(socket)
  })
  listener.listen(socketPath)
  await once(listener, 'listening')
  const channel = openChannel(socketPath)
  const opened: Socket[] = []
  t.teardown(async () => {
    channel.close()
    for (const socket of opened) socket.destroy()
    listener.close()
    await server.close({ graceMs: 1 })
    await rm(folder, { recursive: true })
  })
  return {
    server,
    channel,
    client: createClient(Echo, channel),
    accepted,
    async connect() {
      const socket = connect(socketPath)
      opened.push(socket)
      await once(socket, 'connect')
      return socket
    }
  }
}

/** The echo service with some methods replaced. */
export function echoWith(methods: Partial<EchoImplementation>): ServiceBinding {
  return implement(Echo, { ...echo, ...methods })
}

/** A promise and what settles it. */
export function deferred<T = void>() {
  let resolve!: (value: T) => void
  let reject!: (reason: unknown) => void
  const promise = new Promise<T>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

/** Resolves once `progress()` has stayed the same for many turns of the event loop. */
export async function stalled(progress: () => number): Promise<void> {
  for (let before = -1; before !== progress();) {
    before = progress()
    for (let turn = 0; turn < 200; turn += 1) await new Promise((resolve) => setImmediate(resolve))
  }
}

/** What `promise` rejects with; fails when it does not. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  const nothing = Symbol('fulfilled')
  const reason = await promise.then(
    () => nothing,
    (error: unknown) => error
  )
  if (reason === nothing) throw new Error('the promise was fulfilled')
  return reason
}
