import { PluginError } from '../errors.js'
import {
  decodeHeader,
  encodeHeader,
  frameFlags,
  frameTypes,
  goAwayCodes,
  headerBytes,
  initialWindowBytes,
  maxUint32,
  yamuxVersion
} from './frame.js'
import { createPeerIds } from './peer-ids.js'
import type { FrameHeader } from './frame.js'
import type { Flow } from './port.js'

const { syn, ack, fin, rst } = frameFlags

export interface GuardOptions {
  readonly role: 'client' | 'server'
  /** Substreams of the peer that may be live at once; a further SYN is answered with a reset. */
  readonly maxSubstreams: number
  /**
   * Takes a frame for the peer, a reset or the reply to a ping, to be sent after what the chunk brings about.
   */
  readonly reply: (frame: Uint8Array) => void
  /** Told of the answer to a ping. */
  readonly onPong?: (value: number) => void
}

/**
 * Stands between the stream and the yamux library, on both ways, and keeps the ledger of live substreams: who
 * has finished, and how much credit is left. Per frame it does one look-up in a map; bodies are passed on as
 * slices.
 *
 * What the library would get wrong is refused, answered or rewritten here; see `docs/engines.md`.
 */
export interface Guard {
  /**
   * Checks bytes from the peer and gives those that the library shall see, in order, bodies uncopied. Once
   * {@link Guard.violation} is set the rest is dropped.
   */
  push(chunk: Uint8Array): Uint8Array[]
  /** The stream has ended: an unfinished frame becomes a {@link Guard.violation}. */
  end(): void
  /**
   * The same as an async transform, one list of slices a chunk; throws the violation after what came before
   * it.
   */
  transform(source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array[]>
  /**
   * Why the session must end: `ERR_SESSION_PROTOCOL` for what the peer did wrong (or says that we did), for a
   * frame cut short by the end of the stream, `ERR_SESSION_CLOSED` for any other go-away that is not normal.
   */
  readonly violation: PluginError | undefined
  /**
   * The code to say in a go-away to the peer because of the violation, or undefined when there is nothing to
   * say.
   */
  readonly violationCode: number | undefined
  /** Whether the peer has said that it takes no more substreams: go-away with code 0. */
  readonly peerGoneAway: boolean
  /** From now on every SYN is answered with a reset: we have said go-away. */
  refuse(): void

  /** Substreams that are live: not yet finished both ways, not reset. `liveOwn` counts those opened here. */
  readonly live: number
  readonly liveOwn: number
  /** Whether the next ID fits 32 bits; yamux never uses one twice. */
  readonly idsLeft: boolean
  /** Enters a substream of our own, before its SYN. */
  open(id: number): Flow
  /** The entry of a live substream. */
  flow(id: number): Flow | undefined
  /** Takes the flows whose send window has grown since the last call. */
  takeCredited(): Flow[]
  /** Gives the peer `bytes` more credit, and the frame that says so. */
  grant(flow: Flow, bytes: number): Uint8Array
  /** Notes one frame the library sends, and may rewrite it in place. False: it must not leave. */
  sent(frame: Uint8Array): boolean
}

/** The guard of one session. */
export function createGuard(options: GuardOptions): Guard {
  const { role, maxSubstreams, reply, onPong } = options
  const ownParity = role === 'client' ? 1 : 0
  const flows = new Map<number, Flow>()
  const peerIds = createPeerIds(ownParity === 1 ? 0 : 1)
  const partial = Buffer.alloc(headerBytes)
  let partialLength = 0
  let bodyLeft = 0
  let passBody = false
  let finAfterBody = 0
  let liveOwn = 0
  let livePeer = 0
  let lastOwnId = -ownParity
  let refusing = false
  let peerGoneAway = false
  let violation: PluginError | undefined
  let violationCode: number | undefined
  let credited: Flow[] = []
  /** A frame that takes the place of the one being judged. */
  let instead: Uint8Array | undefined

  const violate = (what: string): false => {
    violation = new PluginError('ERR_SESSION_PROTOCOL', `the peer broke the yamux protocol: ${what}`)
    violationCode = goAwayCodes.protocolError
    return false
  }

  const add = (id: number): Flow => {
    const flow: Flow = {
      id,
      sendWindow: initialWindowBytes,
      receiveWindow: initialWindowBytes,
      withheld: false,
      finished: false,
      peerFinished: false,
      onCredit: undefined
    }
    flows.set(id, flow)
    if (id % 2 === ownParity) liveOwn++
    else livePeer++
    return flow
  }

  const forget = (id: number): void => {
    if (!flows.delete(id)) return
    if (id % 2 === ownParity) liveOwn--
    else livePeer--
  }

  /** Applies the header of a session frame, none of which concern the library. */
  const onSessionFrame = (header: FrameHeader): void => {
    if (header.type === frameTypes.ping) {
      if ((header.flags & syn) !== 0) reply(encodeHeader(frameTypes.ping, ack, 0, header.length))
      else if ((header.flags & ack) !== 0) onPong?.(header.length)
    } else if (header.length === goAwayCodes.normal) {
      peerGoneAway = true
    } else {
      const code = header.length === goAwayCodes.protocolError ? 'ERR_SESSION_PROTOCOL' : 'ERR_SESSION_CLOSED'
      violation = new PluginError(code, `the peer ended the session with go-away code ${header.length}`)
    }
  }

  /**
   * Applies a header to the ledger. True: the frame may pass as it is; false: it may not, header and body.
   */
  const judge = (header: FrameHeader): boolean => {
    const { version, type, flags, streamId: id, length } = header
    const payload = type === frameTypes.data ? length : 0
    bodyLeft = payload
    passBody = false
    if (version !== yamuxVersion) return violate(`version ${version}`)
    if (type > frameTypes.goAway) return violate(`frame type ${type}`)
    if (type >= frameTypes.ping) {
      onSessionFrame(header)
      return false
    }
    if (id === 0) return violate('a frame of a substream has ID 0')
    // Checked before a byte of the body is held, also where nobody would keep it: no window is ever larger.
    if (payload > initialWindowBytes) return violate(`a frame of ${payload} bytes exceeds the window`)

    if ((flags & syn) !== 0) {
      const problem = peerIds.begin(id)
      if (problem !== undefined) return violate(problem)
      if ((flags & rst) !== 0) return false
      if (refusing || livePeer >= maxSubstreams) {
        reply(encodeHeader(frameTypes.windowUpdate, rst, id, 0))
        return false
      }
      add(id)
    }
    const flow = flows.get(id)
    if (flow === undefined) return false

    if ((flags & rst) !== 0) {
      forget(id)
      if (payload === 0) return true
      instead = encodeHeader(frameTypes.windowUpdate, rst, id, 0)
      return false
    }
    if (payload > flow.receiveWindow) {
      return violate(`substream ${id} sent ${payload} bytes into a window of ${flow.receiveWindow}`)
    }
    if (flow.peerFinished) {
      if ((flags & fin) !== 0) return violate(`substream ${id} was finished twice`)
      if (payload > 0) {
        forget(id)
        instead = encodeHeader(frameTypes.windowUpdate, rst, id, 0)
        reply(encodeHeader(frameTypes.windowUpdate, rst, id, 0))
        return false
      }
    }
    if (type === frameTypes.windowUpdate && length > 0) {
      flow.sendWindow += length
      if (flow.sendWindow > maxUint32) return violate(`the window of substream ${id} exceeds 32 bits`)
      flow.withheld = flow.sendWindow <= headerBytes
      credited.push(flow)
    }
    flow.receiveWindow -= payload
    passBody = true
    if ((flags & fin) === 0) return true
    flow.peerFinished = true
    if (flow.finished) forget(id)
    if (payload === 0) return true
    // The library applies FIN before the payload it rides on and may lose the payload.
    instead = encodeHeader(frameTypes.data, flags & ~fin, id, payload)
    finAfterBody = id
    return false
  }

  const push = (chunk: Uint8Array): Uint8Array[] => {
    if (violation !== undefined) return []
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    const passed: Uint8Array[] = []
    let offset = 0
    // What may pass as it is, back to back, is passed as one slice: from `run` to `offset`.
    let run = 0
    const cut = (end: number, next: number): void => {
      if (end > run) passed.push(bytes.subarray(run, end))
      run = next
    }

    while (offset < bytes.length) {
      const start = offset
      if (bodyLeft > 0) {
        const step = Math.min(bodyLeft, bytes.length - start)
        offset += step
        bodyLeft -= step
        if (!passBody) cut(start, offset)
      } else if (partialLength === 0 && bytes.length - start >= headerBytes) {
        offset += headerBytes
        if (!judge(decodeHeader(bytes, start))) cut(start, offset)
      } else {
        const step = Math.min(headerBytes - partialLength, bytes.length - start)
        bytes.copy(partial, partialLength, start, start + step)
        offset += step
        partialLength += step
        cut(start, offset)
        if (partialLength < headerBytes) break
        partialLength = 0
        if (judge(decodeHeader(partial))) passed.push(Buffer.from(partial))
      }
      if (instead !== undefined) {
        passed.push(instead)
        instead = undefined
      }
      if (bodyLeft === 0 && finAfterBody !== 0) {
        cut(offset, offset)
        passed.push(encodeHeader(frameTypes.windowUpdate, fin, finAfterBody, 0))
        finAfterBody = 0
      }
      if (violation !== undefined) break
    }
    cut(offset, offset)
    return passed
  }

  const end = (): void => {
    if (violation !== undefined || (partialLength === 0 && bodyLeft === 0)) return
    violation = new PluginError('ERR_SESSION_PROTOCOL', 'truncated frame: the stream ended inside it')
  }

  return {
    push,
    end,
    transform: async function* (source) {
      for await (const chunk of source) {
        yield push(chunk)
        if (violation !== undefined) throw violation
      }
      end()
      if (violation !== undefined) throw violation
    },
    get violation() {
      return violation
    },
    get violationCode() {
      return violationCode
    },
    get peerGoneAway() {
      return peerGoneAway
    },
    refuse: () => {
      refusing = true
    },
    get live() {
      return flows.size
    },
    get liveOwn() {
      return liveOwn
    },
    get idsLeft() {
      return lastOwnId <= maxUint32 - 2
    },
    open: (id) => {
      lastOwnId = id
      return add(id)
    },
    flow: (id) => flows.get(id),
    takeCredited: () => {
      const taken = credited
      if (taken.length > 0) credited = []
      return taken
    },
    grant: (flow, bytes) => {
      flow.receiveWindow += bytes
      return encodeHeader(frameTypes.windowUpdate, 0, flow.id, bytes)
    },
    sent: (frame) => {
      const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength)
      const { type, flags, streamId: id, length } = decodeHeader(bytes)
      // Pings and go-aways are the session's own business: the library would say code 0 for its errors.
      if (type > frameTypes.windowUpdate) return false
      if (type === frameTypes.windowUpdate) {
        // The library gives credit for what has arrived; credit is given here, for what was consumed.
        if (flags === 0) return false
        bytes.writeUInt32BE(0, 8)
      }
      const flow = flows.get(id)
      if (flow === undefined) return false
      if (type === frameTypes.data) flow.sendWindow -= length
      if ((flags & rst) !== 0) forget(id)
      else if ((flags & fin) !== 0) {
        flow.finished = true
        if (flow.peerFinished) forget(id)
      }
      return true
    }
  }
}
