import { PluginError } from '../errors.js'

/** A path as a caller names it, with `/` between names: text, or bytes where a name is not UTF-8. */
export type RootPath = string | Uint8Array

/**
 * One name of a path, each byte as one character: file systems of Linux take any bytes, and no two spellings
 * of one text are the same name.
 */
export type Name = string

/** Longest path in bytes: PATH_MAX of Linux. */
const maxPathBytes = 4096

/** The names of `path`, the last of them `.` where a slash or dots at the end ask for a directory. */
export function namesOf(path: RootPath): Name[] {
  if (typeof path === 'string' && /\p{Surrogate}/u.test(path)) throw pathError(path, 'malformed')
  const bytes = Buffer.from(path as string)
  if (bytes.length > maxPathBytes) throw pathError(path, 'ENAMETOOLONG')
  return splitNames(bytes, path)
}

/** The names of what a symbolic link holds; `path` is the one that led to it. */
export function splitNames(bytes: Buffer, path: RootPath): Name[] {
  const text = bytes.toString('latin1')
  if (text.includes('\0')) throw pathError(path, 'malformed')
  if (text.startsWith('/')) throw pathError(path, 'escapes')
  const names = text.split('/').filter((name) => name !== '' && name !== '.')
  if (process.platform === 'win32' && names.some(isUnsafeOnWindows)) throw pathError(path, 'malformed')
  if (/(?:^|\/)\.{0,2}$/.test(text)) names.push('.')
  return names
}

/** Separators, drives, streams, wildcards, devices, and ends that Windows drops. */
export function isUnsafeOnWindows(name: Name): boolean {
  if (name === '..') return false
  // oxlint-disable-next-line no-control-regex -- finding them is the point
  if (/[\u0000-\u001f\\:*?"<>|]|[. ]$/.test(name)) return true
  // The superscript digits are devices too, here as the bytes of their UTF-8.
  return /^(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)(?:\d|\u00c2[\u00b9\u00b2\u00b3]))(?: *\..*)?$/i.test(
    name
  )
}

/** A name as text: a byte that is no part of UTF-8 as `\xNN`. */
export function nameText(bytes: Uint8Array): string {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let text = ''
  for (let at = 0; at < bytes.length;) {
    const lead = bytes[at]!
    const length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4
    try {
      text += decoder.decode(bytes.subarray(at, at + length))
      at += length
    } catch {
      text += `\\x${lead.toString(16)}`
      at += 1
    }
  }
  return text
}

/** Codes of google.rpc.Code: a handler that lets the error through answers with it. */
const INVALID_ARGUMENT = 3
const NOT_FOUND = 5
const ALREADY_EXISTS = 6
const PERMISSION_DENIED = 7
const RESOURCE_EXHAUSTED = 8
const FAILED_PRECONDITION = 9
const INTERNAL = 13
const UNAVAILABLE = 14

const inside = 'Give a path inside the directory; symbolic links must be relative and stay inside.'

const problems = {
  escapes: [PERMISSION_DENIED, 'leads out of the directory that is shared', inside],
  malformed: [INVALID_ARGUMENT, 'cannot be a path'],
  unnamed: [INVALID_ARGUMENT, 'names no entry of a directory'],
  special: [FAILED_PRECONDITION, 'is neither a file nor a directory'],
  closed: [UNAVAILABLE, 'is no longer shared'],
  ENOENT: [NOT_FOUND, 'does not exist'],
  ENOTDIR: [FAILED_PRECONDITION, 'is not a directory'],
  EISDIR: [FAILED_PRECONDITION, 'is a directory'],
  ENOTEMPTY: [FAILED_PRECONDITION, 'is not empty'],
  EBUSY: [FAILED_PRECONDITION, 'is in use'],
  ETXTBSY: [FAILED_PRECONDITION, 'is in use'],
  EAGAIN: [UNAVAILABLE, 'is in use'],
  EXDEV: [FAILED_PRECONDITION, 'is on another file system'],
  EINVAL: [INVALID_ARGUMENT, 'cannot be used in this way'],
  EEXIST: [ALREADY_EXISTS, 'exists already'],
  EACCES: [PERMISSION_DENIED, 'may not be used by this user'],
  EPERM: [PERMISSION_DENIED, 'may not be used by this user'],
  EROFS: [PERMISSION_DENIED, 'is on a read-only file system'],
  ELOOP: [INVALID_ARGUMENT, 'has too many symbolic links'],
  steps: [INVALID_ARGUMENT, 'has too many steps'],
  ENAMETOOLONG: [INVALID_ARGUMENT, 'is too long'],
  EMFILE: [RESOURCE_EXHAUSTED, 'cannot be opened: too many open files'],
  ENFILE: [RESOURCE_EXHAUSTED, 'cannot be opened: too many open files'],
  ENOSPC: [RESOURCE_EXHAUSTED, 'does not fit on the device'],
  EDQUOT: [RESOURCE_EXHAUSTED, 'does not fit in the quota']
} as const satisfies Readonly<Record<string, readonly [status: number, text: string, hint?: string]>>

/** What can be wrong with a path: a word of ours, or the system's error code. */
export type PathProblem = keyof typeof problems

/** An `ERR_SECURITY_PATH` that names the path as its caller did. */
export function pathError(path: RootPath, problem: PathProblem, cause?: unknown): PluginError {
  const [status, text, hint] = problems[problem]
  return describe(path, status, text, { cause, ...(hint === undefined ? {} : { hint }) })
}

/**
 * The same for an error of the file system, whose own text has the host's paths; any other error as it is.
 */
export function toPathError(path: RootPath, error: unknown): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException
  if (error instanceof PluginError || code === undefined || syscall === undefined) return error
  if (Object.hasOwn(problems, code)) return pathError(path, code as PathProblem, error)
  return describe(path, INTERNAL, `cannot be used (${code})`, { cause: error })
}

function describe(
  path: RootPath,
  status: number,
  text: string,
  facts: { cause: unknown; hint?: string }
): PluginError {
  const details = `${quote(path)} ${text}`
  return new PluginError('ERR_SECURITY_PATH', details, { ...facts, status, details })
}

function quote(path: RootPath): string {
  const text = typeof path === 'string' ? path : nameText(path.subarray(0, maxPathBytes))
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}...` : text)
}
