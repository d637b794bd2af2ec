import { PluginError } from '../errors.js'
import { checkDuration } from '../signal.js'
import { Decoder } from './decoder.js'
import { createExpiry } from './expiry.js'
import { frameFlags, frameTypes, goAwayCodes, initialWindowBytes, maxUint32, yamuxVersion } from './frame.js'
import { createPeerIds } from './peer-ids.js'
import { checkCount, createSession } from './session.js'
import type { FrameSink } from './decoder.js'
import type { Expiry } from './expiry.js'
import type { CreateMuxer } from './muxer.js'
import type { Flow, Receiver, SubstreamPort } from './port.js'
import type { Turns } from './turns.js'

const { syn, ack, fin, rst } = frameFlags

const defaults = {
  maxSubstreams: 16_384,
  acceptBacklog: 256,
  acknowledgeDelayMs: 20,
  openTimeoutMs: 75_000,
  closeTimeoutMs: Infinity,
  maxWindowBytes: 4 * 1024 * 1024
}

/** So many ACKs leave at once, whatever their delay: openers have a backlog, of 256 in hashicorp/yamux. */
const mostUnacknowledged = 16

/** How long a measured round trip is believed. */
const roundTripAgeMs = 5000

/** What one substream needs of the session, all of them together. */
interface Shared {
  readonly turns: Turns
  readonly maxWindowBytes: number
  /** Own substreams whose SYN was sent and that the peer has not taken: one more, one fewer. */
  untaken(entry: Entry): void
  taken(entry: Entry): void
  /** Substreams with our FIN and without the peer's. */
  readonly halfClosed: Expiry<Entry>
  /** SYN or ACK is owed, and leaves by itself if no frame takes it along: SYN this tick, ACK a moment later. */
  announce(entry: Entry): void
  /** The ID is free: both directions have ended, or one end has reset it. */
  forget(entry: Entry): void
  released(entry: Entry): void
  /** The round trip in milliseconds; undefined while it is not known. */
  roundTrip(): number | undefined
}

/**
 * One substream's state: which flags it owes, which directions have ended, and its credit in both.
 *
 * ```
 *   own:    held ──a place in the backlog──► SYN ──► untaken ──ACK, data, FIN──► taken
 *   peer's:                                  ACK ──────────────────────────────► taken
 *   both:   taken ──our FIN──► finished ─┐
 *                 ──their FIN──► peerFinished ─┴─► forgotten ◄── RST, either way, from anywhere
 * ```
 */
class Entry implements SubstreamPort, Flow {
  readonly #shared: Shared
  readonly own: boolean
  /** 0: held back, no frame of it has left. */
  id = 0
  sendWindow = initialWindowBytes
  receiveWindow = initialWindowBytes
  withheld = true
  finished = false
  peerFinished = false
  onCredit: (() => void) | undefined
  receiver!: Receiver
  /** An own one that the peer has not taken. */
  #untaken = false
  /** SYN or ACK, until a frame has carried it. */
  #owed = 0
  /** No frame of it may leave any more. */
  #forgotten = false
  #windowBytes = initialWindowBytes
  #grantedAt = 0

  constructor(shared: Shared, own: boolean) {
    this.#shared = shared
    this.own = own
  }

  get flow(): Flow {
    return this
  }

  get turns(): Turns {
    return this.#shared.turns
  }

  get creditThresholdBytes(): number {
    // Half a window, as hashicorp/yamux does: two updates a window, not one a frame.
    return this.#windowBytes / 2
  }

  /** From now on frames may leave; the first says SYN or ACK. */
  begin(id: number): void {
    this.id = id
    this.withheld = false
    this.#owed = this.own ? syn : ack
    if (this.own) {
      this.#untaken = true
      this.#shared.untaken(this)
    }
    this.#shared.announce(this)
    if (this.finished) this.#sendFin()
    else this.onCredit?.()
  }

  /** Sends what is owed by itself, unless a frame has carried it meanwhile. */
  sendOwed(): void {
    if (this.#owed === 0 || this.#forgotten) return
    if (!this.own) this.receiver.acknowledging?.()
    if (this.#owed !== 0 && !this.#forgotten) this.#sendControl(0, 0)
  }

  #takeOwed(): number {
    const flags = this.#owed
    this.#owed = 0
    return flags
  }

  #sendControl(flags: number, credit: number): void {
    this.#shared.turns.frame(frameTypes.windowUpdate, this.#takeOwed() | flags, this.id, credit)
  }

