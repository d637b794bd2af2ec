import { Health, HealthCheckResponse } from '#proto/grpc/health/v1/health.js'
import { Status } from '../grpc/grpc-js.js'
import { type ServiceBinding, implement } from '../grpc/handler.js'
import { callError } from '../grpc/status.js'
import type { Connection } from './broker.js'

const { SERVING, NOT_SERVING, SERVICE_UNKNOWN } = HealthCheckResponse.ServingStatus

/** The name go-plugin gives the service that its Ping asks for (`grpc_client.go`); the empty name is the whole server. */
export const pluginServiceName = 'plugin'

/**
 * The standard health service of a main server: SERVING for `plugin` and for the empty name until `stopping` aborts,
 * then NOT_SERVING; other names are unknown, as gRPC's health protocol says.
 */
export function healthService(stopping: AbortSignal): ServiceBinding {
  const known = (name: string): boolean => name === pluginServiceName || name === ''
  const current = (): number => (stopping.aborted ? NOT_SERVING : SERVING)
  const binding = implement(Health, {
    check({ service }) {
      if (known(service)) return { status: current() }
      throw callError(Status.NOT_FOUND, `health of "${service.slice(0, 100)}" is not watched here`)
    },
    list() {
      return { statuses: { '': { status: current() }, [pluginServiceName]: { status: current() } } }
    },
    async *watch({ service }, { signal }) {
      yield { status: known(service) ? current() : SERVICE_UNKNOWN }
      if (!known(service) || !stopping.aborted) await aborted(AbortSignal.any([signal, stopping]))
      if (known(service) && !signal.aborted) yield { status: NOT_SERVING }
    }
  })
  // Somebody who watches for ever must not keep a process from ending.
  return { ...binding, background: true }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

export interface PingOptions {
  readonly signal?: AbortSignal
  /** Milliseconds until the ping fails with DEADLINE_EXCEEDED. Default 5000. */
  readonly timeoutMs?: number
}

/**
 * Asks the other side's main server for its health.
 * @throws `ERR_CALL_FAILED` with the gRPC status: UNAVAILABLE when it is not serving or gone
 */
export async function ping(connection: Connection, options: PingOptions = {}): Promise<void> {
  const response = await connection
    .dispense(Health)
    .check({ service: pluginServiceName }, { timeoutMs: 5000, ...options })
  if (response.status !== SERVING) {
    throw callError(Status.UNAVAILABLE, `it answered, but is not serving (health status ${response.status})`)
  }
}
