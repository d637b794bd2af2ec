import { invalidOption } from '../check.js'
import { CallLife } from '../grpc/call-life.js'
import { type CallContext, type PlainMethod, type ServiceBinding, implement } from '../grpc/handler.js'
import { type MethodDescriptor, type ServiceDescriptor, serialize } from '../grpc/service.js'
import { Status } from '../grpc/grpc-js.js'
import { type LogLevel, type Logger, checkLogger, silentLogger } from '../log.js'
import { type AuditRecord, type CallCore, Gauge, RestrictedCall } from './restrict-call.js'
import { restrictHandlers } from './restrict-grpc-js.js'
import {
  type MethodNames,
  type Plan,
  type Rules,
  checkKeys,
  compileRules,
  methodName,
  needsBytes
} from './restrict-rules.js'

/**
 * What a restricted service allows, and who is told of its calls. Each kind of rule left out: no such limit.
 */
export interface RestrictOptions extends Rules {
  /**
   * Told of every call once, when it ends, however it ends. What it throws, or a promise of it rejects with,
   * is logged and harms no call.
   */
  readonly audit?: (record: AuditRecord) => unknown
  /**
   * Whose calls they are, for the records: usually the plugin's name. Default: the address that grpc-js
   * knows.
   */
  readonly caller?: string
  /** Where a failing `audit` is logged. Default: nowhere. */
  readonly logger?: Logger
  /** The clock of rates and durations, in milliseconds; only differences count. Default `performance.now`. */
  readonly now?: () => number
}

/**
 * The same service, for less: calls that a rule does not allow fail with PERMISSION_DENIED and the rule's
 * name, whatever kind of rule it is, and streams end with it where they go beyond. Rates are counted over all
 * calls of the binding that is returned: make one for each plugin.
 *
 * Takes what `implement()` gives and grpc-js's own definition and handlers, on both wires.
 * @throws `ERR_CONFIG_INVALID` for a rule that says nothing, and for names of methods, options and fields
 * that are not there
 */
export function restrict(binding: ServiceBinding, options: RestrictOptions): ServiceBinding {
  const keys = ['methods', 'paths', 'sizes', 'rates', 'audit', 'caller', 'logger', 'now'] as const
  const { audit, caller, logger = silentLogger, now } = checkKeys('options', options, keys)
  checkLogger(logger)
  if (audit !== undefined && typeof audit !== 'function')
    throw invalidOption('audit', audit, 'Give a function that takes a record.')
  if (caller !== undefined && typeof caller !== 'string')
    throw invalidOption('caller', caller, 'Give a name.')
  const core: CallCore = { audit, caller, logger, now: now ?? (() => performance.now()) }
  const plans = compileRules(options, methodNames(binding), core.now)
  const { methods, typeName, background = false } = binding
  if (methods === undefined) {
    const restricted = { ...restrictHandlers(binding, plans, core), background }
    return typeName === undefined ? restricted : { typeName, ...restricted }
  }

  const descriptors: Record<string, MethodDescriptor> = {}
  const implementation: Record<string, PlainMethod['run']> = {}
  for (const [path, method] of methods) {
    const { descriptor, run } = restrictMethod(method, plans.get(path)!, core)
    descriptors[methodName(path)] = descriptor
    implementation[methodName(path)] = run
  }
  const service: ServiceDescriptor = {
    typeName: typeName ?? Object.values(descriptors)[0]?.path.split('/')[1] ?? '',
    methods: descriptors,
    fileDescriptors: () => filesOf(binding)
  }
  return implement(service, implementation as never, { background })
}

/** The files that reflection tells of, as `serviceDefinition()` puts them beside each method. */
function filesOf({ definition }: ServiceBinding): readonly Uint8Array[] {
  const method = Object.values(definition)[0] as { requestType?: { fileDescriptorProtos?: Uint8Array[] } }
  return method?.requestType?.fileDescriptorProtos ?? []
}

/** An `audit` that logs: calls that were denied at warn, others at `level`. */
export function auditTo(logger: Logger, level: LogLevel = 'info'): (record: AuditRecord) => void {
  checkLogger(logger)
  return (record) => {
    // The logger has its own time.
    const { decision, durationMs, time: _, ...fields } = record
    const denied = decision === 'denied'
    logger[denied ? 'warn' : level]({ ...fields, ms: durationMs }, `call ${decision}: ${record.method}`)
  }
}

/** The definition is looked at only where no method that is implemented has the name. */
function methodNames(binding: ServiceBinding): MethodNames {
  const { methods } = binding
  const defined = (): string[] => Object.values(binding.definition).map(({ path }) => path)
  const paths = methods === undefined ? defined() : [...methods.keys()]
  return {
    paths,
    find(name) {
      const found = paths.filter((path) => isNamed(path, name))
      return found.length > 0 ? found : defined().filter((path) => isNamed(path, name))
    },
    emptyRequest(path) {
      let request: unknown
      try {
        request = methods?.get(path)?.descriptor.request.decode(new Uint8Array())
      } catch {
        // Some fields are required.
      }
      if (typeof request !== 'object' || request === null) return undefined
      // A plain object may lack fields that are not set; a message of protobufjs has them all.
      const kind: unknown = Object.getPrototypeOf(request)
      return kind === Object.prototype || kind === null ? undefined : request
    }
  }
}

