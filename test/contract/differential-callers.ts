import {
  Client as GrpcClient,
  InterceptingCall,
  credentials as channelCredentials,
  type CallOptions as GrpcCallOptions,
  type ChannelInterface,
  type ClientUnaryCall,
  type Interceptor,
  type Metadata,
  type ServiceError,
  type StatusObject
} from '@grpc/grpc-js'
import { PluginError } from '../../lib/errors.js'
import { createClient, type CallOptions } from '../../lib/grpc/client.js'
import {
  answersMany,
  messageOf,
  metadataOf,
  readsOf,
  requestsOf,
  responsesOf,
  sendsMany,
  type CallerPart,
  type Entries,
  type Scenario
} from './differential-scenario.js'
import {
  entriesOf,
  hashOf,
  nextTurn,
  type CallerView,
  type DifferentialService,
  type Stage
} from './differential-stage.js'

const shortMs = 20
const generousMs = 600_000

export interface Timers {
  /** Makes the call; its timers are the caller's. */
  creating<T>(make: () => T): T
  restore(): void
}

/**
 * Decides whose timer fires first when a deadline of 20 ms passes: the other side's come a second later. The
 * caller's are those that are set while it makes its call.
 */
export function delayTimers(deadline: CallerPart['deadline']): Timers {
  if (deadline !== "caller's timer" && deadline !== "server's timer") {
    return { creating: (make) => make(), restore: () => {} }
  }
  const own = globalThis.setTimeout
  let creating = false
  const delaying = (run: () => void, ms = 0, ...rest: []): NodeJS.Timeout => {
    const late = creating === (deadline === "server's timer") && ms > 0 && ms <= shortMs + 1
    return own(run, late ? ms + 1000 : ms, ...rest)
  }
  globalThis.setTimeout = Object.assign(delaying, own)
  return {
    creating(make) {
      creating = true
      try {
        return make()
      } finally {
        creating = false
      }
    },
    restore() {
      globalThis.setTimeout = own
    }
  }
}

function deadlineOf({ deadline }: CallerPart): number {
  switch (deadline) {
    case 'none':
      return Infinity
    case 'generous':
      return Date.now() + generousMs
    case 'past':
      return 0
    case "caller's timer":
    case "server's timer":
      return Date.now() + shortMs
  }
}

function interceptorsOf({ intercepted }: CallerPart): Interceptor[] {
  if (intercepted === null) return []
  return [
    (options, nextCall) =>
      new InterceptingCall(nextCall(options), {
        start(metadata, listener, next) {
          metadata.merge(metadataOf(intercepted))
          next(metadata, listener)
        }
      })
  ]
}

/** Hands the requests over one by one, and half-closes, as the scenario says. */
async function* sending(
  scenario: Scenario,
  { ended, header, hasAll, responses }: Stage
): AsyncGenerator<Buffer> {
  const { sends, halfClose } = scenario.caller
  if (sends === 'after the header') await Promise.race([header.promise, ended.promise])
  for (const [index, spec] of requestsOf(scenario).entries()) {
    if (sends === 'in turn') await Promise.race([responses.reached(index), ended.promise])
    yield messageOf(spec)
  }
  if (halfClose === 'never') await ended.promise
  if (halfClose === 'with the last' || requestsOf(scenario).length > readsOf(scenario)) return
  await Promise.race([hasAll.promise, ended.promise])
  await nextTurn()
}

/** Resolves when the call is to be cancelled because both sides wait. */
async function bothWait(scenario: Scenario, { waits, header, responses }: Stage): Promise<void> {
  await waits.promise
  if (scenario.handler.header === 'early') await header.promise
  await responses.reached(responsesOf(scenario).length)
}

/** Slower than messages come that are sent one a turn. */
async function slowly(): Promise<void> {
  for (let turn = 0; turn < 4; turn += 1) await nextTurn()
}

type GrpcClientCall = ClientUnaryCall &
  NodeJS.EventEmitter & {
    write(message: Buffer): boolean
    end(): void
    pause(): void
    resume(): void
  }

/** Makes the scenario's call; resolves once it is over for the caller. */
export function callOf(...context: CallContext): Promise<CallerView> {
  const [, , scenario] = context
  return scenario.caller.api === 'typed' ? callTyped(...context) : callWithGrpc(...context)
}

type CallContext = Parameters<typeof callTyped>

