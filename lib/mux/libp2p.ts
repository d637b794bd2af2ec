import { yamux } from '@chainsafe/libp2p-yamux'
import { pipe } from 'it-pipe'
import { PluginError } from '../errors.js'
import { silentLogger } from '../log.js'
import { frameFlags, goAwayCodes, initialWindowBytes } from './frame.js'
import { createGuard } from './libp2p-guard.js'
import { createSession } from './session.js'
import type { Logger } from '../log.js'
import type { CreateMuxer } from './muxer.js'
import type { Flow, Receiver, SubstreamPort } from './port.js'

type LibraryMuxer = ReturnType<ReturnType<ReturnType<typeof yamux>>['createStreamMuxer']>
type LibraryStream = LibraryMuxer['streams'][number]
type LibraryConnection = Parameters<ReturnType<ReturnType<typeof yamux>>['createStreamMuxer']>[0]
type ByteList = Uint8Array | Iterable<Uint8Array>

/** Each substream counts towards its opener's limit, and the library's look-up is linear in their number. */
const defaultMaxSubstreams = 1000

/**
 * The engine on `@chainsafe/libp2p-yamux` 8. The library keeps the states of the substreams and makes the
 * frames. Its connection is the stream, joined to it with it-pipe: stream → guard → library; its flow
 * control, go-away and shutdown are done here, because its own lose data. `docs/engines.md` names what
 * remains.
 *
 * @throws `ERR_CONFIG_INVALID` when `maxSubstreams` is no positive integer
 */
export const createLibp2pMuxer: CreateMuxer = (stream, options) => {
  const { role, maxSubstreams = defaultMaxSubstreams, logger = silentLogger } = options
  /** The guard's answers wait until the library has dealt with what came before their questions. */
  let replies: Uint8Array[] = []
  const guard = createGuard({
    role,
    maxSubstreams,
    reply: (frame) => replies.push(frame),
    onPong: (value) => session.onPing(frameFlags.ack, value)
  })
  const session = createSession(
    stream,
    { ...options, maxSubstreams },
    {
      open: (make) => {
        const inner = library.open()
        const port = adopt(inner, guard.open(inner.streamId))
        const receiver = make(port)
        port.receiver = receiver
        return receiver
      },
      get live() {
        return guard.live
      },
      get liveOwn() {
        return guard.liveOwn
      },
      get idsLeft() {
        return guard.idsLeft
      },
      get peerGoneAway() {
        return guard.peerGoneAway
      },
      refuse: () => guard.refuse()
    }
  )
  const { turns } = session
  const failLibrary = (error: Error): void => {
    session.fail(
      new PluginError('ERR_SESSION_PROTOCOL', 'the yamux library failed', { cause: error }),
      goAwayCodes.internalError
    )
  }
  const library = joinLibrary(role, logger, {
    send: (frame) => {
      if (session.over) return
      const bytes = frame instanceof Uint8Array ? frame : Buffer.concat([...frame])
      if (guard.sent(bytes)) turns.write(bytes)
    },
    accept: (inner) => {
      const flow = guard.flow(inner.streamId)
      // Reset by the peer in the same breath: nobody needs to be told.
      if (flow === undefined) return
      // The ACK goes out with acceptance: Go's opener gives up a session that owes one for 75 s.
      inner.sendWindowUpdate()
      session.accept(adopt(inner, flow))
    },
    fail: (error) =>
      session.fail(new PluginError('ERR_SESSION_PROTOCOL', 'the yamux library failed', { cause: error }))
  })

  const adopt = (inner: LibraryStream, flow: Flow): SubstreamPort => {
    const port: SubstreamPort = {
      receiver: nobody,
      flow,
      turns,
      send: (body, length, last) => {
        inner.send(body.length === 1 ? body[0]! : Buffer.concat(body, length))
        if (last === true) port.finish()
        return false
      },
      // Nothing is left to be written, so the library sends FIN at once; the promise has nothing to add.
      finish: () => void inner.close().catch(failLibrary),
      reset: () => {
        if (!flow.finished || !flow.peerFinished) inner.abort(new Error('destroyed'))
      },
      // Half a window, as hashicorp/yamux does: two updates a window, not one a frame.
      creditThresholdBytes: initialWindowBytes / 2,
      grant: (bytes) => {
        if (!session.over) turns.write(guard.grant(flow, bytes))
      },
      released: () => session.leave(port)
    }
    session.enter(port)
    inner.addEventListener('message', ({ data }) => {
      for (const bytes of data instanceof Uint8Array ? [data] : data) port.receiver.receive(asBuffer(bytes))
    })
    inner.addEventListener('remoteCloseWrite', () => port.receiver.receiveEnd())
    inner.addEventListener('close', ({ error }) => {
      if (error === undefined) return
      port.receiver.receiveReset(
        new PluginError('ERR_STREAM_RESET', `the peer has reset substream ${flow.id}`)
      )
    })
    return port
  }

  const onStreamFailure = (error: unknown): void => {
    if (guard.violation === undefined) {
      session.fail(new PluginError('ERR_SESSION_CLOSED', 'the stream was lost', { cause: error }))
      return
    }
    session.fail(guard.violation, guard.violationCode)
    // What the peer still sends is read and dropped, so that its end is seen.
    stream.resume()
  }

  // The iterator must not destroy the stream at its end: our half may still have bytes to send.
  const piped = pipe(
    stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>,
    (source: AsyncIterable<Uint8Array>) => guard.transform(source),
    async (source: AsyncIterable<Uint8Array[]>) => {
      for await (const slices of source) {
        if (session.over) continue
        for (const bytes of slices) library.receive(bytes)
        // Only now has the library seen the credit, too.
        for (const flow of guard.takeCredited()) flow.onCredit?.()
        for (const frame of replies) turns.write(frame)
        replies = []
      }
    }
  ).then(() => session.ended(), onStreamFailure)

  // The iterator throws the stream's error as well; this listener only keeps it from being uncaught.
  stream.on('error', (err) => logger.debug({ err }, 'the stream failed'))
  return session.muxer(piped)
}

