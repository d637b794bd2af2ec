import {
  type Metadata,
  type sendUnaryData,
  type ServerDuplexStream,
  type UntypedServiceImplementation
} from '@grpc/grpc-js'
import { implement, type CallContext, type ServiceBinding } from '../../lib/grpc/handler.js'
import { serviceDefinition } from '../../lib/grpc/service.js'
import { callError } from '../../lib/grpc/status.js'
import {
  answersMany,
  messageOf,
  metadataOf,
  readsOf,
  requestsOf,
  responsesOf,
  sendsMany,
  type HandlerPart,
  type Kind,
  type Scenario
} from './differential-scenario.js'
import {
  deferred,
  entriesOf,
  hashOf,
  type DifferentialService,
  type HandlerView,
  type Stage
} from './differential-stage.js'

/** The handler's part of a scenario, ready for a server. */
export interface Script {
  readonly binding: ServiceBinding
  readonly views: readonly HandlerView[]
  /** Resolves when a handler was started. */
  readonly begun: Promise<void>
  /** Resolves once every handler that was started is over. */
  over(): Promise<unknown>
}

export function scriptOf(service: DifferentialService, scenario: Scenario, stage: Stage): Script {
  const write = scenario.handler.api === 'typed' ? typedScript : grpcScript
  return write(service, scenario, stage)
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] extends readonly (infer V)[] ? V[] : T[K] }

/** What both kinds of handler note down, and where they meet the caller. */
function notebook(scenario: Scenario, stage: Stage) {
  const views: Mutable<HandlerView>[] = []
  const running: Promise<void>[] = []
  const begun = deferred()
  const expected = requestsOf(scenario).length
  return {
    views,
    begun: begun.promise,
    over: () => Promise.all(running),
    open(path: string | null, metadata: Metadata, deadline: number) {
      const view: Mutable<HandlerView> = {
        path,
        metadata: [...entriesOf(metadata)],
        deadline: deadline !== Infinity,
        messages: [],
        ended: false,
        cancelled: false
      }
      const over = deferred()
      views.push(view)
      running.push(over.promise)
      begun.resolve()
      const hasAll = (): void => {
        stage.hasAll.resolve()
        if (scenario.caller.halfClose === 'never') stage.waits.resolve()
      }
      if (expected === 0) hasAll()
      return {
        view,
        over,
        read(message: Uint8Array): void {
          view.messages.push(hashOf(message))
          if (view.messages.length === expected) hasAll()
        }
      }
    }
  }
}

type Note = ReturnType<ReturnType<typeof notebook>['open']>

/** What is answered to the request that was read as number `index`; the rest is answered at the end. */
function answerAtOnce(scenario: Scenario, index: number): Buffer | undefined {
  const { kind, handler } = scenario
  if (kind !== 'duplex' || handler.responses !== 'echo') return undefined
  const spec = requestsOf(scenario)[index]
  return spec === undefined || index >= readsOf(scenario) ? undefined : messageOf(spec)
}

function answersAtEnd(scenario: Scenario): readonly Buffer[] {
  return answerAtOnce(scenario, 0) === undefined ? responsesOf(scenario) : []
}

function statusTrailer({ trailer, outcome }: HandlerPart): Metadata {
  const metadata = metadataOf(trailer)
  if (outcome.t === 'status' && outcome.rich !== null) {
    metadata.set('grpc-status-details-bin', Buffer.from(outcome.rich, 'base64'))
  }
  return metadata
}

// grpc-js's own way

type GrpcCall = ServerDuplexStream<Buffer, Buffer> & { readonly request: Buffer }
type GrpcAnswer = sendUnaryData<Buffer> | undefined

