import { existsSync, readFileSync } from 'node:fs'
import { SourceMap, type SourceMapPayload } from 'node:module'
import { fileURLToPath } from 'node:url'

/** What a `.cpuprofile` holds, as far as it is read here (Chrome DevTools Protocol, Profiler.Profile). */
export interface Profile {
  readonly nodes: readonly ProfileNode[]
  /** In microseconds, as is `endTime`. */
  readonly startTime: number
  readonly endTime: number
  /** The node that ran at each sample. */
  readonly samples: readonly number[]
  /** Microseconds from the sample before, or from `startTime`. */
  readonly timeDeltas: readonly number[]
}

interface ProfileNode {
  readonly id: number
  readonly callFrame: {
    readonly functionName: string
    /** Empty for what is not JavaScript. */
    readonly url: string
    /** From 0. */
    readonly lineNumber: number
    /** From 0. */
    readonly columnNumber: number
  }
}

/** Time spent in one function, or in the functions of one group, without what they called. */
export interface SelfTime {
  readonly name: string
  readonly ms: number
  /** Of the busy time: 0 to 1. */
  readonly share: number
}

/** Where one process was while it was profiled; most time first. */
export interface Summary {
  readonly busyMs: number
  /** Waiting for something to do. In no share. */
  readonly idleMs: number
  readonly groups: readonly SelfTime[]
  readonly functions: readonly SelfTime[]
}

/** Which files belong to a group; the first that fits counts. */
const groups: readonly (readonly [string, RegExp])[] = [
  ['libp2p', /\/node_modules\/(@libp2p|@chainsafe|@multiformats|it-[^/]+|uint8array[^/]*|main-event)\//],
  ['node:http2', /^node:(internal\/)?http2(\/|$)/],
  [
    'node:net, node:stream',
    /^node:(net|stream|internal\/(net|streams?|stream_base_commons|js_stream_socket))(\/|$)/
  ],
  ['node: modules being loaded', /^node:internal\/(modules|bootstrap|vm)(\/|$)/],
  ['node: other', /^node:/]
]

const packageName = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//
const ownFolder = /\/(?:dist\/)?((?:lib|plugins|benchmarks|proto)(?:\/[^/]+(?=\/))?)\/[^?]*$/

/**
 * Adds up the self times of a profile.
 * @param mapOf - the source map of the file at `url`, where it has one: functions are told by the file that
 * was bundled
 */
export function summariseProfile(
  profile: Profile,
  mapOf: (url: string) => SourceMap | undefined = () => undefined
): Summary {
  const nodes = new Map(profile.nodes.map(({ id, callFrame }) => [id, original(callFrame, mapOf)]))
  const byGroup = new Map<string, number>()
  const byFunction = new Map<string, number>()
  let at = profile.startTime
  let idle = 0
  let busy = 0
  for (const [index, id] of profile.samples.entries()) {
    at += profile.timeDeltas[index] ?? 0
    // What a sample shows went on until the next one. Deltas may be a little below 0.
    const until = profile.timeDeltas[index + 1] ?? profile.endTime - at
    const time = Math.max(0, until)
    const frame = nodes.get(id)
    if (frame === undefined) throw new Error(`sample ${index} is of node ${id}, which there is not`)
    if (frame.functionName === '(idle)') {
      idle += time
      continue
    }
    busy += time
    add(byGroup, groupOf(frame), time)
    add(byFunction, describe(frame), time)
  }
  return {
    busyMs: busy / 1000,
    idleMs: idle / 1000,
    groups: ranked(byGroup, busy),
    functions: ranked(byFunction, busy)
  }
}

/** The source maps of the files in dist/bundle, each of which is many of lib/; read when first asked for. */
export function bundleMaps(): (url: string) => SourceMap | undefined {
  const maps = new Map<string, SourceMap | undefined>()
  return (url) => {
    if (!/^file:.*\/dist\/bundle\//.test(url)) return undefined
    if (!maps.has(url)) {
      const path = `${fileURLToPath(url)}.map`
      const text = existsSync(path) ? readFileSync(path, 'utf8') : undefined
      maps.set(url, text === undefined ? undefined : new SourceMap(JSON.parse(text) as SourceMapPayload))
    }
    return maps.get(url)
  }
}

/** The summary for a terminal: all groups and the first `most` functions. */
export function formatSummary(title: string, summary: Summary, most = 25): string {
  const line = ({ name, ms, share }: SelfTime): string =>
    `${(share * 100).toFixed(1).padStart(6)} %${ms.toFixed(1).padStart(10)} ms  ${name}`
  return [
    `${title}: ${summary.busyMs.toFixed(0)} ms busy, ${summary.idleMs.toFixed(0)} ms idle`,
    'Self time by group, of the busy time:',
    ...summary.groups.map(line),
    'Self time by function:',
    ...summary.functions.slice(0, most).map(line),
    ''
  ].join('\n')
}

function original(
  frame: ProfileNode['callFrame'],
  mapOf: (url: string) => SourceMap | undefined
): typeof frame {
  const entry = mapOf(frame.url)?.findEntry(frame.lineNumber, frame.columnNumber)
  if (entry === undefined || !('originalSource' in entry)) return frame
  const { originalSource, originalLine, originalColumn } = entry
  const url = new URL(originalSource, frame.url).href
  return { ...frame, url, lineNumber: originalLine, columnNumber: originalColumn }
}

function groupOf({ functionName, url }: ProfileNode['callFrame']): string {
  // `(program)` and `(garbage collector)` have no file; nor have native functions.
  if (url === '') return functionName.startsWith('(') ? functionName : '(native)'
  const named = groups.find(([, files]) => files.test(url))?.[0]
  return named ?? packageName.exec(url)?.[1] ?? ownFolder.exec(url)?.[1] ?? 'other'
}

function describe({ functionName, url, lineNumber }: ProfileNode['callFrame']): string {
  const name = functionName || '(anonymous)'
  return url === '' ? name : `${name}  ${shortened(url)}:${lineNumber + 1}`
}

/** From the package's name, or from the folder of the build. */
function shortened(url: string): string {
  if (url.startsWith('node:')) return url
  const modules = url.lastIndexOf('/node_modules/')
  if (modules >= 0) return url.slice(modules + '/node_modules/'.length)
  return /\/((?:dist\/)?(?:lib|plugins|benchmarks|proto)\/.*)$/.exec(url)?.[1] ?? url
}

function add(times: Map<string, number>, name: string, time: number): void {
  times.set(name, (times.get(name) ?? 0) + time)
}

function ranked(times: ReadonlyMap<string, number>, total: number): SelfTime[] {
  return [...times]
    .map(([name, time]) => ({ name, ms: time / 1000, share: total === 0 ? 0 : time / total }))
    .toSorted((a, b) => b.ms - a.ms)
}
