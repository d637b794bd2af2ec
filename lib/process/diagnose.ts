import { accessSync, closeSync, constants, openSync, readSync, statSync, type Stats } from 'node:fs'
import { delimiter, join, resolve } from 'node:path'
import { PluginError } from '../errors.js'

/** What was to be started. */
export interface Attempt {
  readonly command: readonly [string, ...string[]]
  readonly cwd?: string | undefined
  readonly env: Readonly<Record<string, string>>
}

interface Finding {
  readonly what: string
  readonly hint?: string
}

/**
 * Why a process could not be started, found by looking at what the system's one-word answer does not tell apart: the
 * working directory, the program, its mode, its interpreter.
 */
export function spawnFailure(cause: unknown, options: Attempt): PluginError {
  const code = (cause as NodeJS.ErrnoException).code ?? ''
  const finding = inDirectory(options.cwd) ??
    inProgram(code, options) ??
    inSystem(code) ?? { what: String(cause) }
  const message = `cannot start ${quote(options.command[0])}: ${finding.what}`
  return new PluginError('ERR_PROCESS_SPAWN', message, {
    cause,
    ...(finding.hint !== undefined && { hint: finding.hint })
  })
}

function inDirectory(cwd: string | undefined): Finding | undefined {
  if (cwd === undefined) return undefined
  const stat = statOf(cwd)
  if (stat === undefined) {
    return {
      what: `its working directory ${quote(cwd)} does not exist`,
      hint: 'Create the directory, or correct cwd.'
    }
  }
  if (stat.isDirectory()) return undefined
  return { what: `its working directory ${quote(cwd)} is not a directory`, hint: 'Correct cwd.' }
}

function inProgram(code: string, options: Attempt): Finding | undefined {
  if (code !== 'ENOENT' && code !== 'EACCES') return undefined
  const path = findProgram(options)
  const stat = path === undefined ? undefined : statOf(path)
  if (path === undefined || stat === undefined) return notFound(path, options.env['PATH'])

  if (stat.isDirectory()) {
    return { what: `${quote(path)} is a directory`, hint: 'Name the program inside it.' }
  }
  const mode = (stat.mode & 0o7777).toString(8).padStart(4, '0')
  if (!mayExecute(path)) {
    return {
      what: `${quote(path)} is not executable (mode ${mode}, owner ${stat.uid}:${stat.gid})`,
      hint: `Run chmod +x on it, or put its interpreter first in the command, as in ['node', 'plugin.js'].`
    }
  }
  return code === 'ENOENT' ? inInterpreter(path) : notPermitted(path, mode)
}

/** The file that would be started; undefined when a name without a slash is not found in PATH. */
export function findProgram(options: Attempt): string | undefined {
  const [file] = options.command
  return file.includes('/') ? resolve(options.cwd ?? '.', file) : searchPath(file, options)
}

function notFound(path: string | undefined, searched: string | undefined): Finding {
  if (path !== undefined) {
    return { what: `${quote(path)} does not exist`, hint: 'Correct the path, or build the plugin first.' }
  }
  return {
    what: 'no such program was found in PATH',
    hint:
      searched === undefined
        ? 'The environment of the plugin has no PATH. Give one, or the full path of the program.'
        : `Searched ${searched}. Install the program, or give its full path.`
  }
}

/** The program exists and may be executed, yet the system found something missing: what it is run by. */
function inInterpreter(path: string): Finding {
  const head = firstBytes(path)
  const interpreter = /^#![ \t]*([^\s]+)/.exec(head)?.[1]
  if (interpreter !== undefined && /^#![^\n]*\r\n/.test(head)) {
    return {
      what: `the first line of ${quote(path)} ends in a carriage return, which becomes part of its interpreter's name`,
      hint: 'Save the file with Unix line ends.'
    }
  }
  if (interpreter !== undefined) {
    return {
      what: `its interpreter ${quote(interpreter)}, named in the first line of ${quote(path)}, does not exist`,
      hint: 'Install the interpreter or correct that line; #!/usr/bin/env NAME searches for it in PATH.'
    }
  }
  return {
    what: `${quote(path)} exists, but not the dynamic loader it needs`,
    hint: 'It was probably built for another system or C library (glibc, musl). Build it for this one.'
  }
}

function notPermitted(path: string, mode: string): Finding {
  return {
    what: `${quote(path)} may not be executed though its mode ${mode} allows it`,
    hint: 'Look whether its file system is mounted noexec, whether each directory above it may be entered, and for a security policy.'
  }
}

function inSystem(code: string): Finding | undefined {
  switch (code) {
    case 'E2BIG':
      return {
        what: 'arguments and environment are too long (E2BIG)',
        hint: 'Pass large values in a file, or over the stream.'
      }
    case 'EAGAIN':
    case 'ENOMEM':
      return {
        what: `no room for another process (${code})`,
        hint: 'Raise the limit on processes or memory.'
      }
    case 'EMFILE':
    case 'ENFILE':
      return {
        what: `no room for another open file (${code})`,
        hint: 'Raise the limit on open files (ulimit -n).'
      }
    case 'ETXTBSY':
      return {
        what: 'the file is open for writing (ETXTBSY)',
        hint: 'Wait until its build or copy is complete.'
      }
    default:
      return undefined
  }
}

/** The first executable of that name, as the system looks for it; else the first file that only has the name. */
function searchPath(file: string, options: Pick<Attempt, 'cwd' | 'env'>): string | undefined {
  const directories = options.env['PATH']?.split(delimiter) ?? []
  const candidates = directories.map((directory) => join(resolve(options.cwd ?? '.', directory), file))
  const present = candidates.filter((path) => statOf(path) !== undefined)
  return present.find((path) => statOf(path)?.isFile() === true && mayExecute(path)) ?? present[0]
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path)
  } catch {
    return undefined
  }
}

function mayExecute(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function firstBytes(path: string): string {
  const bytes = Buffer.alloc(256)
  try {
    const fd = openSync(path, 'r')
    try {
      return bytes.toString('latin1', 0, readSync(fd, bytes))
    } finally {
      closeSync(fd)
    }
  } catch {
    return ''
  }
}

function quote(text: string): string {
  return JSON.stringify(text)
}
