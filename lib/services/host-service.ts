import { type DirEntry, FileType, type HostService, LogRequest } from '#proto/hostserve/v1/hostserve.js'
import { checkBytes, invalidOption } from '../check.js'
import { isPluginError } from '../errors.js'
import { Status as status } from '../grpc/grpc-js.js'
import type { ServiceImplementation } from '../grpc/handler.js'
import { callError } from '../grpc/status.js'
import { type LogLevel, type Logger, checkLogger, foreignFields, silentLogger } from '../log.js'
import { nameText, toPathError } from '../security/root-path.js'
import { type EntryType, type Root, type RootEntry, type RootPath, typeOf } from '../security/root.js'

export interface HostServiceOptions {
  /** What the plugin may read. The caller opens it, and closes it when the service has ended. */
  readonly root: Root
  /**
   * Where records of `Log` go, at their level. Default: nowhere. A child logger with the plugin's name is
   * usual.
   */
  readonly logger?: Logger
  /**
   * Most entries of a page, whatever page is asked for. Default 1000: some 100 KiB with names of usual
   * length.
   */
  readonly maxPageEntries?: number
  /**
   * Most entries in one response when no page is asked for. Default 65,536; a larger directory is refused
   * then.
   */
  readonly maxEntries?: number
  /**
   * Most bytes of a file in one response, whatever is asked for. Default 1 MiB, a quarter of gRPC's usual
   * limit.
   */
  readonly maxChunkBytes?: number
  /** Most bytes of a log record: message, names and values. Default 8 KiB. */
  readonly maxLogBytes?: number
  /** Log records a second that are taken on average, and at once after a quiet second. Default 100. */
  readonly maxLogsPerSecond?: number
}

/** Bytes in one response of `ReadFile` when the plugin does not say. Pipes and sockets hold about as many. */
const chunkBytes = 64 * 1024

/** Entries in one response of `StreamDir`: well below any limit on messages, also with names of 255 bytes. */
const streamedEntries = 256

/**
 * Entries of a page that are looked at together: each takes two descriptors for a moment, and Node has four
 * threads.
 */
const together = 16

/**
 * Longest `page_token`: base64url of a name of 255 bytes; other file systems allow names of four times that.
 */
const maxTokenChars = 1400

/**
 * Implements `hostserve.v1.HostService`: read-only, below a {@link Root}. Every failure has the gRPC status
 * of the root's error, with the path as the plugin named it; what one call may ask of the host is limited.
 * @throws `ERR_CONFIG_INVALID`
 */
export function createHostService(options: HostServiceOptions): ServiceImplementation<typeof HostService> {
  const { root, logger = silentLogger } = options
  checkLogger(logger)
  const maxPageEntries = checkCount('maxPageEntries', options.maxPageEntries ?? 1000)
  const maxEntries = checkCount('maxEntries', options.maxEntries ?? 65_536)
  const maxChunkBytes = checkBytes('maxChunkBytes', options.maxChunkBytes ?? 1024 * 1024)
  const maxLogBytes = checkBytes('maxLogBytes', options.maxLogBytes ?? 8192)
  const log = limitRate(checkCount('maxLogsPerSecond', options.maxLogsPerSecond ?? 100))

  return {
    async readDir(request, { signal }) {
      const path = pathOf(request)
      const { pageSize, pageToken } = request
      const count = pageSize === 0 ? maxEntries : Math.min(pageSize, maxPageEntries)
      const { page, more } = await readPage(root, path, nameOfToken(pageToken), count, signal)
      if (more && pageSize === 0) {
        throw callError(
          status.RESOURCE_EXHAUSTED,
          `the directory has more than ${count} entries: ask for pages, or stream it`
        )
      }
      const looked = await lookAt(root, path, page, signal)
      const last = page.at(-1)
      return {
        entries: looked.map(describeEntry),
        nextPageToken: more && last !== undefined ? last.name.toString('base64url') : ''
      }
    },

    async *streamDir(request, { signal }) {
      let entries: DirEntry.Init[] = []
      for await (const entry of root.entries(pathOf(request), { signal })) {
        entries.push(describeEntry(entry))
        if (entries.length < streamedEntries) continue
        yield { entries }
        entries = []
      }
      if (entries.length > 0) yield { entries }
    },

    async *readFile(request, { signal }) {
      const chunk = Math.min(request.chunkBytes === 0 ? chunkBytes : request.chunkBytes, maxChunkBytes)
      const path = pathOf(request)
      await using file = await root.open(path, { signal })
      let left = request.length === 0 ? Infinity : request.length
      for (let position = request.offset; left > 0;) {
        signal.throwIfAborted()
        // Not of the pool: the bytes that are not read into are not sent, and nobody else's are beside them.
        const buffer = Buffer.allocUnsafeSlow(Math.min(chunk, left))
        const { bytesRead } = await file.read(buffer, 0, buffer.length, position).catch((error: unknown) => {
          throw toPathError(path, error)
        })
        if (bytesRead === 0) return
        yield { data: buffer.subarray(0, bytesRead) }
        position += bytesRead
        left -= bytesRead
      }
    },

    async stat(request, { signal }) {
      const stats = await root.stat(pathOf(request), { signal })
      return { type: types[typeOf(stats)], ...factsOf(stats) }
    },

    log({ level, message, fields }) {
      const method = levels[level]
      if (method === undefined) throw callError(status.INVALID_ARGUMENT, `there is no log level ${level}`)
      const bytes = bytesOf([message, ...Object.keys(fields), ...Object.values(fields)])
      if (bytes > maxLogBytes) {
        throw callError(
          status.INVALID_ARGUMENT,
          `a log record of ${bytes} bytes is longer than ${maxLogBytes}`
        )
      }
      const allowed = log.take()
      if (allowed === undefined)
        throw callError(status.RESOURCE_EXHAUSTED, 'too many log records in a second')
      if (allowed.refused > 0)
        logger.warn({ refused: allowed.refused }, 'log records of the plugin were refused')
      logger[method](foreignFields(fields), oneLine(message))
      return {}
    }
  }
}

