// Every combination of plugin and setting for one host.
import t, { type Test } from 'tap'
import type { Setting } from './cases.js'
import { type Command, goPlugin, nodePlugin, ownTemporaryDirectory, processesWithin } from './programs.js'

export interface HostKind {
  readonly language: string
  /** Launches `plugin` for each case, and reports each as an assertion or a test of `t`. */
  run(t: Test, plugin: Command, setting: Setting): Promise<void>
}

interface PluginKind {
  readonly language: string
  readonly command: Command
}

const plugins: readonly PluginKind[] = [
  { language: 'Go', command: goPlugin },
  { language: 'TypeScript', command: nodePlugin }
]

const settings: readonly Setting[] = (['socket', 'socket-mux'] as const).flatMap((transport) =>
  [false, true].map((autoMtls) => ({ transport, autoMtls }))
)

/** Runs all cases of a host in every cell, each of which is a test. */
export function testMatrix(host: HostKind): void {
  for (const plugin of plugins) {
    for (const setting of settings) {
      const { transport, autoMtls } = setting
      t.test(
        `${host.language} host, ${plugin.language} plugin, ${transport}, ${autoMtls ? 'AutoMTLS' : 'plain'}`,
        async (t) => {
          const temporary = await ownTemporaryDirectory(t)
          await host.run(t, plugin.command, setting)
          t.same(await processesWithin(temporary), [], 'no process is left behind')
        }
      )
    }
  }
}