function grpcScript(service: DifferentialService, scenario: Scenario, stage: Stage): Script {
  const { kind, handler } = scenario
  const { open, ...notes } = notebook(scenario, stage)
  const { outcome } = handler

  function run(call: GrpcCall, callback: GrpcAnswer): void {
    const note = open(call.getPath(), call.metadata, Number(call.getDeadline()))
    let done = false
    const cancelled = (): void => {
      if (!done) note.view.cancelled = true
      note.over.resolve()
    }
    call.once('cancelled', cancelled)
    // Past its deadline a call may be over already, and says nothing then.
    if (Number(call.getDeadline()) <= Date.now()) cancelled()
    if (handler.header === 'early') call.sendMetadata(metadataOf(handler.headerMetadata))
    if (outcome.t === 'throw') {
      done = true
      throw new Error(outcome.message)
    }
    const finish = (): void => {
      sendHeader(call)
      if (answersMany(kind)) for (const response of answersAtEnd(scenario)) call.write(response)
      if (outcome.t === 'wait') return stage.waits.resolve()
      done = true
      end(call, callback)
    }
    if (sendsMany(kind)) {
      take(call, note, finish)
    } else {
      note.read(call.request)
      finish()
    }
  }

  /** Reads as many requests as the scenario says, then goes on. */
  function take(call: GrpcCall, note: Note, goOn: () => void): void {
    const count = handler.reads === 'all' ? Infinity : handler.reads
    if (count === 0) return goOn()
    let taken = 0
    const onData = (message: Buffer): void => {
      note.read(message)
      const response = answerAtOnce(scenario, taken)
      if (response !== undefined) {
        sendHeader(call)
        call.write(response)
      }
      if (++taken < count) return
      call.pause()
      call.off('data', onData)
      call.off('end', onEnd)
      goOn()
    }
    const onEnd = (): void => {
      // A node:http2 client that cancels half-closes first; on a socket both come in one go.
      setImmediate(() => {
        if (note.view.cancelled) return
        note.view.ended = true
        goOn()
      })
    }
    call.on('data', onData)
    call.once('end', onEnd)
  }

  function sendHeader(call: GrpcCall): void {
    if (handler.header === 'with the first message') call.sendMetadata(metadataOf(handler.headerMetadata))
  }

  function end(call: GrpcCall, callback: GrpcAnswer): void {
    const trailer = statusTrailer(handler)
    const [response = Buffer.alloc(0)] = responsesOf(scenario)
    const fail = (code: number, details: string): void => {
      const error = Object.assign(new Error(details), { code, details, metadata: trailer })
      if (callback === undefined) call.emit('error', error)
      else callback(error)
    }
    const succeed = (message: Buffer | undefined): void => {
      if (callback === undefined) call.end(trailer)
      else callback(null, message, trailer)
    }
    if (outcome.t === 'status') fail(outcome.code, outcome.details)
    else succeed(outcome.t === 'nothing' ? undefined : response)

    switch (handler.surplus) {
      case 'none':
        return
      case 'message':
        return succeed(Buffer.from('second'))
      case 'end':
        return succeed(Buffer.alloc(0))
      case 'error':
        return fail(10, 'too late')
    }
  }

  const handlers: Record<Kind | 'fence', unknown> = {
    unary: run,
    upload: run,
    download: run,
    duplex: run,
    fence: (_call: unknown, callback: sendUnaryData<Buffer>) => callback(null, Buffer.alloc(0))
  }
  const binding = {
    definition: serviceDefinition(service),
    handlers: handlers as UntypedServiceImplementation
  }
  return { binding, ...notes }
}

// This package's way

type Requests = Uint8Array | AsyncIterable<Uint8Array>

function typedScript(service: DifferentialService, scenario: Scenario, stage: Stage): Script {
  const { handler } = scenario
  const { open, ...notes } = notebook(scenario, stage)
  const { outcome } = handler

  async function* run(requests: Requests, context: CallContext): AsyncGenerator<Uint8Array> {
    const note = open(null, context.metadata, context.deadline)
    const { signal, trailer } = context
    try {
      if (handler.header === 'early') context.sendHeader(metadataOf(handler.headerMetadata))
      trailer.merge(metadataOf(handler.trailer))
      if (requests instanceof Uint8Array) note.read(requests)
      else yield* take(requests, note, context)
      sendHeader(context)
      yield* answersAtEnd(scenario)
      stage.waits.resolve()
      if (outcome.t === 'wait' && !signal.aborted) {
        await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
      }
      signal.throwIfAborted()
      if (outcome.t === 'throw') throw new Error(outcome.message)
      if (outcome.t === 'status') {
        const metadata = statusTrailer({ ...handler, trailer: [] })
        throw callError(outcome.code, outcome.details, { metadata })
      }
    } finally {
      note.view.cancelled = signal.aborted
      note.over.resolve()
    }
  }

  async function* take(
    requests: AsyncIterable<Uint8Array>,
    note: Note,
    context: CallContext
  ): AsyncGenerator<Uint8Array> {
    const count = handler.reads === 'all' ? Infinity : handler.reads
    if (count === 0) return
    let taken = 0
    for await (const request of requests) {
      note.read(request)
      const response = answerAtOnce(scenario, taken)
      if (response !== undefined) {
        sendHeader(context)
        yield response
      }
      if (++taken === count) return
    }
    note.view.ended = true
  }

  function sendHeader(context: CallContext): void {
    if (handler.header === 'with the first message') context.sendHeader(metadataOf(handler.headerMetadata))
  }

  async function once(requests: Requests, context: CallContext): Promise<Uint8Array> {
    let response: Uint8Array | undefined
    for await (const message of run(requests, context)) response = message
    return outcome.t === 'nothing' ? (undefined as never) : (response ?? Buffer.alloc(0))
  }

  const binding = implement(service, {
    unary: once,
    upload: once,
    download: run,
    duplex: run,
    fence: () => Buffer.alloc(0)
  })
  return { binding, ...notes }
}
