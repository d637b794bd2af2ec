import { HostService } from '#proto/hostserve/v1/hostserve.js'
import {
  type Logger,
  type Manifest,
  type Root,
  type ServiceBinding,
  type ServiceDescriptor,
  callError,
  createHostService,
  grant,
  implement,
  status
} from '../host/index.js'

/**
 * The host services that a plugin gets for a directory: those its manifest asks for. The others refuse every call
 * with PERMISSION_DENIED, so that the plugin's author reads what is missing in the manifest.
 */
export function grantHostServices(manifest: Manifest, root: Root, logger: Logger): readonly ServiceBinding[] {
  const { bindings, refused } = grant(manifest, [
    {
      service: HostService.typeName,
      scopes: ['files.read'],
      bind: () => implement(HostService, createHostService({ root, logger }))
    }
  ])
  for (const { service, scopes, reason } of refused) {
    logger.warn({ plugin: manifest.name, service, scopes }, `not granted: ${reason}`)
  }
  if (bindings.length > 0) return bindings
  const reason =
    refused.find(({ service }) => service === HostService.typeName)?.reason ??
    `the manifest of plugin "${manifest.name}" does not ask for ${HostService.typeName}`
  return [refuse(HostService, reason)]
}

/** A service that answers every call with PERMISSION_DENIED and `reason`. */
function refuse(service: ServiceDescriptor, reason: string): ServiceBinding {
  const deny = (): never => {
    throw callError(status.PERMISSION_DENIED, `not granted: ${reason}`)
  }
  return implement(service, Object.fromEntries(Object.keys(service.methods).map((name) => [name, deny])))
}