  send(body: readonly Uint8Array[], length: number, last = false): boolean {
    this.sendWindow -= length
    const flags = this.#takeOwed()
    if (!last) return this.#shared.turns.frame(frameTypes.data, flags, this.id, length, body)
    this.finished = true
    const held = this.#shared.turns.frame(frameTypes.data, flags | fin, this.id, length, body)
    this.#finSent()
    return held
  }

  finish(): void {
    this.finished = true
    if (this.id !== 0) this.#sendFin()
  }

  #sendFin(): void {
    if (this.#forgotten) return
    this.#sendControl(fin, 0)
    this.#finSent()
  }

  #finSent(): void {
    if (this.peerFinished) this.#forget()
    else this.#shared.halfClosed.add(this)
  }

  reset(): void {
    if (this.#forgotten) return
    // A SYN that has not left needs no reset.
    if (this.id !== 0 && (this.#owed & syn) === 0) this.#sendControl(rst, 0)
    this.#forget()
  }

  grant(bytes: number): void {
    if (this.#forgotten) return
    const credit = bytes + this.#growth()
    this.receiveWindow += credit
    this.#sendControl(0, credit)
  }

  /**
   * How much the window grows. Half of it was just consumed: if that took no longer than two round trips, the writer
   * has waited for credit rather than the reader for data.
   */
  #growth(): number {
    const { maxWindowBytes } = this.#shared
    if (this.#windowBytes >= maxWindowBytes) return 0
    const now = performance.now()
    const tookMs = now - this.#grantedAt
    this.#grantedAt = now
    const roundTripMs = this.#shared.roundTrip()
    if (roundTripMs === undefined || tookMs > 2 * roundTripMs) return 0
    const growth = Math.min(this.#windowBytes, maxWindowBytes - this.#windowBytes)
    this.#windowBytes += growth
    return growth
  }

  released(): void {
    this.#shared.released(this)
  }

  #forget(): void {
    this.#forgotten = true
    this.taken()
    this.#shared.forget(this)
  }

  // What the peer says

  /** Any frame says that it has taken the substream: Go sends no ACK when FIN came with the SYN. */
  taken(): void {
    if (!this.#untaken) return
    this.#untaken = false
    this.#shared.taken(this)
  }

  /** Data that fits the window. */
  arrived(piece: Buffer): void {
    this.receiver.receive(piece)
  }

  peerFin(): void {
    this.peerFinished = true
    this.#shared.halfClosed.delete(this)
    if (this.finished) this.#forget()
    this.receiver.receiveEnd()
  }

  peerReset(): void {
    this.#forget()
    this.receiver.receiveReset(new PluginError('ERR_STREAM_RESET', `the peer has reset substream ${this.id}`))
  }

  timedOut(what: string): void {
    this.receiver.destroy(new PluginError('ERR_STREAM_TIMEOUT', `substream ${this.id} ${what}`))
  }
}

/**
 * The engine of our own, made for Node's streams. One look-up in a map for each frame; headers and small bodies of a
 * tick leave as one buffer; credit goes back for what was read, half a window at a time, and the window grows where the
 * round trip is what limits.
 *
 * @throws `ERR_CONFIG_INVALID` for an option that cannot be
 */
export const createNativeMuxer: CreateMuxer = (stream, options) => {
  const {
    role,
    maxSubstreams = defaults.maxSubstreams,
    acceptBacklog = defaults.acceptBacklog,
    acknowledgeDelayMs = defaults.acknowledgeDelayMs,
    openTimeoutMs = defaults.openTimeoutMs,
    closeTimeoutMs = defaults.closeTimeoutMs,
    maxWindowBytes = defaults.maxWindowBytes
  } = options
  checkCount('acceptBacklog', acceptBacklog)
  checkDelay(acknowledgeDelayMs)
  checkDuration('openTimeoutMs', openTimeoutMs)
  checkDuration('closeTimeoutMs', closeTimeoutMs)
  checkWindow(maxWindowBytes)

  const entries = new Map<number, Entry>()
  /** Own substreams that wait for a place in the peer's backlog, in the order in which they were opened. */
  const held = new Set<Entry>()
  let owing: Entry[] = []
  let acknowledging: Entry[] = []
  let acknowledgeTimer: NodeJS.Timeout | undefined
  let untakenCount = 0
  let livePeer = 0
  let nextId = role === 'client' ? 1 : 2
  const peerIds = createPeerIds(role === 'client' ? 0 : 1)
  let refusing = false
  let peerGoneAway = false
  let roundTripMs: number | undefined
  let measuredAt = -Infinity

  const session = createSession(
    stream,
    { ...options, maxSubstreams },
    {
      open: (make) => {
        const entry = new Entry(shared, true)
        const receiver = make(entry)
        entry.receiver = receiver
        session.enter(entry)
        if (untakenCount < acceptBacklog && held.size === 0) admit(entry)
        else held.add(entry)
        return receiver
      },
      get live() {
        return entries.size + held.size
      },
      get liveOwn() {
        return entries.size - livePeer + held.size
      },
      get idsLeft() {
        return nextId + 2 * held.size <= maxUint32
      },
      get peerGoneAway() {
        return peerGoneAway
      },
      refuse: () => {
        refusing = true
      },
      beforeFlush: () => {
        if (owing.length === 0) return
        const announced = owing
        owing = []
        for (const entry of announced) entry.sendOwed()
      },
      over: () => {
        clearTimeout(acknowledgeTimer)
        opening.clear()
        halfClosed.clear()
        held.clear()
        entries.clear()
      }
    }
  )
  const { turns } = session

  const acknowledge = (): void => {
    clearTimeout(acknowledgeTimer)
    const entries = acknowledging
    acknowledging = []
    for (const entry of entries) entry.sendOwed()
  }

  const opening = createExpiry<Entry>(openTimeoutMs, (entry) =>
    entry.timedOut(`was not taken by the peer within ${openTimeoutMs} ms`)
  )
  const halfClosed = createExpiry<Entry>(closeTimeoutMs, (entry) =>
    entry.timedOut(`was ended, and the peer has sent nothing for ${closeTimeoutMs} ms`)
  )

  const admit = (entry: Entry): void => {
    entries.set(nextId, entry)
    nextId += 2
    entry.begin(nextId - 2)
  }

  const admitHeld = (): void => {
    for (const entry of held) {
      if (untakenCount >= acceptBacklog) return
      held.delete(entry)
      admit(entry)
    }
  }

  const measure = async (): Promise<void> => {
    measuredAt = performance.now()
    try {
      roundTripMs = await muxer.ping()
    } catch {
      // The session is over, or the peer is busy: the window stays as it is.
    }
  }

  const shared: Shared = {
    turns,
    maxWindowBytes,
    halfClosed,
    untaken: (entry) => {
      untakenCount++
      opening.add(entry)
    },
    taken: (entry) => {
      untakenCount--
      opening.delete(entry)
      if (held.size > 0) admitHeld()
    },
    announce: (entry) => {
      if (entry.own) {
        owing.push(entry)
        turns.schedule()
        return
      }
      // Later: what answers it takes the ACK along. But before the opener could wait for it.
      const waiting = acknowledging.push(entry)
      if (waiting === mostUnacknowledged || acknowledgeDelayMs === 0) setImmediate(acknowledge)
      else if (waiting === 1) acknowledgeTimer = setTimeout(acknowledge, acknowledgeDelayMs).unref()
    },
    forget: (entry) => {
      held.delete(entry)
      halfClosed.delete(entry)
      if (entries.delete(entry.id) && !entry.own) livePeer--
    },
    released: (entry) => session.leave(entry),
    roundTrip: () => {
      if (performance.now() - measuredAt > roundTripAgeMs) void measure()
      return roundTripMs
    }
  }

  const violate = (what: string): false => {
    session.fail(
      new PluginError('ERR_SESSION_PROTOCOL', `the peer broke the yamux protocol: ${what}`),
      goAwayCodes.protocolError
    )
    return false
  }

  /** Applies the header of a frame that concerns no substream. */
  const onSessionFrame = (type: number, flags: number, value: number): boolean => {
    if (type === frameTypes.ping) {
      // The reply tells the peer that all before it was dealt with.
      acknowledge()
      session.onPing(flags, value)
    } else if (value === goAwayCodes.normal) {
      peerGoneAway = true
    } else {
      const code = value === goAwayCodes.protocolError ? 'ERR_SESSION_PROTOCOL' : 'ERR_SESSION_CLOSED'
      session.fail(new PluginError(code, `the peer ended the session with go-away code ${value}`))
    }
    return !session.over
  }

  /** Takes or refuses what the peer opens. False: its ID cannot be. */
  const onSyn = (id: number, flags: number): boolean => {
    const problem = peerIds.begin(id)
    if (problem !== undefined) return violate(problem)
    // Reset in the same breath: nobody needs to be told.
    if ((flags & rst) !== 0) return true
    if (refusing || livePeer >= maxSubstreams) {
      turns.frame(frameTypes.windowUpdate, rst, id, 0)
      return !session.over
    }
    const entry = new Entry(shared, false)
    entries.set(id, entry)
    livePeer++
    session.enter(entry)
    // The ACK goes out with acceptance: Go's opener gives up a session that owes one for 75 s.
    entry.begin(id)
    session.accept(entry)
    return !session.over
  }

  /** Whose body is arriving, and whether FIN comes with it. */
  let receiver: Entry | undefined
  let finAfterBody = false

  const sink: FrameSink = {
    onHeader: (version, type, flags, id, length) => {
      if (version !== yamuxVersion) return violate(`version ${version}`)
      if (type > frameTypes.goAway) return violate(`frame type ${type}`)
      if (type >= frameTypes.ping) return onSessionFrame(type, flags, length)
      if (id === 0) return violate('a frame of a substream has ID 0')
      const payload = type === frameTypes.data ? length : 0
      // Also where nobody would keep it: no window is ever larger.
      if (payload > maxWindowBytes) return violate(`a frame of ${payload} bytes exceeds the window`)

      receiver = undefined
      if ((flags & syn) !== 0 && !onSyn(id, flags)) return false
      const entry = entries.get(id)
      // The peer may not know yet that it is gone.
      if (entry === undefined) return true
      entry.taken()
      if ((flags & rst) !== 0) {
        entry.peerReset()
        return !session.over
      }
      if (payload > entry.receiveWindow) {
        return violate(`substream ${id} sent ${payload} bytes into a window of ${entry.receiveWindow}`)
      }
      if (entry.peerFinished) {
        if ((flags & fin) !== 0) return violate(`substream ${id} was finished twice`)
        if (payload > 0) {
          entry.receiver.destroy(
            new PluginError('ERR_STREAM_RESET', `substream ${id} was reset: the peer sent data after its end`)
          )
          return !session.over
        }
      }
      if (type === frameTypes.windowUpdate) {
        if (length > 0) {
          entry.sendWindow += length
          if (entry.sendWindow > maxUint32) return violate(`the window of substream ${id} exceeds 32 bits`)
          entry.onCredit?.()
        }
      } else if (payload > 0) {
        entry.receiveWindow -= payload
        receiver = entry
        finAfterBody = (flags & fin) !== 0
        if (entry.finished) halfClosed.add(entry)
        return true
      }
      if ((flags & fin) !== 0) entry.peerFin()
      return !session.over
    },
    onBody: (piece, last) => {
      const entry = receiver
      if (entry === undefined) return true
      try {
        entry.arrived(piece)
      } finally {
        if (last && finAfterBody) entry.peerFin()
      }
      return !session.over
    }
  }
  const decoder = new Decoder(sink)

  const onData = (chunk: Buffer): void => {
    if (session.over) return
    let decode = (): void => decoder.push(chunk)
    for (;;) {
      try {
        decode()
        return
      } catch (error) {
        // A listener's: it is as uncaught as any, and what follows it in the chunk is not lost.
        process.nextTick(() => {
          throw error
        })
        decode = () => decoder.resume()
      }
    }
  }

  const reading = new Promise<void>((resolve) => {
    stream.on('data', onData)
    stream.once('end', () => {
      if (decoder.partial) {
        session.fail(new PluginError('ERR_SESSION_PROTOCOL', 'truncated frame: the stream ended inside it'))
      } else {
        session.ended()
      }
      resolve()
    })
    stream.on('error', (error) => {
      session.fail(new PluginError('ERR_SESSION_CLOSED', 'the stream was lost', { cause: error }))
    })
    stream.once('close', () => {
      session.fail(new PluginError('ERR_SESSION_CLOSED', 'the stream was lost'))
      resolve()
    })
  })
  const muxer = session.muxer(reading)
  return muxer
}

function checkDelay(ms: number): void {
  if (Number.isInteger(ms) && ms >= 0 && ms <= mostDelayMs) return
  throw new PluginError('ERR_CONFIG_INVALID', `acknowledgeDelayMs is ${ms}, not such a delay`, {
    hint: `Give acknowledgeDelayMs as whole milliseconds from 0 to ${mostDelayMs}.`
  })
}

/** An opener that waits for its backlog should not wait longer. */
const mostDelayMs = 1000

function checkWindow(bytes: number): void {
  if (Number.isInteger(bytes) && bytes >= initialWindowBytes && bytes <= maxUint32) return
  throw new PluginError('ERR_CONFIG_INVALID', `maxWindowBytes is ${bytes}, not a window`, {
    hint: `Give maxWindowBytes as bytes from ${initialWindowBytes}, which yamux begins with, to ${maxUint32}.`
  })
}
