import { type ConnInfo as ConnInfoMessage, GRPCBroker } from '#proto/goplugin/goplugin.js'
import type { ConnInfo, ControlLink } from '../broker/control.js'
import { brokerClosed } from '../broker/errors.js'
import { PluginError, isPluginError } from '../errors.js'
import { Status } from '../grpc/grpc-js.js'
import { type ServiceBinding, implement } from '../grpc/handler.js'
import { callError } from '../grpc/status.js'
import type { Connection } from './broker.js'

/** Messages that may wait for one side to read them: as many IDs as a process may have sockets for, by the usual limits. */
const maxQueued = 65_536

/** The plugin's end: a service for its main server, and the link that it makes. */
export interface BrokerStreamService {
  readonly binding: ServiceBinding
  /**
   * Open whenever a host has a stream open, and over when it is closed here; streams end then, with success.
   */
  readonly link: ControlLink
}

/**
 * Offers go-plugin's `plugin.GRPCBroker`. `send` waits for the host to open its stream, which may come after
 * its first calls.
 *
 * A second host, which go-plugin calls reattached, is told everything too: it ignores IDs that it does not
 * dial. And the end of a stream ends only that stream. In go-plugin either host gets some of the messages,
 * and the first that leaves takes the broker with it (`grpc_broker.go`).
 */
export function brokerStreamService(): BrokerStreamService {
  const received = createQueue()
  const streams = new Set<Queue>()
  /** What was sent while there was no stream. */
  const early = createQueue()
  const { link, closed, isOver } = createLink(received, deliver)
  void closed.then(() => {
    early.end()
    for (const stream of streams) stream.end()
  })

  async function deliver(info: ConnInfo, signal: AbortSignal | undefined): Promise<void> {
    for (;;) {
      const targets = streams.size === 0 ? [early] : [...streams]
      try {
        return await Promise.any(targets.map((queue) => queue.push(info, signal)))
      } catch (error) {
        const { errors } = error as AggregateError
        const other: unknown = errors.find((reason) => !isPluginError(reason, 'ERR_BROKER_CLOSED'))
        if (other !== undefined || isOver()) throw other ?? errors[0]
        // Every stream has ended before it took the message, which now goes to the next one.
      }
    }
  }

  const binding = implement(GRPCBroker, {
    async *startStream(requests, { signal }) {
      const own = createQueue()
      const leave = (): void => {
        streams.delete(own)
        own.end()
      }
      signal.addEventListener('abort', leave, { once: true })
      streams.add(own)
      if (signal.aborted || isOver()) leave()
      else early.moveTo(own)
      // The host's end of the stream, or this side's of the link.
      readInto(received, requests).then(leave, leave)
      try {
        yield* own.messages
      } finally {
        leave()
        signal.removeEventListener('abort', leave)
      }
    }
  })
  // A stream that is open for ever is no call in flight.
  return { binding: { ...binding, background: true }, link }
}

/**
 * The host's end: opens go-plugin's `plugin.GRPCBroker/StartStream` at once and keeps it open, until the link
 * is closed or the connection is lost. Response headers are not waited for: go-plugin sends none before its
 * first message. The call is one in flight for as long as the link lives.
 */
export function openBrokerStream(connection: Connection): ControlLink {
  const received = createQueue()
  const sent = createQueue()
  const cancel = new AbortController()
  const { link, closed, end } = createLink(received, (info, signal) => sent.push(info, signal))

  async function run(): Promise<Error | undefined> {
    try {
      const responses = connection.dispense(GRPCBroker).startStream(sent.messages, { signal: cancel.signal })
      await readInto(received, responses)
      return new PluginError('ERR_BROKER_CLOSED', 'the plugin has ended the stream of its broker', {
        hint: 'The plugin is closing; launch it again to go on.'
      })
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error))
    }
  }

  void closed.then(() => {
    sent.end()
    cancel.abort()
  })
  void run().then(end)
  return link
}

/** The parts that the two ends have in common. */
function createLink(
  received: Queue,
  send: (info: ConnInfo, signal: AbortSignal | undefined) => Promise<void>
) {
  let over: { readonly reason: Error | undefined } | undefined
  let settle: (reason: Error | undefined) => void = () => {}
  const closed = new Promise<Error | undefined>((resolve) => {
    settle = resolve
  })
  const end = (reason: Error | undefined): void => {
    if (over !== undefined) return
    over = { reason }
    received.end()
    settle(reason)
  }
  const link: ControlLink = {
    async send(info, { signal } = {}) {
      signal?.throwIfAborted()
      if (over !== undefined) throw over.reason ?? brokerClosed(info.serviceId)
      await send(info, signal)
    },
    infos: received.messages,
    close: () => end(undefined),
    closed
  }
  return { link, closed, end, isOver: () => over !== undefined }
}

/** Reads no faster than the queue's reader. @throws when the queue ends, and what the messages throw */
async function readInto(queue: Queue, messages: AsyncIterable<ConnInfoMessage>): Promise<void> {
  for await (const message of messages) await queue.push(message)
}

interface Queue {
  /**
   * Resolves when the message was taken.
   * @throws `ERR_BROKER_CLOSED` when the queue ends first; the signal's reason, and then nobody gets the
   * message
   */
  push(info: ConnInfo, signal?: AbortSignal): Promise<void>
  /** Gives each message to whoever asks next. */
  readonly messages: AsyncIterable<ConnInfo>
  /** Hands over what nobody has taken yet. */
  moveTo(other: Queue): void
  /** Takes what another queue hands over. */
  adopt(entries: readonly Queued[]): void
  /** Rejects what was not taken, and ends the iteration. Safe to repeat. */
  end(): void
}

interface Queued {
  readonly info: ConnInfo
  cancelled: boolean
  readonly taken: () => void
  readonly reject: (error: unknown) => void
}

function createQueue(): Queue {
  const queued: Queued[] = []
  let ended = false
  let wake = (): void => {}

  async function* take(): AsyncGenerator<ConnInfo> {
    for (;;) {
      const next = queued.shift()
      if (next?.cancelled === true) continue
      if (next !== undefined) {
        next.taken()
        yield next.info
      } else if (ended) {
        return
      } else {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    }
  }

  function adopt(entries: readonly Queued[]): void {
    if (ended) for (const { info, reject } of entries) reject(brokerClosed(info.serviceId))
    else queued.push(...entries)
    wake()
  }

  return {
    push(info, signal) {
      if (queued.length >= maxQueued) return Promise.reject(tooSlow())
      let release = (): void => {}
      return new Promise<void>((taken, reject) => {
        const entry: Queued = { info, cancelled: false, taken, reject }
        const onAbort = (): void => {
          entry.cancelled = true
          reject(signal?.reason)
        }
        signal?.addEventListener('abort', onAbort, { once: true })
        release = () => signal?.removeEventListener('abort', onAbort)
        adopt([entry])
      }).finally(() => release())
    },
    messages: take(),
    moveTo: (other) => other.adopt(queued.splice(0)),
    adopt,
    end() {
      ended = true
      adopt(queued.splice(0))
    }
  }
}

function tooSlow(): PluginError {
  return callError(Status.RESOURCE_EXHAUSTED, `${maxQueued} broker messages wait to be read`)
}
