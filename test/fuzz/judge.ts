import { frameFlags, frameTypes, headerBytes, initialWindowBytes, maxUint32 } from '../../lib/mux/frame.js'

const { syn, ack, fin, rst } = frameFlags

/** A frame found in bytes. */
export interface Frame {
  readonly version: number
  readonly type: number
  readonly flags: number
  readonly id: number
  readonly length: number
  /** The body of a data frame is complete. */
  readonly whole: boolean
}

/** The frames of what one end has sent, the last one possibly cut short; a header cut short is left out. */
export function readFrames(bytes: Buffer): Frame[] {
  const frames: Frame[] = []
  let offset = 0
  while (offset + headerBytes <= bytes.length) {
    const type = bytes.readUInt8(offset + 1)
    const length = bytes.readUInt32BE(offset + 8)
    const end = offset + headerBytes + (type === frameTypes.data ? length : 0)
    frames.push({
      version: bytes.readUInt8(offset),
      type,
      flags: bytes.readUInt16BE(offset + 2),
      id: bytes.readUInt32BE(offset + 4),
      length,
      whole: end <= bytes.length
    })
    offset = end
  }
  return frames
}

/** What the frames of a peer must lead to. The first `violation` or `goAway` decides. */
export interface Verdict {
  /**
   * `must`: the session cannot go on. `may`: it depends on what the engine had granted or forgotten by then.
   */
  readonly violation: 'must' | 'may' | 'none'
  /** A go-away with a code other than 0 comes before what must be refused. */
  readonly goneAway: boolean
}

/** Judges the frames of a peer from outside: it knows what was said, not when the engine heard it. */
export function judgePeer(frames: readonly Frame[], engineRole: 'client' | 'server'): Verdict {
  const peerParity = engineRole === 'client' ? 0 : 1
  const begun = new Set<number>()
  const finished = new Set<number>()
  const payloads = new Map<number, number>()
  const credits = new Map<number, number>()
  let highest = 0
  let may = false

  for (const { version, type, flags, id, length } of frames) {
    const verdict = (violation: Verdict['violation'], goneAway = false): Verdict => ({ violation, goneAway })
    if (version !== 0 || type > frameTypes.goAway) return verdict('must')
    if (type === frameTypes.goAway && length !== 0) return verdict(may ? 'may' : 'none', true)
    if (type >= frameTypes.ping) continue
    const payload = type === frameTypes.data ? length : 0
    if (id === 0 || payload > initialWindowBytes) return verdict('must')
    if ((flags & syn) !== 0) {
      if (id % 2 !== peerParity || begun.has(id)) return verdict('must')
      begun.add(id)
      // An ID that was skipped may come late, but not very late.
      if (id < highest) may = true
      highest = Math.max(highest, id)
    }
    if ((flags & rst) !== 0) continue
    if ((flags & fin) !== 0) {
      if (finished.has(id)) may = true
      finished.add(id)
    }
    const total = (payloads.get(id) ?? 0) + payload
    payloads.set(id, total)
    if (total > initialWindowBytes) may = true
    if (type === frameTypes.windowUpdate) {
      const credit = (credits.get(id) ?? initialWindowBytes) + length
      credits.set(id, credit)
      if (credit > maxUint32) may = true
    }
  }
  return { violation: may ? 'may' : 'none', goneAway: false }
}

interface Said {
  opened: boolean
  accepted: boolean
  finished: boolean
  reset: boolean
  payload: number
  granted: number
}

/**
 * Holds what an engine has sent against what its peer has sent: flags in order and once, no data beyond the
 * credit, no credit for what was not sent, an answer for each ping in its turn, nothing after a go-away with
 * an error. Gives what is wrong, in words.
 */
export function checkEngine(
  sent: readonly Frame[],
  received: readonly Frame[],
  engineRole: 'client' | 'server',
  maxWindowBytes: number
): string[] {
  const problems: string[] = []
  const ownParity = engineRole === 'client' ? 1 : 0
  const pings = received.filter(({ type, flags }) => type === frameTypes.ping && (flags & syn) !== 0)
  const credits = new Map<number, number>()
  const payloads = new Map<number, number>()
  const begun = new Set<number>()
  for (const { type, flags, id, length } of received) {
    if ((flags & syn) !== 0 && type <= frameTypes.windowUpdate) begun.add(id)
    if (type === frameTypes.windowUpdate) credits.set(id, (credits.get(id) ?? 0) + length)
    if (type === frameTypes.data) payloads.set(id, (payloads.get(id) ?? 0) + length)
  }
  const all = new Map<number, Said>()
  let answered = 0
  let goAways = 0
  let over = false

  for (const [index, frame] of sent.entries()) {
    const { version, type, flags, id, length } = frame
    const wrong = (what: string): void => {
      problems.push(`frame ${index} of the engine, ${JSON.stringify(frame)}: ${what}`)
    }
    if (over) wrong('after a go-away with an error')
    if (version !== 0 || type > frameTypes.goAway || flags > 15) wrong('no frame')
    if (type === frameTypes.goAway) {
      if (length === 0 && ++goAways > 1) wrong('a second go-away 0')
      over = length !== 0
      continue
    }
    if (type === frameTypes.ping) {
      if ((flags & ack) !== 0 && pings[answered++]?.length !== length)
        wrong('answers no ping, or out of turn')
      continue
    }
    const said: Said = all.get(id) ?? {
      opened: false,
      accepted: false,
      finished: false,
      reset: false,
      payload: 0,
      granted: 0
    }
    all.set(id, said)
    if (said.reset) wrong('after its reset')
    if (id % 2 === ownParity) {
      // The libp2p library resets what it has not announced yet; the peer drops that.
      if (said.opened === ((flags & syn) !== 0) && (said.opened || flags !== rst)) {
        wrong('SYN is missing, or said twice')
      }
      if ((flags & ack) !== 0) wrong('accepts its own substream')
      said.opened = true
    } else {
      if (!begun.has(id)) wrong('the peer has not opened it')
      if ((flags & syn) !== 0) wrong('opens a substream with an ID of the peer')
      if (said.accepted && (flags & ack) !== 0) wrong('ACK is said twice')
      if (!said.accepted && (flags & (ack | rst)) === 0) wrong('neither accepted nor refused')
      said.accepted ||= (flags & ack) !== 0
    }
    if (type === frameTypes.data) {
      if (said.finished) wrong('data after FIN')
      said.payload += length
      const credit = initialWindowBytes + (credits.get(id) ?? 0)
      if (said.payload > credit) wrong(`${said.payload} bytes sent with credit for ${credit}`)
    } else {
      said.granted += length
      const most = (payloads.get(id) ?? 0) + maxWindowBytes - initialWindowBytes
      if (said.granted > most) wrong(`${said.granted} bytes granted, ${most} at most were due`)
    }
    if (said.finished && (flags & fin) !== 0) wrong('FIN is said twice')
    said.finished ||= (flags & fin) !== 0
    said.reset = (flags & rst) !== 0
  }
  return problems
}
