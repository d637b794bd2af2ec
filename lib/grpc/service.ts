/**
 * Reads and writes one message type, as protobufjs's static code does: `encode` takes a plain object of the message's
 * properties, `decode` gives a message. `In` is what callers pass, `Out` what they receive.
 */
export interface MessageCodec<In, Out> {
  encode(message: In): { finish(): Uint8Array }
  decode(bytes: Uint8Array): Out
}

/** One method of a service: its full gRPC path, which sides stream, and the two message types. */
export interface MethodDescriptor<
  ReqIn = never,
  ReqOut = unknown,
  ResIn = never,
  ResOut = unknown,
  ReqStream extends boolean = boolean,
  ResStream extends boolean = boolean
> {
  /** `/package.Service/Method`, case-sensitive (gRPC over HTTP/2, Path). */
  readonly path: string
  readonly requestStream: ReqStream
  readonly responseStream: ResStream
  readonly request: MessageCodec<ReqIn, ReqOut>
  readonly response: MessageCodec<ResIn, ResOut>
}

/**
 * A gRPC service as the generated code under `proto/` describes it: the name, and each method under its camel-case
 * name. `npm run proto` writes these beside protobufjs's static messages.
 */
export interface ServiceDescriptor {
  /** `package.Service` */
  readonly typeName: string
  readonly methods: Readonly<Record<string, MethodDescriptor>>
}

/** What a caller passes as the request of method `M`, and receives as its response. */
export type RequestIn<M> = M extends { request: { encode(message: infer T): unknown } } ? T : never
export type RequestOut<M> = M extends { request: { decode(bytes: Uint8Array): infer T } } ? T : never
export type ResponseIn<M> = M extends { response: { encode(message: infer T): unknown } } ? T : never
export type ResponseOut<M> = M extends { response: { decode(bytes: Uint8Array): infer T } } ? T : never
