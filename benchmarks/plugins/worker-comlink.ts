import { parentPort } from 'node:worker_threads'
import { loadComlink } from '../ends/comlink.js'
import { type Usage, ownUsage } from '../link.js'

type Echo = (payload: Uint8Array) => Uint8Array | Promise<Uint8Array>

let callHost: Echo

const service = {
  echo: (payload: Uint8Array) => payload,
  callBack: (payload: Uint8Array) => callHost(payload),
  /** Takes the host's service, to be called back. */
  register(echo: Echo): Uint8Array {
    callHost = echo
    return new Uint8Array()
  },
  // The host's own already has the processor time of all threads.
  usage: (): Usage => ({ ...ownUsage(), cpuSeconds: 0 })
}

export type Service = Omit<typeof service, 'usage'>

const { comlink, endpoint } = await loadComlink(parentPort!)
comlink.expose(service, endpoint)
