import {
  type Broker,
  type Client,
  type Connection,
  type ServiceImplementation,
  type Logger,
  callError,
  status
} from 'muxplug/plugin'
import type { FileLister } from '#proto/filelister/v1/filelister.js'
import { type DirEntry, HostService } from '#proto/hostserve/v1/hostserve.js'

interface HostServices {
  readonly connection: Connection
  readonly files: Client<typeof HostService>
}

/**
 * The plugin cannot read a directory itself: it dials the host service whose broker ID the host has handed to it. It
 * owns the connections it dials, and closes them in DisconnectHostServices; the host owns the service behind them.
 */
export function createLister(broker: Broker, logger: Logger): ServiceImplementation<typeof FileLister> {
  const connected = new Map<number, HostServices>()
  let established = 0

  function connect(id: number): HostServices {
    let services = connected.get(id)
    if (services === undefined) {
      const connection = broker.dial(id)
      services = { connection, files: connection.dispense(HostService) }
      connected.set(id, services)
    }
    return services
  }

  return {
    establishHostServices({ hostService: id }) {
      connect(id)
      established = id
      logger.info({ brokerId: id }, 'established host services')
      return {}
    },

    async list({ dir, hostService }, { signal }) {
      const id = hostService === 0 ? established : hostService
      if (id === 0) {
        throw callError(status.FAILED_PRECONDITION, 'no host services: call EstablishHostServices first')
      }
      const entries: DirEntry[] = []
      for await (const response of connect(id).files.streamDir({ path: dir }, { signal })) {
        entries.push(...response.entries)
      }
      entries.sort((a, b) => (a.name < b.name ? -1 : 1))
      // A stray print on purpose: the stream does not mind.
      for (const { name, isDir } of entries) console.log(`${name}   ${isDir}`)
      return { entries }
    },

    async disconnectHostServices() {
      const closing = [...connected.values()]
      connected.clear()
      established = 0
      await Promise.all(closing.map(({ connection }) => connection.close()))
      logger.info({ connections: closing.length }, 'disconnected host services')
      return {}
    }
  }
}
