import type { ChildProcess } from 'node:child_process'
import type { Send } from './messages.js'

/** Messages through Node's own channel between parent and child. */
export function createIpcSender(channel: Pick<ChildProcess, 'send'> | NodeJS.Process): Send {
  const send = channel.send!.bind(channel) as (
    message: unknown,
    onSent: (error: Error | null) => void
  ) => boolean
  return (message) => {
    let settle: ((error: Error | null) => void) | undefined
    const flows = send(message, (error) => settle?.(error))
    if (flows) return undefined
    return new Promise((resolve, reject) => {
      settle = (error) => (error === null ? resolve() : reject(error))
    })
  }
}
