import type {
  ClientHttp2Session,
  ClientHttp2Stream,
  IncomingHttpHeaders,
  OutgoingHttpHeaders
} from 'node:http2'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import type { StatusObject } from '@grpc/grpc-js'
import { PluginError } from '../errors.js'
import { formatTimeout } from './deadline.js'
import { Metadata, Status } from './grpc-js.js'
import { requestProblem } from './header-list.js'
import { FrameDecoder, frameMessage } from './message-frames.js'
import { resetCodes, statusOf, statusOfHttp, statusOfReset, takeStatus } from './status-map.js'
import type {
  AuthContext,
  ResponseEncodings,
  WireCall,
  WireCallEvents,
  WireConnection,
  WireConnectionEvents,
  WireRequest
} from './wire-connection.js'

export interface H2ConnectionOptions {
  /** Names the peer in messages. */
  readonly target: string
  /** Longest message taken, in bytes; `Infinity`: any. */
  readonly maxReceiveBytes: number
  /** How long the peer's SETTINGS may take, in milliseconds; `Infinity`: for ever. */
  readonly connectTimeoutMs: number
}

/**
 * Receive window of a stream and of the connection, in bytes. HTTP/2's own 65535 halves the speed of a download,
 * because the peer stops for a window update every four frames.
 */
const windowBytes = 4 * 1024 * 1024

/** How long the peer may take to end its half of the byte stream after ours; it has nothing left to say. */
const peerEndTimeoutMs = 1000

/** The header values every request has. Reused metadata of the same name is overwritten, as grpc-js does. */
const fixedHeaders = {
  te: 'trailers',
  'content-type': 'application/grpc',
  'grpc-accept-encoding': 'identity,deflate,gzip',
  'accept-encoding': 'identity'
}

/**
 * Runs one HTTP/2 connection (wire `h2`) as a gRPC client over `stream`, which belongs to it from now on and may
 * still be opening: what is written must wait in it. Requests leave without waiting for the peer's SETTINGS.
 *
 * The stream has to take in, for each direction, at least the peer's connection window and one write more (128 KiB by
 * HTTP/2's default): node:http2 reads nothing while a write of its own is unfinished, so two ends that wait for each
 * other would stop for good.
 * @throws `ERR_STREAM_CLOSED`, or what the stream was destroyed with, where it is destroyed already
 */
export function openH2Connection(
  stream: Duplex,
  options: H2ConnectionOptions,
  events: WireConnectionEvents
): WireConnection {
  const { target, connectTimeoutMs } = options
  // node:http2 would wait for ever on a stream that has closed already.
  if (stream.destroyed)
    throw stream.errored ?? new PluginError('ERR_STREAM_CLOSED', `stream to ${target} is closed`)
  const scheme = isTls(stream) ? 'https' : 'http'
  // Loaded here: it takes a while, and plugins on the other wire do without.
  const { connect } = process.getBuiltinModule('node:http2')
  const session = connect(`${scheme}://localhost`, {
    createConnection: () => stream,
    settings: { enablePush: false, initialWindowSize: windowBytes },
    maxSessionMemory: Number.MAX_SAFE_INTEGER,
    maxSendHeaderBlockLength: Number.MAX_SAFE_INTEGER
  })
  let cause: Error | undefined
  let timer: NodeJS.Timeout | undefined
  let lingering: NodeJS.Timeout | undefined

  let lost = false
  const link: Link = {
    session,
    scheme,
    maxReceiveBytes: options.maxReceiveBytes,
    goawayCode: resetCodes.noError,
    lose() {
      if (lost) return
      lost = true
      events.onLost(connection, stream.errored ?? cause)
    }
  }

  const abort = (reason: Error) => {
    cause ??= reason
    // The stream first: destroying the session would end it in order.
    stream.destroy(reason)
    session.destroy()
  }

  const connection: WireConnection = {
    open: (request, callEvents) => openCall(link, request, callEvents),
    authContext: () => authContext(stream),
    mayOpen: true,
    close: () => session.close(),
    abort
  }

  if (Number.isFinite(connectTimeoutMs)) {
    timer = setTimeout(() => {
      abort(
        new PluginError(
          'ERR_SESSION_PROTOCOL',
          `no HTTP/2 SETTINGS from ${target} within ${connectTimeoutMs} ms`,
          {
            hint: 'Check that the other end serves gRPC over HTTP/2 on this stream and is not blocked.'
          }
        )
      )
    }, connectTimeoutMs)
    // Open calls hold the process, not this.
    timer.unref()
  }

  session.once('remoteSettings', () => {
    clearTimeout(timer)
    session.setLocalWindowSize(windowBytes)
    events.onReady(connection)
  })
  session.on('goaway', (code: number) => {
    link.goawayCode = code
    const reason = new PluginError(
      'ERR_SESSION_GOAWAY',
      `${target} takes no more calls (GOAWAY with code ${code})`
    )
    const failing = code !== resetCodes.noError
    events.onDraining(connection, reason, failing)
    if (!failing) return
    cause ??= reason
    // Node ends the session and its streams now, but says so only when the peer has ended the byte stream, too.
    setImmediate(() => setImmediate(() => link.lose()))
  })
  session.on('error', (error: Error) => {
    cause ??= error
  })
  session.once('close', () => {
    clearTimeout(timer)
    clearTimeout(lingering)
    link.lose()
  })

  stream.on('error', (error: Error) => {
    cause ??= error
  })
  // A TLS socket over a Duplex can end or close without the session's noticing, as when a client certificate is
  // refused. What arrived before the end is given two turns to be read.
  const ensureClosed = () => {
    setImmediate(() =>
      setImmediate(() => {
        if (!session.destroyed) session.destroy()
      })
    )
  }
  stream.once('end', ensureClosed)
  stream.once('close', ensureClosed)
  // An ended session waits for the peer's end, which a peer may owe for ever.
  stream.once('finish', () => {
    lingering = setTimeout(() => stream.destroy(), peerEndTimeoutMs)
    lingering.unref()
  })

  return connection
}

