import type { ConnInfo, ControlLink } from '../../lib/broker/control.js'
import { PluginError } from '../../lib/errors.js'

/** One end of a link in memory, whose other end the test plays. */
export interface FakeLink extends ControlLink {
  /** What was sent. */
  readonly sent: ConnInfo[]
  /** What the other side sends. */
  hear(info: ConnInfo): void
  /** Messages sent from now on wait until `open()`. */
  hold(): void
  open(): void
  lose(reason?: Error): void
  readonly isClosed: boolean
}

export function fakeLink(onSend: (info: ConnInfo) => void = () => {}): FakeLink {
  const heard: ConnInfo[] = []
  const sent: ConnInfo[] = []
  let wake = (): void => {}
  let gate: Promise<void> | undefined
  let open = (): void => {}
  let over = false
  let settle: (reason: Error | undefined) => void = () => {}
  const closed = new Promise<Error | undefined>((resolve) => {
    settle = resolve
  })
  const end = (reason?: Error): void => {
    over = true
    settle(reason)
    wake()
  }
  async function* infos(): AsyncGenerator<ConnInfo> {
    for (;;) {
      if (over) return
      const next = heard.shift()
      if (next === undefined) await new Promise<void>((resolve) => (wake = resolve))
      else yield next
    }
  }
  return {
    sent,
    hear(info) {
      heard.push(info)
      wake()
    },
    hold() {
      gate = new Promise((resolve) => {
        open = resolve
      })
    },
    open: () => open(),
    lose: end,
    get isClosed() {
      return over
    },
    async send(info, { signal } = {}) {
      signal?.throwIfAborted()
      if (gate !== undefined) {
        const aborted = new Promise<never>((_resolve, reject) => {
          // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- the reason, whatever it is
          signal?.addEventListener('abort', () => reject(signal.reason))
        })
        await Promise.race([gate, aborted, closed])
      }
      if (over) throw new PluginError('ERR_BROKER_CLOSED', 'closed')
      sent.push(info)
      onSend(info)
    },
    infos: infos(),
    close: () => end(),
    closed
  }
}
