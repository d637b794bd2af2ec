import {
  Metadata,
  makeClientConstructor,
  status,
  type Client,
  type MethodDefinition,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type UntypedServiceImplementation,
  type sendUnaryData
} from '@grpc/grpc-js'
import protobuf from 'protobufjs'

/** The part of grpc.testing that the interoperability cases need, as in the gRPC repository's test.proto. */
const { root } = protobuf.parse(`
  syntax = "proto3";
  package grpc.testing;
  message Empty {}
  message Payload { int32 type = 1; bytes body = 2; }
  message EchoStatus { int32 code = 1; string message = 2; }
  message SimpleRequest { int32 response_size = 2; Payload payload = 3; EchoStatus response_status = 7; }
  message SimpleResponse { Payload payload = 1; }
  message StreamingInputCallRequest { Payload payload = 1; }
  message StreamingInputCallResponse { int32 aggregated_payload_size = 1; }
  message ResponseParameters { int32 size = 1; int32 interval_us = 2; }
  message StreamingOutputCallRequest {
    repeated ResponseParameters response_parameters = 2;
    Payload payload = 3;
    EchoStatus response_status = 7;
  }
  message StreamingOutputCallResponse { Payload payload = 1; }
`)

export interface Payload {
  type?: number
  body?: Uint8Array
}
export interface EchoStatus {
  code?: number
  message?: string
}
export interface SimpleRequest {
  responseSize?: number
  payload?: Payload
  responseStatus?: EchoStatus
}
export interface SimpleResponse {
  payload?: Payload
}
export interface StreamingInput {
  payload?: Payload
}
export interface StreamingInputResult {
  aggregatedPayloadSize?: number
}
export interface StreamingOutput {
  responseParameters?: { size?: number }[]
  payload?: Payload
  responseStatus?: EchoStatus
}

function method<Req extends object, Res extends object>(
  service: string,
  name: string,
  request: string,
  response: string,
  requestStream: boolean,
  responseStream: boolean
): MethodDefinition<Req, Res> {
  const requestType = root.lookupType(`grpc.testing.${request}`)
  const responseType = root.lookupType(`grpc.testing.${response}`)
  const write = (type: protobuf.Type) => (message: object) => Buffer.from(type.encode(message).finish())
  return {
    path: `/grpc.testing.${service}/${name}`,
    requestStream,
    responseStream,
    requestSerialize: write(requestType),
    responseSerialize: write(responseType),
    requestDeserialize: (bytes) => requestType.decode(bytes) as unknown as Req,
    responseDeserialize: (bytes) => responseType.decode(bytes) as unknown as Res
  }
}

export const testService = {
  emptyCall: method<object, object>('TestService', 'EmptyCall', 'Empty', 'Empty', false, false),
  unaryCall: method<SimpleRequest, SimpleResponse>(
    'TestService',
    'UnaryCall',
    'SimpleRequest',
    'SimpleResponse',
    false,
    false
  ),
  streamingInputCall: method<StreamingInput, StreamingInputResult>(
    'TestService',
    'StreamingInputCall',
    'StreamingInputCallRequest',
    'StreamingInputCallResponse',
    true,
    false
  ),
  streamingOutputCall: method<StreamingOutput, SimpleResponse>(
    'TestService',
    'StreamingOutputCall',
    'StreamingOutputCallRequest',
    'StreamingOutputCallResponse',
    false,
    true
  ),
  fullDuplexCall: method<StreamingOutput, SimpleResponse>(
    'TestService',
    'FullDuplexCall',
    'StreamingOutputCallRequest',
    'StreamingOutputCallResponse',
    true,
    true
  ),
  /** Known to clients only. */
  unimplementedCall: method<object, object>(
    'TestService',
    'UnimplementedCall',
    'Empty',
    'Empty',
    false,
    false
  )
} satisfies ServiceDefinition

