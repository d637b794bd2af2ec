import { Worker } from 'node:worker_threads'
import { loadComlink } from '../ends/comlink.js'
import type { Link, Usage } from '../link.js'
import type { Service } from '../plugins/worker-comlink.js'
import { pluginPath } from './spawn.js'

type Remote = {
  readonly [Name in keyof Service]: (...args: Parameters<Service[Name]>) => Promise<Uint8Array>
} & {
  usage(): Promise<Usage>
}

/** A thread of this process in place of a plugin's process. */
export async function openWorkerComlink(): Promise<Link> {
  const worker = new Worker(pluginPath('worker-comlink'))
  const { comlink, endpoint } = await loadComlink(worker)
  const remote = comlink.wrap(endpoint) as Remote
  const echo = comlink.proxy((payload: Uint8Array) => payload)
  await remote.register(echo)
  return {
    call: async (payload) => Buffer.from(await remote.echo(payload)),
    callback: async (payload) => Buffer.from(await remote.callBack(payload)),
    usage: () => remote.usage(),
    async close() {
      await worker.terminate()
    }
  }
}
