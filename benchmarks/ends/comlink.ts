import type { MessagePort, Worker } from 'node:worker_threads'
import { load } from './installed.js'

export const comlinkPackage = 'comlink/dist/esm/comlink.mjs'

/** What is used of comlink. */
interface Comlink {
  wrap(endpoint: unknown): unknown
  expose(service: object, endpoint: unknown): void
  proxy<T extends object>(value: T): T
}

/** comlink, and its way to one end of a worker. */
export async function loadComlink(
  port: Worker | MessagePort
): Promise<{ readonly comlink: Comlink; readonly endpoint: unknown }> {
  const comlink = await load<Comlink>(comlinkPackage)
  const adapter = await load<{ readonly default: (port: Worker | MessagePort) => unknown }>(
    'comlink/dist/esm/node-adapter.mjs'
  )
  return { comlink, endpoint: adapter.default(port) }
}