/**
 * The library's side of things: what it sends, whom it tells of a new substream, and what becomes of its
 * errors.
 */
interface LibraryHooks {
  send(frame: ByteList): void
  accept(inner: LibraryStream): void
  fail(error: Error): void
}

/** Drives the library without libp2p: gives it a connection with the members that it uses, and no more. */
function joinLibrary(
  role: 'client' | 'server',
  logger: Logger,
  hooks: LibraryHooks
): { receive(bytes: Uint8Array): void; open(): LibraryStream } {
  let receive: (event: { data: Uint8Array }) => void = () => {}
  const connection = {
    direction: role === 'client' ? 'outbound' : 'inbound',
    log: libraryLog(logger),
    addEventListener: (type: string, listener: typeof receive) => {
      if (type === 'message') receive = listener
    },
    // Always room: substreams ask for a turn before they send, so a full stream is never the library's
    // business.
    send: (frame: ByteList) => {
      hooks.send(frame)
      return true
    },
    abort: (error: Error) => hooks.fail(error)
  }
  const muxer = yamux({
    enableKeepAlive: false,
    maxInboundStreams: Infinity,
    maxOutboundStreams: Infinity,
    // The window must not grow by itself: the peer's credit is counted here.
    streamOptions: { initialStreamWindowSize: initialWindowBytes, maxStreamWindowSize: initialWindowBytes }
  })().createStreamMuxer(connection as unknown as LibraryConnection)
  muxer.addEventListener('stream', ({ detail }) => hooks.accept(detail))

  return {
    receive: (data) => receive({ data }),
    // The stream is in the list when createStream() returns, before its promise settles: so the first bytes
    // written travel with the SYN. A later version that enters it later fails here.
    open: () => {
      const known = muxer.streams.length
      muxer.createStream().catch((error: Error) => hooks.fail(error))
      const inner = muxer.streams[known]
      if (inner === undefined)
        throw new PluginError('ERR_SESSION_CLOSED', 'the yamux library opened no substream')
      return inner
    }
  }
}

type LibraryLog = LibraryConnection['log']

/**
 * The library logs frames and states by printf: its format is the message, its values are the field `values`.
 */
function libraryLog(logger: Logger): LibraryLog {
  const trace = (format: unknown, ...values: unknown[]): void => {
    logger.trace({ values }, `yamux: ${String(format)}`)
  }
  const silent = Object.assign(() => {}, { enabled: false, trace: () => {}, error: () => {} })
  const log = logger === silentLogger ? silent : Object.assign(trace, { enabled: true, trace, error: trace })
  const scoped: LibraryLog = Object.assign(log, { newScope: () => scoped })
  return scoped
}

/** Of a substream whose receiver is still being made. Nothing arrives meanwhile. */
const nobody: Receiver = {
  receive: () => {},
  receiveEnd: () => {},
  receiveReset: () => {},
  lose: () => {},
  destroy: () => {}
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