/** `readFile`, `ReadFile` and `/package.Service/ReadFile` name one method. */
function isNamed(path: string, name: string): boolean {
  const own = methodName(path)
  return name === path || name === own || name === `${own.charAt(0).toLowerCase()}${own.slice(1)}`
}

/** A typed method whose calls keep to a plan. */
function restrictMethod({ descriptor, run }: PlainMethod, plan: Plan, core: CallCore): PlainMethod {
  const { request, response, requestStream, responseStream } = descriptor
  const gauge =
    core.audit !== undefined || needsBytes(plan)
      ? new Gauge({
          decodeRequest: (bytes) => request.decode(bytes),
          encodeRequest: (message) => serialize(request, message),
          encodeResponse: (message) => serialize(response, message)
        })
      : undefined
  return {
    descriptor: gauge === undefined ? descriptor : gauged(descriptor, gauge),
    run(input, context) {
      const call = new RestrictedCall(plan, core, gauge, context)
      try {
        call.admit(requestStream ? undefined : { request: input })
        const given = run(requestStream ? new Requests(call, input as Requested) : input, context)
        if (responseStream) {
          onCancel(context, (reason) => call.fail(reason))
          return new Responses(call, given as Items)
        }
        if (isThenable(given)) {
          onCancel(context, (reason) => call.fail(reason))
          return answerLater(call, given)
        }
        const answer = respond(call, given)
        call.release()
        return answer
      } catch (error) {
        call.fail(error)
        call.release()
        throw error
      }
    }
  }
}

function gauged(descriptor: MethodDescriptor, gauge: Gauge): MethodDescriptor {
  const { request, response } = descriptor
  return {
    ...descriptor,
    request: {
      encode: (message) => request.encode(message),
      decode: (bytes) => gauge.decodeRequest(bytes as Buffer)
    },
    response: {
      encode(message) {
        const bytes = gauge.encodeResponse(message)
        return { finish: () => bytes }
      },
      decode: (bytes) => response.decode(bytes)
    }
  }
}

async function answerLater(call: RestrictedCall, given: PromiseLike<unknown>): Promise<unknown> {
  try {
    return respond(call, await given)
  } catch (error) {
    call.fail(error)
    throw call.denied ?? error
  } finally {
    call.release()
  }
}

function respond(call: RestrictedCall, response: unknown): unknown {
  call.response(response)
  call.succeed()
  return response
}

type Requested = AsyncIterable<unknown>

/**
 * What a handler of a stream reads: the requests up to the one that is refused, which ends its loop with an
 * error.
 */
class Requests implements AsyncIterableIterator<unknown> {
  readonly #call: RestrictedCall
  readonly #requests: AsyncIterator<unknown>

  constructor(call: RestrictedCall, requests: Requested) {
    this.#call = call
    this.#requests = requests[Symbol.asyncIterator]()
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async next(): Promise<IteratorResult<unknown>> {
    const result = await this.#requests.next()
    // No end either: what was cut short must not look whole.
    if (this.#call.denied !== undefined) throw this.#call.denied
    if (result.done !== true) this.#call.request(result.value)
    return result
  }

  async return(): Promise<IteratorResult<unknown>> {
    await this.#requests.return?.()
    return { done: true, value: undefined }
  }
}

type Items = AsyncIterable<unknown> | Iterable<unknown>

/**
 * What a handler gives, up to the message that is refused. No generator: whoever leaves while a message is
 * awaited must reach the handler now.
 */
class Responses implements AsyncIterableIterator<unknown> {
  readonly #call: RestrictedCall
  readonly #items: AsyncIterator<unknown> | Iterator<unknown>

  constructor(call: RestrictedCall, items: Items) {
    this.#call = call
    this.#items = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]()
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async next(): Promise<IteratorResult<unknown>> {
    const call = this.#call
    const result = await this.#next()
    if (result.done === true) {
      call.release()
      call.succeed()
    } else call.response(result.value)
    return result
  }

  async #next(): Promise<IteratorResult<unknown>> {
    try {
      return await this.#items.next()
    } catch (error) {
      this.#call.fail(error)
      this.#call.release()
      // What a handler throws that was refused a request may be its own.
      throw this.#call.denied ?? error
    }
  }

  /**
   * After a message that was refused or could not be sent, and after a cancellation, which was told before.
   */
  async return(): Promise<IteratorResult<unknown>> {
    const call = this.#call
    try {
      call.end(Status.UNKNOWN)
      await this.#items.return?.()
    } finally {
      call.release()
    }
    return { done: true, value: undefined }
  }
}

/**
 * Tells why nobody waits for the call any more. A signal costs more than most calls, so none is made to hear
 * of it.
 */
function onCancel(context: CallContext, action: (reason: unknown) => void): void {
  if (context instanceof CallLife) return context.onCancel(() => action(context.signal.reason))
  const { signal } = context
  if (signal.aborted) action(signal.reason)
  else signal.addEventListener('abort', () => action(signal.reason), { once: true })
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | null | undefined)?.then === 'function'
}
