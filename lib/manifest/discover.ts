import { opendir, readFile, realpath } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { PluginError, isPluginError } from '../errors.js'
import type { Manifest } from './manifest.js'
import { manifestName, readManifest } from './read.js'

export interface DiscoverOptions {
  /** Folders of plugins: each of their subfolders that holds a `manifest.yaml` is one. Default: none. */
  readonly folders?: readonly string[]
  /**
   * Where to look for `node_modules`, there and in every folder above, as Node.js does. A package is a plugin
   * when its `package.json` says where the manifest is: `"muxplug": { "manifest": "manifest.yaml" }`.
   * Default: nowhere.
   */
  readonly nodeModules?: string
  /**
   * How many folders are looked at in each of these, at most. The rest is left out, and that is told. Default
   * 10,000.
   */
  readonly maxFolders?: number
}

/** What discovery has found in one place. */
export type Discovered =
  | { readonly state: 'usable'; readonly path: string; readonly manifest: Manifest }
  /** Another plugin has the same name: neither is found by it. */
  | {
      readonly state: 'conflict'
      readonly path: string
      readonly manifest: Manifest
      /** The manifests of the others. */
      readonly others: readonly string[]
    }
  /** `path` is a manifest, or a folder that cannot be looked into. */
  | { readonly state: 'broken'; readonly path: string; readonly error: PluginError }

/** How many files may be open at once. */
const atOnce = 32

/**
 * Finds plugins by their manifests, without starting any. What cannot be used is in the list as well, with
 * the reason: discovery itself never fails. A manifest that is reached in more than one way is listed once.
 * Sorted by path.
 */
export async function discoverPlugins(options: DiscoverOptions): Promise<Discovered[]> {
  const { folders = [], nodeModules, maxFolders = 10_000 } = options
  const found = (await Promise.all(folders.map((folder) => pluginsIn(resolve(folder), maxFolders)))).flat()
  if (nodeModules !== undefined) found.push(...(await packagesAbove(resolve(nodeModules), maxFolders)))
  const once = new Map<string, Discovered>()
  for (const one of found) {
    const path = await realpath(one.path).catch(() => one.path)
    if (!once.has(path)) once.set(path, one)
  }
  return withConflicts([...once.values()]).toSorted((a, b) => (a.path < b.path ? -1 : 1))
}

/**
 * The manifest of the one plugin of that name.
 * @throws `ERR_CONFIG_CONFLICT` when several have it, `ERR_CONFIG_INVALID` when none has
 */
export function findPlugin(found: readonly Discovered[], name: string): Manifest {
  const named = found.filter((one) => one.state !== 'broken' && one.manifest.name === name)
  const [first] = named
  if (first?.state === 'usable') return first.manifest
  if (first !== undefined) {
    const paths = named.map(({ path }) => path).join(', ')
    throw new PluginError('ERR_CONFIG_CONFLICT', `${named.length} plugins are named "${name}": ${paths}`, {
      hint: 'Give the path of the one that you mean, or rename the others.'
    })
  }
  const names = found.flatMap((one) => (one.state === 'usable' ? [one.manifest.name] : []))
  const broken = found.filter(({ state }) => state === 'broken').length
  throw new PluginError('ERR_CONFIG_INVALID', `no plugin is named "${name}"`, {
    hint:
      (names.length > 0 ? `There are: ${names.join(', ')}.` : 'No plugin was found.') +
      (broken > 0 ? ` Of ${broken} more the manifest is broken.` : '')
  })
}

/** A plugin for each subfolder with a manifest. */
async function pluginsIn(folder: string, maxFolders: number): Promise<Discovered[]> {
  const { names, problems } = await subfolders(folder, maxFolders)
  const found = await inBatches(names, (name) => discover(join(folder, name, manifestName)))
  return [...problems, ...found.filter((one) => !isAbsent(one))]
}

/**
 * The plugins among the packages that a module in `from` could import: of two packages of one name, the
 * nearer.
 */
async function packagesAbove(from: string, maxFolders: number): Promise<Discovered[]> {
  const all: Discovered[] = []
  const seen = new Set<string>()
  for (let folder = from; ; folder = dirname(folder)) {
    const modules = join(folder, 'node_modules')
    const { names, problems } = await packagesOf(modules, maxFolders)
    const fresh = names.filter((name) => !seen.has(name))
    for (const name of fresh) seen.add(name)
    const found = await inBatches(fresh, (name) => pluginOfPackage(join(modules, name)))
    all.push(...problems, ...found.filter((one) => one !== undefined))
    if (folder === dirname(folder)) return all
  }
}