function pathOf({ path, rawPath }: { readonly path: string; readonly rawPath: Uint8Array }): RootPath {
  if (rawPath.length === 0) return path
  if (path === '') return rawPath
  throw callError(status.INVALID_ARGUMENT, 'path and raw_path exclude each other')
}

/**
 * The first `count` entries behind the name `after`, in the order of the names' bytes, and whether there are
 * more. The whole directory is read for each page: no position in it is held for the plugin between two
 * calls, and an entry that is there all the time is told exactly once whatever happens to the others. Holds
 * at most two pages of names.
 */
async function readPage(
  root: Root,
  path: RootPath,
  after: Buffer | undefined,
  count: number,
  signal: AbortSignal
): Promise<{ page: RootEntry[]; more: boolean }> {
  let kept: RootEntry[] = []
  let end: Buffer | undefined
  const cut = (): void => {
    kept = kept.sort((a, b) => a.name.compare(b.name)).slice(0, count + 1)
    if (kept.length > count) end = kept.at(-1)?.name
  }
  for await (const entry of root.entries(path, { signal, stats: false })) {
    if (after !== undefined && entry.name.compare(after) <= 0) continue
    if (end !== undefined && entry.name.compare(end) >= 0) continue
    if (kept.push(entry) > 2 * count) cut()
  }
  cut()
  return { page: kept.slice(0, count), more: kept.length > count }
}

/** Looks at entries, a few at a time; those that have gone since are left out. */
async function lookAt(
  root: Root,
  path: RootPath,
  page: readonly RootEntry[],
  signal: AbortSignal
): Promise<RootEntry[]> {
  const parent = Buffer.concat([Buffer.from(path as string), Buffer.from('/')])
  const found: RootEntry[] = []
  const look = async (entry: RootEntry): Promise<RootEntry | undefined> => {
    try {
      const stats = await root.lstat(below(parent, entry.name), { signal })
      return { name: entry.name, type: typeOf(stats), stats }
    } catch (error) {
      if (!isPluginError(error)) throw error
      return error.status === status.NOT_FOUND ? undefined : entry
    }
  }
  for (let from = 0; from < page.length; from += together) {
    const looked = await Promise.all(page.slice(from, from + together).map(look))
    for (const entry of looked) if (entry !== undefined) found.push(entry)
  }
  return found
}

/** The path of a name in the directory; the empty path is the shared directory. */
function below(parent: Buffer, name: Buffer): Buffer {
  return parent.length === 1 ? name : Buffer.concat([parent, name])
}

/** The name that a page ends with is where the next one begins. */
function nameOfToken(token: string): Buffer | undefined {
  if (token === '') return undefined
  const name = Buffer.from(token.slice(0, maxTokenChars), 'base64url')
  if (name.toString('base64url') !== token) throw callError(status.INVALID_ARGUMENT, 'this is no page token')
  return name
}

const types: Readonly<Record<EntryType, number>> = {
  file: FileType.FILE_TYPE_FILE,
  directory: FileType.FILE_TYPE_DIRECTORY,
  symlink: FileType.FILE_TYPE_SYMLINK,
  other: FileType.FILE_TYPE_OTHER
}

function describeEntry({ name, type, stats }: RootEntry): DirEntry.Init {
  const text = name.toString()
  const exact = Buffer.from(text).equals(name)
  return {
    name: exact ? text : nameText(name),
    ...(exact ? {} : { rawName: name }),
    isDir: type === 'directory',
    type: types[type],
    ...(stats === undefined ? {} : factsOf(stats))
  }
}

function factsOf({ size, mtimeMs }: { readonly size: number; readonly mtimeMs: number }) {
  return { size, mtimeMs: Math.floor(mtimeMs) }
}

const { Level } = LogRequest
const levels: Readonly<Record<number, LogLevel | undefined>> = {
  [Level.LEVEL_UNSPECIFIED]: 'info',
  [Level.LEVEL_TRACE]: 'trace',
  [Level.LEVEL_DEBUG]: 'debug',
  [Level.LEVEL_INFO]: 'info',
  [Level.LEVEL_WARN]: 'warn',
  [Level.LEVEL_ERROR]: 'error'
}

/**
 * Control characters escaped: in a log for people, a record must not look like two, nor reach their terminal.
 */
function oneLine(message: string): string {
  return message.replace(/\p{Cc}/gu, (char) => {
    const escaped = JSON.stringify(char).slice(1, -1)
    return escaped === char ? `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}` : escaped
  })
}

function bytesOf(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0)
}

/**
 * Lets so many through a second on average, and as many at once. `take` is undefined when there is no room,
 * and else tells how many were refused since it last let one through.
 */
export function limitRate(perSecond: number, now = (): number => performance.now()) {
  let room = perSecond
  let refused = 0
  let last = now()
  return {
    take(): { readonly refused: number } | undefined {
      const time = now()
      room = Math.min(perSecond, room + ((time - last) * perSecond) / 1000)
      last = time
      if (room < 1) {
        refused += 1
        return undefined
      }
      room -= 1
      const before = refused
      refused = 0
      return { refused: before }
    }
  }
}

function checkCount(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value > 0 && value <= 1_000_000) return value
  throw invalidOption(name, value, `Give ${name} as a whole number from 1 to 1000000.`)
}
