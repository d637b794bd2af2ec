import { resolve } from 'node:path'
import {
  type Discovered,
  type Manifest,
  PluginError,
  discoverPlugins,
  findPlugin,
  readManifest
} from '../host/index.js'
import type { Arguments, PluginsArguments } from './args.js'
import { escapeControls } from './listing.js'

/** The arguments that choose a plugin, and those that it has to fit. */
export type Choice = Pick<Arguments, 'plugin' | 'pluginsIn' | 'stream' | 'wire'>

/** The service and the version of it that this command line knows how to call. */
const wanted = { service: 'filelister.v1.FileLister', protocolVersion: 1 }

/**
 * Finds what `bin/host` can run: the plugins of the package at `root`, those in the folders given, and
 * installed ones.
 */
export function findAll(root: string, pluginsIn: readonly string[]): Promise<Discovered[]> {
  return discoverPlugins({ folders: [resolve(root, 'plugins'), ...pluginsIn], nodeModules: process.cwd() })
}

/**
 * The manifest of the plugin to run, of the package at `root` unless another was asked for.
 * @throws `ERR_CONFIG_INVALID` for a name that nobody has and for a broken manifest, `ERR_CONFIG_CONFLICT`
 * for a name that several have and for a plugin that does not fit the command line
 */
export async function choosePlugin(root: string, choice: Choice): Promise<Manifest> {
  const { plugin = resolve(root, 'plugins/filelister/manifest.yaml'), pluginsIn } = choice
  // No name has a slash.
  const manifest = /[/\\]|^\.\.?$/.test(plugin)
    ? await readManifest(plugin)
    : findPlugin(await findAll(root, pluginsIn), plugin)
  checkFit(manifest, choice)
  return manifest
}

/** Tells before anything is started what the plugin would fail with. */
function checkFit(
  { name, offers, protocolVersions, streams, wires }: Manifest,
  { stream, wire }: Choice
): void {
  const misfits: readonly (readonly [fits: boolean, what: string])[] = [
    [offers.includes(wanted.service), `does not offer ${wanted.service}, which this program calls`],
    [
      protocolVersions.includes(wanted.protocolVersion),
      `does not speak version ${wanted.protocolVersion} of the protocol`
    ],
    [stream === undefined || streams?.includes(stream) !== false, `cannot use the stream ${stream}`],
    [wire === undefined || wires?.includes(wire) !== false, `cannot use the wire ${wire}`]
  ]
  const misfit = misfits.find(([fits]) => !fits)
  if (misfit === undefined) return
  throw new PluginError('ERR_CONFIG_CONFLICT', `plugin "${name}" ${misfit[1]}`, {
    hint: 'That is what its manifest says. Choose another plugin, or other options.'
  })
}

/** The list of `bin/host plugins`. */
export function formatPlugins(found: readonly Discovered[], form: PluginsArguments['form']): string {
  switch (form) {
    case 'json':
      return `${JSON.stringify(found.map(toRecord), null, 2)}\n`
    case 'names':
      return found.map((one) => (one.state === 'usable' ? `${one.manifest.name}\n` : '')).join('')
    case 'text':
      return found.map((one) => `${describe(one).map(escapeControls).join('\n  ')}\n`).join('')
  }
}

function toRecord(one: Discovered): object {
  const { path, state } = one
  if (state === 'broken') return { state, path, reason: one.error.message }
  const { name, version, description, licence, protocolVersions, command, streams, wires, offers, asks } =
    one.manifest
  return {
    state,
    path,
    ...(state === 'conflict' && { reason: conflict(one.others) }),
    name,
    version,
    description,
    licence,
    protocolVersions,
    command,
    streams,
    wires,
    offers,
    asks
  }
}

/** What it is, then what there is to know, a line each. */
function describe(one: Discovered): string[] {
  if (one.state === 'broken') return ['broken', one.error.message]
  const { name, version, description, offers, asks } = one.manifest
  const state = one.state === 'conflict' ? ` (conflict: ${conflict(one.others)})` : ''
  return [
    `${name} ${version}${state}`,
    one.path,
    ...(description === undefined ? [] : [description]),
    ...offers.map((service) => `offers ${service}`),
    ...asks.map(
      ({ service, scopes }) => `asks for ${service}${scopes.length === 0 ? '' : `: ${scopes.join(', ')}`}`
    )
  ]
}

function conflict(others: readonly string[]): string {
  return `the same name as ${others.join(', ')}`
}
