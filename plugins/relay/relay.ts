import {
  type CallContext,
  type CallOptions,
  type Connection,
  type MessageCodec,
  type ServiceBinding,
  type ServiceDescriptor,
  Metadata,
  callError,
  implement,
  isPluginError,
  status
} from 'muxplug/host'

/** Messages as they come: nothing in them is read, so nothing is lost, and it costs little. */
const bytes: MessageCodec<Uint8Array, Uint8Array> = {
  encode: (message) => ({ finish: () => message }),
  decode: (message) => message
}

type Unary = (request: unknown, options: CallOptions) => Promise<Uint8Array>
type Streaming = (request: unknown, options: CallOptions) => AsyncIterable<Uint8Array>

/** Serves `service` by calling it on `target`, in the name of the plugin `caller`. */
export function createRelay(
  service: ServiceDescriptor,
  target: Pick<Connection, 'dispense'>,
  caller: string
): ServiceBinding {
  const methods = Object.entries(service.methods)
  const raw = {
    ...service,
    methods: Object.fromEntries(
      methods.map(([name, method]) => [name, { ...method, request: bytes, response: bytes }])
    )
  }
  const client = target.dispense(raw) as Readonly<Record<string, unknown>>
  const relayed = methods.map(([name, { responseStream }]) => [
    name,
    responseStream ? passMany(client[name] as Streaming, caller) : passOne(client[name] as Unary, caller)
  ])
  return implement<ServiceDescriptor>(raw, Object.fromEntries(relayed))
}

function passOne(call: Unary, caller: string) {
  return async (request: unknown, context: CallContext): Promise<Uint8Array> => {
    const { options, trailer } = passOn(context, caller)
    try {
      const response = await call(request, options)
      context.trailer.merge(trailer)
      return response
    } catch (error) {
      throw explain(error)
    }
  }
}

function passMany(call: Streaming, caller: string) {
  return async function* (request: unknown, context: CallContext): AsyncGenerator<Uint8Array> {
    const { options, trailer } = passOn(context, caller)
    try {
      yield* call(request, options)
      context.trailer.merge(trailer)
    } catch (error) {
      throw explain(error)
    }
  }
}

/** What the caller's call has besides requests. A call that fails brings its trailer in the error. */
function passOn({ signal, deadline, metadata, sendHeader }: CallContext, caller: string) {
  const trailer = new Metadata()
  const options: CallOptions = {
    signal,
    deadline,
    metadata: named(metadata, caller),
    onHeader: sendHeader,
    onTrailer: (received) => trailer.merge(received)
  }
  return { options, trailer }
}

/** The caller's metadata without those of its connection, and with its name, which it cannot choose itself. */
function named(metadata: Metadata, caller: string): Metadata {
  const passed = metadata.clone()
  for (const key of Object.keys(metadata.getMap())) {
    if (key.startsWith('grpc-') || ownOfConnection.has(key)) passed.remove(key)
  }
  passed.set('calling-plugin', caller)
  return passed
}

const ownOfConnection: ReadonlySet<string> = new Set(['content-type', 'host', 'te', 'user-agent'])

/** A status of the other plugin stays as it is. How that plugin ended, and what it wrote last, is the host's to know. */
function explain(error: unknown): unknown {
  if (!isPluginError(error) || error.plugin === undefined) return error
  return callError(status.UNAVAILABLE, `plugin ${error.plugin} is gone`, { cause: error })
}
