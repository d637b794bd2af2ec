import { readdirSync } from 'node:fs'

/** What one process has used. */
export interface Usage {
  /** Processor time since the process started, user and system, in seconds. */
  readonly cpuSeconds: number
  /** Resident memory, code and libraries included. */
  readonly rssBytes: number
  /** Memory in use by objects of the language, garbage that was not collected yet included. */
  readonly heapBytes: number
  /** Open descriptors. undefined where the system does not say (it does on Linux). */
  readonly fds: number | undefined
}

/**
 * A plugin process that runs, as the driver sees it: the same for every row. Each row does these in its own way and
 * says in its `cannot` which of the optional ones it has no way for.
 */
export interface Link {
  /** The plugin answers with the same bytes. */
  call(payload: Buffer): Promise<Buffer>
  /** The plugin sends `count` chunks, see {@link chunk}, each of which goes to `onChunk`. */
  down?(count: number, onChunk: (chunk: Uint8Array) => void): Promise<void>
  /** The host sends `count` chunks; the plugin answers once, with what has come. */
  up?(count: number): Promise<Received>
  /** The host sends `count` chunks and the plugin sends each of them back. */
  both?(count: number, onChunk: (chunk: Uint8Array) => void): Promise<void>
  /** The plugin calls the host back with the same bytes, and answers with the host's answer. */
  callback?(payload: Buffer): Promise<Buffer>
  /** The host accepts a fresh broker ID; the plugin dials it, calls once and closes; the host takes the ID back. */
  dial?(payload: Buffer): Promise<Buffer>
  /** As `dial`, but the ID stays accepted and the connection open until the link is closed. */
  keep?(payload: Buffer): Promise<Buffer>
  /** What the plugin's process has used. */
  usage(): Promise<Usage>
  /** Ends the plugin; resolves once its process is gone. */
  close(): Promise<void>
}

/** What a row may be unable to do. */
export type Capability = Exclude<keyof Link, 'usage' | 'close'>

/** What the receiver of a transfer counted. */
export interface Received {
  readonly count: number
  readonly bytes: number
}

export const chunkBytes = 64 * 1024

const chunks = Array.from({ length: 16 }, (_, mark) => Buffer.alloc(chunkBytes, mark + 1))

/** Number `index` of a transfer. Its bytes tell its place among its neighbours, and are made only once. */
export function chunk(index: number): Buffer {
  return chunks[index % chunks.length]!
}

/** Throws unless the bytes are those of chunk number `index`, going by its length and both of its ends. */
export function checkChunk(bytes: Uint8Array, index: number): void {
  const mark = (index % chunks.length) + 1
  if (bytes.length === chunkBytes && bytes[0] === mark && bytes[chunkBytes - 1] === mark) return
  throw new Error(`chunk ${index} is wrong: ${bytes.length} bytes, from ${bytes[0]} to ${bytes.at(-1)}`)
}

/** The usage of the process that asks. */
export function ownUsage(): Usage {
  const { user, system } = process.cpuUsage()
  const { rss, heapUsed } = process.memoryUsage()
  return { cpuSeconds: (user + system) / 1e6, rssBytes: rss, heapBytes: heapUsed, fds: openDescriptors() }
}

function openDescriptors(): number | undefined {
  // One of them is the directory that is being read.
  return process.platform === 'linux' ? readdirSync('/proc/self/fd').length - 1 : undefined
}

export function encodeUsage(usage: Usage): Buffer {
  return Buffer.from(JSON.stringify(usage))
}

export function decodeUsage(bytes: Uint8Array): Usage {
  return JSON.parse(Buffer.from(bytes).toString()) as Usage
}

/** Numbers of a request or an answer, four bytes each. */
export function encodeNumbers(...numbers: readonly number[]): Buffer {
  const bytes = Buffer.alloc(numbers.length * 4)
  for (const [index, number] of numbers.entries()) bytes.writeUInt32BE(number, index * 4)
  return bytes
}

export function decodeNumber(bytes: Uint8Array, index = 0): number {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).readUInt32BE(index * 4)
}
