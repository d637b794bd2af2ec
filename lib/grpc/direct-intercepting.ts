import { createRequire } from 'node:module'
import type { Server, ServerInterceptingCallInterface, ServerInterceptor } from '@grpc/grpc-js'
import type { DirectServerCall, RequestTaker, Unsendable } from './direct-server.js'
import { Metadata, Status } from './grpc-js.js'
import { statusOf } from './status-map.js'
import { failure } from './trailer.js'

/** A handler as grpc-js keeps it: its function, its codec and its kind. */
export interface GrpcJsHandler {
  readonly type: string
  readonly path: string
  readonly serialize: (message: unknown) => Buffer
  readonly deserialize: (bytes: Buffer) => unknown
}

/** What grpc-js 1.14.7 keeps to itself. */
interface ServerInternals {
  readonly handlers: ReadonlyMap<string, GrpcJsHandler>
  _runHandlerForCall(call: ServerInterceptingCallInterface, handler: GrpcJsHandler): boolean
}

type Listener = Parameters<ServerInterceptingCallInterface['start']>[0]
type MethodDescriptor = Parameters<ServerInterceptor>[0]
type MetricsRecorder = ReturnType<ServerInterceptingCallInterface['getMetricsRecorder']>

const require = createRequire(import.meta.url)

/** The handler that a server of grpc-js has for a path. */
export function handlerFor(server: Server, path: string): GrpcJsHandler | undefined {
  return (server as unknown as ServerInternals).handlers.get(path)
}

/**
 * Gives a call of wire `direct` to a handler of grpc-js, by way of the interceptors: it is run by grpc-js's own code, above
 * the seam that grpc-js has for its interceptors.
 */
export function attachGrpcJs(
  server: Server,
  handler: GrpcJsHandler,
  interceptors: readonly ServerInterceptor[],
  call: DirectServerCall
): RequestTaker {
  const base = new InterceptingCall(call, handler, () => {
    const method: MethodDescriptor = {
      path: handler.path,
      requestStream: handler.type === 'clientStream' || handler.type === 'bidi',
      responseStream: handler.type === 'serverStream' || handler.type === 'bidi',
      requestDeserialize: handler.deserialize,
      responseSerialize: handler.serialize
    }
    const top = interceptors.reduce<ServerInterceptingCallInterface>(
      (next, interceptor) => interceptor(method, next),
      base
    )
    ;(server as unknown as ServerInternals)._runHandlerForCall(top, handler)
  })
  return base
}

type Entry = { readonly message: unknown } | 'half-close'

/** The lowest of the calls that grpc-js's interceptors and handlers see. */
class InterceptingCall implements RequestTaker, ServerInterceptingCallInterface {
  readonly #call: DirectServerCall
  readonly #handler: GrpcJsHandler
  readonly #begin: () => void
  #listener: Listener | undefined
  #queue: Entry[] = []
  #reading = false
  #cancelled = false
  #recorder: MetricsRecorder | undefined
  /** Of the message that has not left. */
  #sent: (() => void) | undefined

  constructor(call: DirectServerCall, handler: GrpcJsHandler, begin: () => void) {
    this.#call = call
    this.#handler = handler
    this.#begin = begin
  }

  // Below: what comes from the caller

  begin(): void {
    this.#run(this.#begin)
  }

  /**
   * Runs code of interceptors and handlers. What it throws is an uncaught exception, as with grpc-js, but not on the
   * session's own stack, where it would take along what came in the same chunk for other calls.
   */
  #run(action: () => void): void {
    try {
      action()
    } catch (error) {
      this.#call.sendStatus(failure(error, undefined))
      process.nextTick(() => {
        throw error
      })
    }
  }

  message(payload: Buffer): void {
    let message: unknown
    try {
      message = this.#handler.deserialize(payload)
    } catch {
      return this.#call.sendStatus(statusOf(Status.INTERNAL, 'Error deserializing request'))
    }
    this.#queue.push({ message })
    this.#call.pause()
    this.#advance()
  }

  end(): void {
    this.#queue.push('half-close')
    this.#advance()
  }

  cancel(): void {
    this.#cancelled = true
    this.#queue = []
    // grpc-js tells it after a normal end, too.
    process.nextTick(() => this.#listener?.onCancel())
  }

  #advance(): void {
    if (!this.#reading || this.#cancelled || this.#listener === undefined) return
    const next = this.#queue.shift()
    if (next === undefined) {
      this.#call.resume()
      return
    }
    this.#reading = false
    const listener = this.#listener
    this.#run(() => {
      if (next === 'half-close') listener.onReceiveHalfClose()
      else listener.onReceiveMessage(next.message)
    })
  }

  // Above: what grpc-js asks for

  start(listener: Listener): void {
    this.#listener = listener
    if (this.#cancelled) return
    listener.onReceiveMetadata(this.#call.metadata)
  }

  startRead(): void {
    this.#reading = true
    this.#advance()
  }

  sendMetadata(metadata: Metadata): void {
    this.#call.sendHeader(metadata instanceof Metadata ? metadata : new Metadata())
  }

  sendMessage(message: unknown, callback: () => void): void {
    if (this.#call.over) return
    let bytes: Buffer
    try {
      bytes = this.#handler.serialize(message)
    } catch {
      return this.#call.sendStatus(statusOf(Status.INTERNAL, 'Error serializing response'))
    }
    try {
      // Later, as grpc-js does: a handler that answers twice has sent two messages by then.
      if (this.#call.sendMessage(bytes)) return process.nextTick(callback)
    } catch (error) {
      const { code, message: details } = error as Unsendable
      return this.#call.sendStatus(statusOf(code, details))
    }
    this.#sent = callback
    this.#call.onDrain = () => {
      const sent = this.#sent
      this.#sent = undefined
      if (!this.#call.over) sent?.()
    }
  }

  sendStatus(status: Parameters<ServerInterceptingCallInterface['sendStatus']>[0]): void {
    this.#call.sendStatus(status)
  }

  getPeer(): string {
    return this.#call.peer
  }

  getDeadline(): number {
    return this.#call.deadline
  }

  getHost(): string {
    return this.#call.host
  }

  getAuthContext(): object {
    return {}
  }

  getConnectionInfo(): ReturnType<ServerInterceptingCallInterface['getConnectionInfo']> {
    return {}
  }

  getMetricsRecorder(): MetricsRecorder {
    if (this.#recorder === undefined) {
      const { PerRequestMetricRecorder } = require('@grpc/grpc-js/build/src/orca.js') as {
        PerRequestMetricRecorder: new () => MetricsRecorder
      }
      this.#recorder = new PerRequestMetricRecorder()
    }
    return this.#recorder
  }
}