/** What is in a `node_modules`: `name` and `@scope/name`. */
async function packagesOf(modules: string, maxFolders: number): Promise<Listing> {
  const { names, problems } = await subfolders(modules, maxFolders)
  const listings = await inBatches(names, async (name): Promise<Listing> => {
    if (!name.startsWith('@')) return { names: [name], problems: [] }
    const scoped = await subfolders(join(modules, name), maxFolders)
    return { ...scoped, names: scoped.names.map((own) => `${name}/${own}`) }
  })
  return {
    names: listings.flatMap((listing) => listing.names),
    // Few of the folders above have a node_modules.
    problems: [...problems, ...listings.flatMap((listing) => listing.problems)].filter(
      (one) => !isAbsent(one)
    )
  }
}

/** The plugin that a package says it holds; most say nothing, and what cannot be read says nothing. */
async function pluginOfPackage(folder: string): Promise<Discovered | undefined> {
  const path = join(folder, 'package.json')
  const text = await readFile(path, 'utf8').catch(() => '')
  // Parsing costs more than reading, and a thousand packages may have to be looked at.
  if (!text.includes('"muxplug"')) return undefined
  const field = fieldOf(text)
  if (field === undefined) return undefined
  const { manifest } = (field ?? {}) as { manifest?: unknown }
  if (typeof manifest === 'string' && manifest !== '') return discover(resolve(folder, manifest))
  return broken(path, 'muxplug.manifest is not the path of a manifest')
}

function fieldOf(packageJson: string): unknown {
  try {
    return (JSON.parse(packageJson) as { muxplug?: unknown } | null)?.muxplug
  } catch {
    return undefined
  }
}

async function discover(path: string): Promise<Discovered> {
  try {
    return { state: 'usable', path, manifest: await readManifest(path) }
  } catch (error) {
    if (isPluginError(error)) return { state: 'broken', path, error }
    throw error
  }
}

interface Listing {
  readonly names: readonly string[]
  readonly problems: readonly Discovered[]
}

/** The names of the folders in a folder, links among them. */
async function subfolders(folder: string, maxFolders: number): Promise<Listing> {
  const names: string[] = []
  try {
    for await (const entry of await opendir(folder)) {
      if (!entry.isDirectory() && !entry.isSymbolicLink()) continue
      if (names.length === maxFolders) {
        return {
          names,
          problems: [broken(folder, `holds more than ${maxFolders} folders; the rest is left out`)]
        }
      }
      names.push(entry.name)
    }
    return { names, problems: [] }
  } catch (error) {
    return { names, problems: [broken(folder, `cannot be looked into: ${(error as Error).message}`, error)] }
  }
}

function broken(path: string, what: string, cause?: unknown): Discovered {
  const error = new PluginError('ERR_CONFIG_INVALID', `${path} ${what}`, {
    ...(cause !== undefined && { cause }),
    hint: 'Mend it, or look for plugins elsewhere.'
  })
  return { state: 'broken', path, error }
}

/** Whether there is nothing where something might have been. */
function isAbsent(one: Discovered): boolean {
  const code = one.state === 'broken' && (one.error.cause as NodeJS.ErrnoException | undefined)?.code
  return code === 'ENOENT' || code === 'ENOTDIR'
}

function withConflicts(found: readonly Discovered[]): Discovered[] {
  const paths = new Map<string, string[]>()
  for (const one of found) {
    if (one.state !== 'usable') continue
    const same = paths.get(one.manifest.name)
    if (same === undefined) paths.set(one.manifest.name, [one.path])
    else same.push(one.path)
  }
  return found.map((one) => {
    if (one.state !== 'usable') return one
    const others = paths.get(one.manifest.name)!.filter((path) => path !== one.path)
    return others.length === 0 ? one : { ...one, state: 'conflict', others }
  })
}

/** As `Promise.all` over `work`, with few of them under way. */
async function inBatches<In, Out>(items: readonly In[], work: (item: In) => Promise<Out>): Promise<Out[]> {
  const done: Out[] = []
  for (let at = 0; at < items.length; at += atOnce) {
    done.push(...(await Promise.all(items.slice(at, at + atOnce).map(work))))
  }
  return done
}