function isTls(stream: Duplex): stream is TLSSocket {
  return (stream as Partial<TLSSocket>).encrypted === true
}

/** Flag of the HEADERS frame that ends a response (RFC 9113, 6.2). */
const endStreamFlag = 1

function authContext(stream: Duplex): AuthContext {
  if (!isTls(stream)) return {}
  return { transportSecurityType: 'ssl', sslPeerCertificate: stream.getPeerCertificate() }
}

/** What the calls of one connection share. */
interface Link {
  readonly session: ClientHttp2Session
  readonly scheme: string
  readonly maxReceiveBytes: number
  /** Error code of the peer's GOAWAY: Node ends open streams with it. */
  goawayCode: number
  /** Says that the connection is gone; only the first time counts. */
  lose(): void
}

function openCall(
  link: Link,
  request: WireRequest,
  events: WireCallEvents
): WireCall | StatusObject | undefined {
  const headers = requestHeaders(link.scheme, request)
  if (isStatus(headers)) return headers
  try {
    return new H2Call(link, link.session.request(headers), events)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ERR_HTTP2_INVALID_SESSION') {
      // Destroyed, which is told a moment later.
      link.lose()
      return undefined
    }
    return statusOf(
      code === 'ERR_HTTP2_GOAWAY_SESSION' ? Status.UNAVAILABLE : Status.INTERNAL,
      `Failed to start HTTP/2 stream with error ${message}`
    )
  }
}

function requestHeaders(scheme: string, request: WireRequest): OutgoingHttpHeaders | StatusObject {
  const { metadata, timeoutMs, encoding, path, authority, userAgent } = request
  const added: OutgoingHttpHeaders = metadata.toHttp2Headers()
  const problem = requestProblem(request, added)
  if (problem !== undefined) return problem
  const headers: OutgoingHttpHeaders = {
    ':method': 'POST',
    ':scheme': scheme,
    ':path': path,
    ':authority': authority,
    ...added,
    ...fixedHeaders,
    'user-agent': userAgent
  }
  if (timeoutMs !== Infinity) headers['grpc-timeout'] = formatTimeout(timeoutMs)
  if (encoding === 'identity') delete headers['grpc-encoding']
  else headers['grpc-encoding'] = encoding
  return headers
}

function isStatus(outcome: OutgoingHttpHeaders | StatusObject): outcome is StatusObject {
  return typeof outcome['code'] === 'number'
}

/** Where a stream's listeners find their call; they are shared, so that a call costs no closure for each. */
const owner = Symbol('call')

interface OwnedStream extends ClientHttp2Stream {
  [owner]: H2Call
}

class H2Call implements WireCall {
  readonly #link: Link
  readonly #stream: ClientHttp2Stream
  readonly #events: WireCallEvents
  readonly #decoder: FrameDecoder
  #httpStatus: number | undefined
  #error: Error | undefined
  #statusSeen = false
  #ended = false
  #discarded = false

  constructor(link: Link, stream: ClientHttp2Stream, events: WireCallEvents) {
    this.#link = link
    this.#stream = stream
    this.#events = events
    this.#decoder = new FrameDecoder(link.maxReceiveBytes)
    ;(stream as OwnedStream)[owner] = this
    stream.on('response', onResponse)
    stream.on('trailers', onTrailers)
    stream.on('end', onEnd)
    stream.on('error', onError)
    stream.on('close', onClose)
  }

  send(flag: number, message: Buffer, last: boolean, acknowledge: boolean): boolean {
    const stream = this.#stream
    if (stream.destroyed || stream.writableEnded) return true
    const frame = frameMessage(flag, message)
    // A failed write also closes the stream, which says why.
    const accepted = acknowledge ? () => this.#events.onSent() : undefined
    if (last) stream.end(frame, accepted)
    else stream.write(frame, accepted)
    return !acknowledge
  }