async function callWithGrpc(
  service: DifferentialService,
  channel: ChannelInterface,
  scenario: Scenario,
  stage: Stage,
  timers: Timers
): Promise<CallerView> {
  const { kind, caller } = scenario
  const client = new GrpcClient('differential', channelCredentials.createInsecure(), {
    channelOverride: channel
  })
  const order: string[] = []
  const messages: string[] = []
  let header: Entries | null = null

  const log = (event: string): void => {
    if (order.at(-1) !== event) order.push(event)
  }
  const onMessage = (message: Buffer): void => {
    messages.push(hashOf(message))
    log('message')
    stage.responses.add()
  }

  let onAnswer!: (error: ServiceError | null) => void
  const answered = new Promise<ServiceError | null>((resolve) => (onAnswer = resolve))
  const callback = (error: ServiceError | null, message?: Buffer): void => {
    if (message !== undefined) onMessage(message)
    log(error === null ? 'answer' : 'error')
    onAnswer(error)
  }

  const metadata = metadataOf(caller.metadata)
  const options: GrpcCallOptions = {
    deadline: deadlineOf(caller),
    interceptors: interceptorsOf(caller),
    ...credentialsOf(caller)
  }
  const { path, request: codec } = service.methods[kind]
  const encode = (message: Buffer): Buffer => message
  const decode = (encoded: Buffer): Buffer => Buffer.from(codec.decode(encoded))
  const [first] = requestsOf(scenario).map(messageOf)
  const make = (): unknown => {
    switch (kind) {
      case 'unary':
        return client.makeUnaryRequest(path, encode, decode, first as Buffer, metadata, options, callback)
      case 'upload':
        return client.makeClientStreamRequest(path, encode, decode, metadata, options, callback)
      case 'download':
        return client.makeServerStreamRequest(path, encode, decode, first as Buffer, metadata, options)
      case 'duplex':
        return client.makeBidiStreamRequest(path, encode, decode, metadata, options)
    }
  }
  const call = timers.creating(make) as GrpcClientCall

  call.on('metadata', (received: Metadata) => {
    log('metadata')
    header = entriesOf(received)
    stage.header.resolve()
  })
  const status = new Promise<StatusObject>((resolve) => {
    call.once('status', (received: StatusObject) => {
      log('status')
      // Before what follows in this turn, as a handler may wait for it.
      stage.ended.resolve()
      resolve(received)
    })
  })
  if (answersMany(kind)) {
    call.on('data', (message: Buffer) => {
      onMessage(message)
      if (caller.reader === 'flowing') return
      call.pause()
      void slowly().then(() => call.resume())
    })
    call.on('error', (error: ServiceError) => onAnswer(error))
    call.once('end', () => {
      log('end')
      onAnswer(null)
    })
  } else {
    call.on('error', () => {})
  }

  if (caller.cancel === 'before start') call.cancel()
  if (caller.cancel === 'waiting') void bothWait(scenario, stage).then(() => call.cancel())
  if (sendsMany(kind)) {
    const send = async (): Promise<void> => {
      for await (const message of sending(scenario, stage)) call.write(message)
      call.end()
    }
    void send()
  }
  const ended = answersMany(kind) ? new Promise((resolve) => call.once('end', resolve)) : answered
  const [{ code, details, metadata: trailer }] = await Promise.all([status, answered, ended])
  const error = await answered
  if (error !== null && (error.code !== code || error.details !== details)) {
    return { header, messages, order, outcome: { t: 'rejected', reason: `${error.message}, not its status` } }
  }
  return {
    header,
    messages,
    order: caller.reader === 'flowing' ? [...order] : null,
    outcome: { t: 'status', code, details: plainDetails(code, details), trailer: entriesOf(trailer) }
  }
}

function credentialsOf({ credentials }: CallerPart): GrpcCallOptions {
  if (credentials === null) return {}
  return {
    credentials: channelCredentials.createFromMetadataGenerator((_options, done) => {
      if (typeof credentials === 'number') {
        done(Object.assign(new Error('no token'), { code: credentials }))
      } else {
        setImmediate(() => done(null, metadataOf(credentials)))
      }
    })
  }
}

/** The texts of a deadline have times and addresses in them, and each side has its own. */
function plainDetails(code: number, details: string): string {
  return code === 4 && /^deadline exceeded/i.test(details) ? 'Deadline exceeded' : details
}

async function callTyped(
  service: DifferentialService,
  channel: ChannelInterface,
  scenario: Scenario,
  stage: Stage,
  timers: Timers
): Promise<CallerView> {
  const { kind, caller } = scenario
  const client = createClient(service, channel, { interceptors: interceptorsOf(caller) })
  const abort = new AbortController()
  const reason = new Error('the caller has had enough')
  const messages: string[] = []
  let header: Entries | null = null
  let trailer: Entries = []
  const onMessage = (message: Uint8Array): void => {
    messages.push(hashOf(message))
    stage.responses.add()
  }
  const options: CallOptions = {
    metadata: metadataOf(caller.metadata),
    deadline: deadlineOf(caller),
    signal: abort.signal,
    onHeader(metadata) {
      header = entriesOf(metadata)
      stage.header.resolve()
    },
    onTrailer(metadata) {
      trailer = entriesOf(metadata)
    }
  }

  const [first = Buffer.alloc(0)] = requestsOf(scenario).map(messageOf)
  const readAll = async (responses: AsyncIterable<Uint8Array>): Promise<void> => {
    const iterator = responses[Symbol.asyncIterator]()
    let next = timers.creating(() => iterator.next())
    for (let result = await next; result.done !== true; result = await next) {
      onMessage(result.value)
      if (caller.reader === 'slow') await slowly()
      next = iterator.next()
    }
  }
  const make = (): Promise<void> => {
    switch (kind) {
      case 'unary':
        return timers.creating(() => client.unary(first, options)).then(onMessage)
      case 'upload':
        return timers.creating(() => client.upload(sending(scenario, stage), options)).then(onMessage)
      case 'download':
        return readAll(client.download(first, options))
      case 'duplex':
        return readAll(client.duplex(sending(scenario, stage), options))
    }
  }
  const calling = make()
  if (caller.cancel === 'before start') abort.abort(reason)
  if (caller.cancel === 'waiting') {
    void bothWait(scenario, stage).then(() => abort.abort(reason))
  }
  const view = (outcome: CallerView['outcome']): CallerView => ({ header, messages, outcome, order: null })
  try {
    await calling
    return view({ t: 'status', code: 0, details: '', trailer })
  } catch (error) {
    if (error === reason) return view({ t: 'aborted' })
    if (!(error instanceof PluginError) || error.status === undefined)
      return view({ t: 'rejected', reason: String(error) })
    const { status: code, details = '' } = error
    return view({ t: 'status', code, details: plainDetails(code, details), trailer })
  }
}
