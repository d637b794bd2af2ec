import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { Echo } from '#proto/echo/v1/echo.js'
import type { Plugin } from '../../lib/host/index.js'
import { silentLogger } from '../../lib/log.js'
import { launchFixture, streamForms } from '../helpers/launch.js'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** What this process holds besides memory: timers, sockets, pipes and other handles, counted by kind. */
function held(): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const kind of process.getActiveResourcesInfo()) {
    if (kind !== 'Immediate') counts[kind] = (counts[kind] ?? 0) + 1
  }
  return counts
}

/** Bytes of memory in use after a full collection; weak references need a turn between two. */
async function memory(): Promise<number> {
  for (let round = 0; round < 3; round++) {
    collectGarbage()
    await new Promise(setImmediate)
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** Substreams end a moment after both sides have closed them. */
async function settled(plugin: Plugin, substreams: number): Promise<void> {
  while (plugin.stats().substreams > substreams) await new Promise((resolve) => setTimeout(resolve, 1))
}

for (const stream of streamForms) {
  t.test(`stream ${stream}: 1,000 broker IDs opened, used and closed leave nothing`, async (t) => {
    // Not the recording logger: what it keeps would hide what the product keeps.
    const { plugin } = await launchFixture(t, 'plugin-echo.mjs', { stream, logger: silentLogger })
    const echo = plugin.dispense(Echo)

    /** The host serves an ID, the plugin dials it, calls it and leaves; `width` at a time. */
    async function useIds(count: number, width: number): Promise<void> {
      for (let done = 0; done < count; done += width) {
        await Promise.all(
          Array.from({ length: width }, async () => {
            const served = plugin.broker.accept(plugin.broker.nextId(), [])
            await served.close()
            const used = plugin.broker.serve(Echo, {
              echo: ({ text }: { text: string }) => ({ text })
            } as never)
            const payload = Buffer.alloc(4)
            payload.writeUInt32BE(used.id)
            const { text } = await echo.echo({ text: 'call-back', payload })
            if (text !== 'called back') throw new Error(`unexpected answer ${text}`)
            await used.close()
          })
        )
      }
    }

    // The first round fills caches and pools.
    await useIds(100, 50)
    await settled(plugin, 1)
    const handles = held()
    const before = await memory()
    const pluginBefore = Number((await echo.echo({ text: 'memory' })).text)

    await useIds(1000, 50)
    await settled(plugin, 1)
    t.same(held(), handles, 'no handle and no timer is left')
    t.match(plugin.stats(), { substreams: plugin.wire === 'direct' ? 0 : 1, waitingDials: 0 })
    t.ok(plugin.stats().accepted >= 1100)

    const grown = (await memory()) - before
    const pluginGrown = Number((await echo.echo({ text: 'memory' })).text) - pluginBefore
    t.comment(`grown by ${grown} bytes in the host, ${pluginGrown} in the plugin`)
    // Leaking one connection an ID would be tens of kilobytes each, so tens of megabytes.
    t.ok(grown < 4_000_000, `the host grew by ${grown} bytes`)
    t.ok(pluginGrown < 4_000_000, `the plugin grew by ${pluginGrown} bytes`)
  })

  t.test(`stream ${stream}: 64 MiB each way with a slow reader at either end stays bounded`, async (t) => {
    const { plugin } = await launchFixture(t, 'plugin-echo.mjs', { stream })
    const echo = plugin.dispense(Echo)
    const chunk = Buffer.alloc(64 * 1024, 1)
    const total = 1024

    // Both directions at once: what the plugin has echoed waits until it is read here, one message an event-loop turn.
    let sent = 0
    let received = 0
    let ahead = 0
    async function* upload(): AsyncGenerator<{ payload: Buffer }> {
      for (; sent < total; sent++) {
        ahead = Math.max(ahead, sent - received)
        yield { payload: chunk }
      }
    }
    for await (const { payload } of echo.chat(upload())) {
      received += 1
      if (payload.length !== chunk.length) throw new Error(`message of ${payload.length} bytes`)
      await new Promise(setImmediate)
    }
    t.equal(received, total)
    t.comment(`the writer was at most ${ahead} messages of 64 KiB ahead of the reader`)
    // Windows of yamux and HTTP/2, both ways, and the buffers between them; far less than the 1,024 sent.
    t.ok(ahead < 256, `the writer was ${ahead} messages ahead`)
  })
}
