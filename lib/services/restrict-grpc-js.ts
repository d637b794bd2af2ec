import type {
  MethodDefinition,
  sendUnaryData,
  StatusObject,
  UntypedHandleCall,
  UntypedServiceImplementation
} from '@grpc/grpc-js'
import type { EventEmitter } from 'node:events'
import { Status } from '../grpc/grpc-js.js'
import type { ServiceBinding } from '../grpc/handler.js'
import { toServiceError } from '../grpc/status.js'
import { type CallCore, Gauge, RestrictedCall } from './restrict-call.js'
import { type Plan, needsBytes } from './restrict-rules.js'

type Method = MethodDefinition<unknown, unknown>

/**
 * The handlers of grpc-js, whose calls keep to their plans, with the definition that measures their messages.
 */
export function restrictHandlers(
  binding: ServiceBinding,
  plans: ReadonlyMap<string, Plan>,
  core: CallCore
): Pick<ServiceBinding, 'definition' | 'handlers'> {
  const definition: Record<string, Method> = {}
  const handlers: UntypedServiceImplementation = {}
  for (const [name, method] of Object.entries(binding.definition)) {
    const plan = plans.get(method.path)!
    const gauge =
      core.audit !== undefined || needsBytes(plan)
        ? new Gauge({
            decodeRequest: method.requestDeserialize,
            encodeRequest: method.requestSerialize,
            encodeResponse: method.responseSerialize
          })
        : undefined
    definition[name] = gauge === undefined ? method : gauged(method, gauge)
    // As grpc-js looks them up.
    const handler = binding.handlers[name] ?? binding.handlers[method.originalName ?? name]
    if (handler === undefined) continue
    const run = (handler as unknown as Run).bind(binding.handlers)
    const start = (call: GrpcJsCall): RestrictedCall =>
      new RestrictedCall(plan, core, gauge, { peer: call.getPeer() })
    handlers[name] = restrictHandler(method, run, start) as unknown as UntypedHandleCall
  }
  return { definition, handlers }
}

function gauged(method: Method, gauge: Gauge): Method {
  return {
    ...method,
    requestDeserialize: (bytes) => gauge.decodeRequest(bytes),
    responseSerialize: (message) => gauge.encodeResponse(message)
  }
}

type Callback = sendUnaryData<unknown>
type Run = (call: GrpcJsCall, callback?: Callback) => void

/** What grpc-js 1.14.7 hands to the four kinds of handler, with what it keeps to itself. */
interface GrpcJsCall extends EventEmitter {
  readonly request?: unknown
  readonly pendingStatus?: { readonly code: Status }
  readonly call: { sendStatus(status: StatusObject): void }
  getPeer(): string
  getDeadline(): Date | number
  push(message: unknown): boolean
  _write(message: unknown, encoding: BufferEncoding, callback: (error?: Error | null) => void): void
  _final(callback: (error?: Error | null) => void): void
}

function restrictHandler(
  { requestStream, responseStream }: Method,
  run: Run,
  start: (call: GrpcJsCall) => RestrictedCall
): Run {
  return (call, callback) => {
    const restricted = start(call)
    const deadline = Number(call.getDeadline())
    const over = (): void => {
      restricted.end(deadline <= Date.now() ? Status.DEADLINE_EXCEEDED : Status.CANCELLED)
      restricted.release()
    }
    // A call that came too late: grpc-js has ended it, and says nothing of it any more.
    if (deadline <= Date.now()) return over()
    // Emitted after every call, also one that ended well.
    call.once('cancelled', over)
    // Also after what a handler does later: grpc-js, and wire `direct` for it, take the first status of a call.
    const refuse = (error: unknown): void => {
      const status = toServiceError(error)
      if (callback === undefined) call.call.sendStatus(status)
      else callback(status)
    }
    try {
      restricted.admit(requestStream ? undefined : { request: call.request })
    } catch (error) {
      return refuse(error)
    }
    if (requestStream) guardRequests(call, restricted, refuse)
    if (responseStream) guardResponses(call, restricted, refuse)
    try {
      run(call, callback && guardAnswer(callback, restricted, refuse))
    } catch (error) {
      restricted.end(Status.UNKNOWN)
      throw error
    }
  }
}

function guardRequests(call: GrpcJsCall, restricted: RestrictedCall, refuse: (error: unknown) => void): void {
  const push = call.push.bind(call)
  call.push = (message) => {
    if (message === null) return push(message)
    try {
      restricted.request(message)
    } catch (error) {
      refuse(error)
      // Nothing was pushed, so nothing more is read: neither messages nor an end, which would look whole.
      return false
    }
    return push(message)
  }
}

function guardResponses(
  call: GrpcJsCall,
  restricted: RestrictedCall,
  refuse: (error: unknown) => void
): void {
  const write = call._write.bind(call)
  const final = call._final.bind(call)
  call._write = (message, encoding, callback) => {
    try {
      restricted.response(message)
    } catch (error) {
      refuse(error)
      return callback()
    }
    write(message, encoding, callback)
  }
  call._final = (callback) => {
    restricted.end(call.pendingStatus?.code ?? Status.OK)
    final(callback)
  }
}

function guardAnswer(
  callback: Callback,
  restricted: RestrictedCall,
  refuse: (error: unknown) => void
): Callback {
  return (error, response, trailer, flags) => {
    if (error) {
      restricted.end(codeOf(error))
      return callback(error, response, trailer, flags)
    }
    try {
      restricted.response(response)
    } catch (denial) {
      return refuse(denial)
    }
    restricted.end(Status.OK)
    callback(error, response, trailer, flags)
  }
}

/** The status that grpc-js makes of an error. */
function codeOf({ code }: { readonly code?: unknown }): number {
  return Number.isInteger(code) ? (code as number) : Status.UNKNOWN
}
