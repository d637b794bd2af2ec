import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { parse } from 'yaml'
import { type Handshake, PluginError } from '../host/index.js'

/** What the command line needs of a plugin's `manifest.yaml`. */
export interface Manifest {
  readonly name: string
  /** With a first word that holds a slash made absolute: it is relative to the manifest. */
  readonly command: readonly [string, ...string[]]
  readonly handshake: Handshake
}

/** Reads a manifest. @throws `ERR_CONFIG_INVALID` naming the file and what is wrong in it */
export async function readManifest(path: string): Promise<Manifest> {
  let manifest: unknown
  try {
    manifest = parse(await readFile(path, 'utf8'))
  } catch (error) {
    throw invalid(path, (error as Error).message, error)
  }
  const { name, command, handshake } = (manifest ?? {}) as Record<string, unknown>
  if (typeof name !== 'string' || name === '') throw invalid(path, 'name is missing')
  if (!Array.isArray(command) || command.length === 0 || !command.every((word) => typeof word === 'string')) {
    throw invalid(path, 'command is not a list of words')
  }
  if (!isHandshake(handshake))
    throw invalid(path, 'handshake is not a cookieKey, a cookieValue and a protocolVersion')
  const [program, ...args] = command as [string, ...string[]]
  return {
    name,
    command: [program.includes('/') ? resolve(dirname(path), program) : program, ...args],
    handshake
  }
}

function isHandshake(value: unknown): value is Handshake {
  const { cookieKey, cookieValue, protocolVersion } = (value ?? {}) as Record<string, unknown>
  return (
    typeof cookieKey === 'string' && typeof cookieValue === 'string' && typeof protocolVersion === 'number'
  )
}

function invalid(path: string, what: string, cause?: unknown): PluginError {
  return new PluginError('ERR_CONFIG_INVALID', `${path}: ${what}`, {
    cause,
    hint: 'Mend the manifest of the plugin.'
  })
}
