import { GRPCController } from '#proto/goplugin/goplugin.js'
import { type ServiceBinding, implement } from '../grpc/handler.js'
import type { Connection } from './broker.js'

/** Offers go-plugin's `plugin.GRPCController`: `onShutdown` is called once the request has been answered. */
export function controllerService(onShutdown: () => void): ServiceBinding {
  return implement(GRPCController, {
    shutdown() {
      // The answer leaves first: go-plugin's own server cuts the connection instead, which its callers must take for
      // success (`grpc_controller.go`).
      setImmediate(onShutdown)
      return {}
    }
  })
}

/** Asks the plugin to end itself. Resolves when it has agreed; rejects as any call does. */
export async function requestShutdown(connection: Connection, timeoutMs: number): Promise<void> {
  await connection.dispense(GRPCController).shutdown({}, { timeoutMs })
}
