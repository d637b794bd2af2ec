import {
  Metadata,
  type CallOptions,
  type Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientUnaryCall,
  type ClientWritableStream,
  type MethodDefinition,
  type ServiceError,
  type StatusObject
} from '@grpc/grpc-js'

/** How a call ended, seen from outside: `error` is absent after OK. */
export interface Outcome<Res> {
  readonly messages: Res[]
  /** Initial metadata, undefined after a trailers-only response. */
  readonly initial: Metadata | undefined
  readonly status: StatusObject
  readonly error: ServiceError | undefined
}

interface Started<Res, Stream> {
  readonly call: Stream
  readonly outcome: Promise<Outcome<Res>>
}

export interface CallSettings {
  readonly metadata?: Metadata
  readonly options?: CallOptions
}

type Emitter = ClientUnaryCall | ClientReadableStream<unknown> | ClientWritableStream<unknown>

function watch(call: Emitter) {
  let initial: Metadata | undefined
  call.on('metadata', (metadata: Metadata) => {
    initial = metadata
  })
  // Not events.once, which an 'error' rejects.
  const status = new Promise<StatusObject>((resolve) => call.once('status', resolve))
  return { status, initial: () => initial }
}

interface Answer<Res> {
  readonly error?: ServiceError
  readonly message?: Res
}

function answerTo<Res>(): {
  answer: Promise<Answer<Res>>
  callback: (error: ServiceError | null, value?: Res) => void
} {
  let settle: (answer: Answer<Res>) => void
  const answer = new Promise<Answer<Res>>((resolve) => {
    settle = resolve
  })
  return {
    answer,
    callback: (error, message) =>
      settle(error !== null ? { error } : message === undefined ? {} : { message })
  }
}

async function outcomeOf<Res>(call: Emitter, answer: Promise<Answer<Res>>): Promise<Outcome<Res>> {
  const seen = watch(call)
  const [{ error, message }, status] = await Promise.all([answer, seen.status])
  return { messages: message === undefined ? [] : [message], initial: seen.initial(), status, error }
}

/** One request, one response. No outcome rejects: a failed call has `error`. */
export function unary<Req extends object, Res extends object>(
  client: Client,
  method: MethodDefinition<Req, Res>,
  request: Req,
  { metadata = new Metadata(), options = {} }: CallSettings = {}
): Started<Res, ClientUnaryCall> {
  const { answer, callback } = answerTo<Res>()
  const { path, requestSerialize, responseDeserialize } = method
  const call = client.makeUnaryRequest(
    path,
    requestSerialize,
    responseDeserialize,
    request,
    metadata,
    options,
    callback
  )
  return { call, outcome: outcomeOf(call, answer) }
}

export function upload<Req extends object, Res extends object>(
  client: Client,
  method: MethodDefinition<Req, Res>,
  { metadata = new Metadata(), options = {} }: CallSettings = {}
): Started<Res, ClientWritableStream<Req>> {
  const { answer, callback } = answerTo<Res>()
  const { path, requestSerialize, responseDeserialize } = method
  const call = client.makeClientStreamRequest(
    path,
    requestSerialize,
    responseDeserialize,
    metadata,
    options,
    callback
  )
  return { call, outcome: outcomeOf(call, answer) }
}

async function readAll<Res>(call: ClientReadableStream<Res>): Promise<Outcome<Res>> {
  const seen = watch(call)
  const messages: Res[] = []
  let error: ServiceError | undefined
  call.on('data', (message: Res) => messages.push(message))
  call.on('error', (reason: ServiceError) => {
    error = reason
  })
  // 'end' comes after an error too: what was received before is still read.
  const [status] = await Promise.all([seen.status, new Promise((resolve) => call.on('end', resolve))])
  return { messages, initial: seen.initial(), status, error }
}

export function download<Req extends object, Res extends object>(
  client: Client,
  method: MethodDefinition<Req, Res>,
  request: Req,
  { metadata = new Metadata(), options = {} }: CallSettings = {}
): Started<Res, ClientReadableStream<Res>> {
  const { path, requestSerialize, responseDeserialize } = method
  const call = client.makeServerStreamRequest(
    path,
    requestSerialize,
    responseDeserialize,
    request,
    metadata,
    options
  )
  return { call, outcome: readAll(call) }
}

export function duplex<Req extends object, Res extends object>(
  client: Client,
  method: MethodDefinition<Req, Res>,
  { metadata = new Metadata(), options = {} }: CallSettings = {}
): Started<Res, ClientDuplexStream<Req, Res>> {
  const { path, requestSerialize, responseDeserialize } = method
  const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata, options)
  return { call, outcome: readAll(call) }
}