  begun(): void {}

  halfClose(): void {
    if (!this.#stream.destroyed && !this.#stream.writableEnded) this.#stream.end()
  }

  pause(): void {
    this.#stream.pause()
  }

  resume(): void {
    this.#stream.resume()
  }

  discard(ok: boolean): void {
    const stream = this.#stream
    this.#discarded = true
    // A stream left paused would keep its share of the connection's window.
    stream.resume()
    if (stream.destroyed) return
    if (!this.#statusSeen && !stream.closed) {
      // node:http2 would end the request in order first, and a server that reads that alone takes an upload for whole.
      stream._final = (callback) => callback()
      stream.close(ok ? resetCodes.noError : resetCodes.cancel)
    } else if (stream.writableLength > 0) {
      // The peer is done and may read no more. Node leaves a stream with such a write open for good.
      stream.destroy()
    } else if (!stream.writableEnded) {
      stream.end()
    }
  }

  response(headers: IncomingHttpHeaders, flags: number): void {
    this.#httpStatus = Number(headers[':status'])
    const metadata = Metadata.fromHttp2Headers(headers)
    const encodings = takeEncodings(metadata)
    // Not before: Node emits 'response' a tick after the headers, but data of the same read at once.
    this.#stream.on('data', onData)
    if ((flags & endStreamFlag) !== 0) this.#status(metadata)
    else this.#events.onMetadata(metadata, encodings)
  }

  trailers(headers: IncomingHttpHeaders): void {
    this.#status(Metadata.fromHttp2Headers(headers))
  }

  #status(metadata: Metadata): void {
    this.#statusSeen = true
    this.#events.onStatus(takeStatus(metadata, this.#httpStatus))
  }

  data(chunk: Buffer): void {
    if (this.#discarded) return
    this.#decoder.push(chunk)
    try {
      for (let frame = this.#decoder.read(); frame !== undefined; frame = this.#decoder.read()) {
        this.#events.onMessage(frame.flag, frame.payload)
        if (this.#discarded) return
      }
    } catch (error) {
      // An error page read as a message has a senseless length; the HTTP status says more.
      const { message } = error as RangeError
      const page = this.#httpStatus !== undefined && this.#httpStatus !== 200
      this.#events.onFailure(
        page ? statusOfHttp(this.#httpStatus) : statusOf(Status.RESOURCE_EXHAUSTED, message)
      )
    }
  }

  end(): void {
    this.#ended = true
    if (this.#statusSeen) this.#events.onEnd(this.#decoder.partial)
    else this.#judgeLater()
  }

  failed(error: Error): void {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_HTTP2_STREAM_ERROR') this.#error ??= error
  }

  closed(): void {
    if (!this.#ended || !this.#statusSeen) this.#judgeLater()
  }

  /**
   * The stream is over without a status or with data missing. Node reports a lost connection as a stream reset with
   * CANCEL, or INTERNAL_ERROR where it knows an error, and before the session is closed: one turn later both are known.
   */
  #judgeLater(): void {
    if (this.#discarded) return
    setImmediate(() => {
      if (this.#discarded) return
      const { session, goawayCode } = this.#link
      const code = this.#stream.rstCode || goawayCode
      if (session.destroyed && goawayCode === resetCodes.noError && madeUpCodes.has(code)) this.#link.lose()
      else this.#events.onFailure(statusOfReset(code, this.#httpStatus, this.#error))
    })
  }
}

/** What Node closes streams with when their connection is lost. */
const madeUpCodes = new Set<number>([resetCodes.noError, resetCodes.internalError, resetCodes.cancel])

/** Takes out of `metadata` what is about messages. */
function takeEncodings(metadata: Metadata): ResponseEncodings {
  const [encoding] = metadata.get('grpc-encoding')
  const [accepted] = metadata.get('grpc-accept-encoding')
  metadata.remove('grpc-encoding')
  metadata.remove('grpc-accept-encoding')
  return {
    encoding: encoding === undefined ? 'identity' : String(encoding),
    accepted: accepted === undefined ? undefined : String(accepted).split(/\s*,\s*/)
  }
}

function onResponse(this: OwnedStream, headers: IncomingHttpHeaders, flags: number): void {
  this[owner].response(headers, flags)
}

function onTrailers(this: OwnedStream, headers: IncomingHttpHeaders): void {
  this[owner].trailers(headers)
}

function onData(this: OwnedStream, chunk: Buffer): void {
  this[owner].data(chunk)
}

function onEnd(this: OwnedStream): void {
  this[owner].end()
}

function onError(this: OwnedStream, error: Error): void {
  this[owner].failed(error)
}

function onClose(this: OwnedStream): void {
  this[owner].closed()
}