const unimplementedService = {
  unimplementedCall: method<object, object>(
    'UnimplementedService',
    'UnimplementedCall',
    'Empty',
    'Empty',
    false,
    false
  )
} satisfies ServiceDefinition

/** Untyped clients, to be called through `client.makeUnaryRequest` and its kin or by method name. */
export const TestClient = makeClientConstructor(testService, 'TestService')
export const UnimplementedClient = makeClientConstructor(unimplementedService, 'UnimplementedService')
export type InteropClient = InstanceType<typeof TestClient> & Client

const { unimplementedCall: _absent, ...served } = testService
/** What the server registers: all but the method that must be missing. */
export const servedService: ServiceDefinition = served

export const zeros = (size: number): Payload => ({ body: Buffer.alloc(size) })
export const sizeOf = (message: { payload?: Payload | null } | undefined): number =>
  message?.payload?.body?.length ?? 0

const echoInitial = 'x-grpc-test-echo-initial'
const echoTrailing = 'x-grpc-test-echo-trailing-bin'

interface AnyCall {
  readonly metadata: Metadata
  sendMetadata(metadata: Metadata): void
}

/** Sends back the initial metadata a test asks for and gives the trailing ones. */
function echoMetadata(call: AnyCall): Metadata {
  const [text] = call.metadata.get(echoInitial)
  if (text !== undefined) {
    const initial = new Metadata()
    initial.set(echoInitial, text)
    call.sendMetadata(initial)
  }
  const trailing = new Metadata()
  for (const value of call.metadata.get(echoTrailing)) trailing.add(echoTrailing, value)
  return trailing
}

function failure(wanted: EchoStatus | null | undefined, metadata: Metadata) {
  if (wanted?.code === undefined || wanted.code === 0) return undefined
  return { code: wanted.code, details: wanted.message ?? '', metadata }
}

/** Handlers of the interoperability server, as the test descriptions define them. */
export const testHandlers: UntypedServiceImplementation = {
  emptyCall(call: ServerUnaryCall<object, object>, callback: sendUnaryData<object>) {
    callback(null, {}, echoMetadata(call))
  },
  unaryCall(call: ServerUnaryCall<SimpleRequest, SimpleResponse>, callback: sendUnaryData<SimpleResponse>) {
    const trailing = echoMetadata(call)
    const failed = failure(call.request.responseStatus, trailing)
    if (failed !== undefined) callback(failed)
    else callback(null, { payload: zeros(call.request.responseSize ?? 0) }, trailing)
  },
  streamingInputCall(
    call: ServerReadableStream<StreamingInput, StreamingInputResult>,
    callback: sendUnaryData<StreamingInputResult>
  ) {
    let aggregatedPayloadSize = 0
    const trailing = echoMetadata(call)
    call.on('data', (message: StreamingInput) => {
      aggregatedPayloadSize += sizeOf(message)
    })
    call.on('end', () => callback(null, { aggregatedPayloadSize }, trailing))
  },
  streamingOutputCall(call: ServerWritableStream<StreamingOutput, SimpleResponse>) {
    const trailing = echoMetadata(call)
    for (const { size } of call.request.responseParameters ?? []) call.write({ payload: zeros(size ?? 0) })
    const failed = failure(call.request.responseStatus, trailing)
    if (failed !== undefined) call.emit('error', failed)
    else call.end(trailing)
  },
  fullDuplexCall(call: ServerDuplexStream<StreamingOutput, SimpleResponse>) {
    const trailing = echoMetadata(call)
    let failed: ReturnType<typeof failure>
    call.on('data', (message: StreamingOutput) => {
      failed ??= failure(message.responseStatus, trailing)
      if (failed !== undefined) {
        call.emit('error', failed)
        return
      }
      for (const { size } of message.responseParameters ?? []) call.write({ payload: zeros(size ?? 0) })
    })
    call.on('end', () => {
      if (failed === undefined) call.end(trailing)
    })
  }
}

export { status }
