import { readFile, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { PluginError } from '../errors.js'
import type { Manifest } from './manifest.js'
import type { Problem } from './parse.js'
import type { ManifestFile } from './schema.js'

/** The name that a manifest has in the folder of its plugin. */
export const manifestName = 'manifest.yaml'

/** A manifest is a page of text. What is much longer is another file, or is meant to cost time. */
const maxManifestBytes = 64 * 1024

/** Of a file with more problems than this, the first ones are told. */
const maxProblems = 5

/**
 * Reads the manifest of a plugin: the file, or `manifest.yaml` in the folder given. At most 64 KiB of UTF-8.
 * @throws `ERR_CONFIG_INVALID` with the file, and line, column and text of each problem
 */
export async function readManifest(path: string): Promise<Manifest> {
  const found = resolve(path)
  try {
    const stats = await stat(found)
    if (stats.isDirectory()) return await readManifest(join(found, manifestName))
    // A FIFO or a device may never end.
    if (!stats.isFile()) throw unusable(found, 'is not a file')
    if (stats.size > maxManifestBytes) {
      throw unusable(found, `has ${stats.size} bytes, and a manifest at most ${maxManifestBytes}`)
    }
    return await interpret(found, await readFile(found))
  } catch (error) {
    if (error instanceof PluginError) throw error
    throw unusable(found, `cannot be read: ${(error as Error).message}`, error)
  }
}

/** Loads YAML and the schema: hosts without manifests do not pay for them. */
async function interpret(path: string, bytes: Uint8Array): Promise<Manifest> {
  const { parseManifest } = await import('./parse.js')
  const parsed = parseManifest(decode(path, bytes))
  if (parsed.t === 'wrong') throw broken(path, parsed.problems)
  return toManifest(path, parsed.file)
}

function decode(path: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw unusable(path, 'is not UTF-8', error)
  }
}

function toManifest(path: string, file: ManifestFile): Manifest {
  const { name, version, description, licence, handshake, protocolVersions = [1], streams, wires } = file
  const [only, ...more] = protocolVersions
  return {
    path,
    name,
    version,
    ...(description !== undefined && { description }),
    ...(licence !== undefined && { licence }),
    handshake: { ...handshake, ...(only !== undefined && more.length === 0 && { protocolVersion: only }) },
    protocolVersions,
    command: commandOf(dirname(path), file),
    ...(streams !== undefined && { streams }),
    ...(wires !== undefined && { wires }),
    offers: file.offers ?? [],
    asks: (file.asks ?? []).map(({ service, scopes = [] }) => ({ service, scopes }))
  }
}

function commandOf(folder: string, { command = [], entry }: ManifestFile): readonly [string, ...string[]] {
  if (entry !== undefined) return [process.execPath, resolve(folder, entry)]
  const [program = '', ...args] = command
  return [program.includes('/') ? resolve(folder, program) : program, ...args]
}

function broken(path: string, problems: readonly Problem[]): PluginError {
  const told = problems.slice(0, maxProblems).map(({ line, column, text }) => `${line}:${column}: ${text}`)
  const more = problems.length - told.length
  if (more > 0) told.push(`and ${more} more`)
  return new PluginError('ERR_CONFIG_INVALID', `${path}:${told.join('; ')}`, {
    hint: 'Mend the manifest of the plugin: docs/manifest.md has its fields.'
  })
}

function unusable(path: string, what: string, cause?: unknown): PluginError {
  return new PluginError('ERR_CONFIG_INVALID', `${path} ${what}`, {
    ...(cause !== undefined && { cause }),
    hint: 'Give the manifest.yaml of a plugin, or the folder that holds it.'
  })
}
