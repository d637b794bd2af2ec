import { join } from 'node:path'
import { status } from '@grpc/grpc-js'
import t, { type Test } from 'tap'
import { FileLister } from '#proto/filelister/v1/filelister.js'
import { HostService } from '#proto/hostserve/v1/hostserve.js'
import { callError, implement, launch } from '../../lib/host/index.js'
import { handshake } from '../../plugins/filelister/handshake.js'
import { recordingLogger, streamForms } from '../helpers/launch.js'
import { packageRoot } from '../helpers/paths.js'

const command = [join(packageRoot, 'plugins/filelister/filelister')] as const

async function startLister(t: Test, stream: 'fd' | 'stdio') {
  const logger = recordingLogger()
  const plugin = await launch({ command, handshake, stream, logger })
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => {
    clearInterval(alive)
    return plugin.kill()
  })
  const asked: string[] = []
  const files = implement(HostService, {
    async *streamDir({ path }) {
      asked.push(path)
      if (path === 'missing') throw callError(status.NOT_FOUND, '"missing" does not exist')
      yield { entries: [{ name: 'b', isDir: false }] }
      yield { entries: [{ name: 'a', isDir: true }] }
    }
  })
  const serveFiles = () => plugin.broker.accept(plugin.broker.nextId(), [files])
  return { plugin, lister: plugin.dispense(FileLister), serveFiles, asked, logger }
}

/** Substreams end a moment after both sides have closed them. */
async function substreams(
  plugin: Awaited<ReturnType<typeof startLister>>['plugin'],
  connections: number
): Promise<void> {
  // On wire direct an idle connection is no substream.
  const count = plugin.wire === 'direct' ? 0 : connections
  while (plugin.stats().substreams !== count) await new Promise((resolve) => setTimeout(resolve, 1))
}

for (const stream of streamForms) {
  t.test(`stream ${stream}`, async (t) => {
    t.test('lists through the host service whose ID it was given, and prints what it received', async (t) => {
      const { plugin, lister, serveFiles, asked, logger } = await startLister(t, stream)
      const files = serveFiles()
      await lister.establishHostServices({ hostService: files.id })
      t.match((await lister.list({ dir: 'some/dir' })).entries, [
        { name: 'a', isDir: true },
        { name: 'b', isDir: false }
      ])
      t.same(asked, ['some/dir'])
      await logger.seen(({ message }) => message === 'a   true')
      await logger.seen(({ message }) => message === 'b   false')
      await substreams(plugin, 2)
    })

    t.test('an ID in the request needs no establishing', async (t) => {
      const { lister, serveFiles } = await startLister(t, stream)
      t.equal((await lister.list({ dir: '.', hostService: serveFiles().id })).entries.length, 2)
    })

    t.test(
      'disconnecting closes the connections of the plugin and leaves the service to the host',
      async (t) => {
        const { plugin, lister, serveFiles } = await startLister(t, stream)
        const [one, two] = [serveFiles(), serveFiles()]
        await lister.list({ dir: '.', hostService: one.id })
        await lister.list({ dir: '.', hostService: two.id })
        await substreams(plugin, 3)
        await lister.disconnectHostServices({})
        await substreams(plugin, 1)
        // The services are still there for whoever dials them.
        t.equal((await lister.list({ dir: '.', hostService: one.id })).entries.length, 2)
        await one.close()
        await t.rejects(lister.list({ dir: '.', hostService: one.id }), { message: /UNAVAILABLE/ })
      }
    )

    t.test('without a host service it says what to call first', async (t) => {
      const { lister } = await startLister(t, stream)
      await t.rejects(lister.list({ dir: '.' }), {
        status: status.FAILED_PRECONDITION,
        message: /EstablishHostServices/
      })
    })

    t.test("the host service's own refusal reaches the host unchanged", async (t) => {
      const { lister, serveFiles } = await startLister(t, stream)
      await t.rejects(lister.list({ dir: 'missing', hostService: serveFiles().id }), {
        code: 'ERR_CALL_FAILED',
        status: status.NOT_FOUND,
        details: '"missing" does not exist'
      })
    })
  })
}
