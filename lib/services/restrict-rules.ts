import { checkBytes, invalidOption } from '../check.js'
import { PluginError } from '../errors.js'
import { checkDuration } from '../signal.js'
import { type PathGlob, foldName, parseGlob, pathNames } from './path-glob.js'

/**
 * Which methods may be called. A method is named as `readFile`, `ReadFile`, or by its path
 * `/package.Service/ReadFile`.
 */
export interface MethodRule {
  /** What refusals and records call the rule. Default `methods`. */
  readonly name?: string
  /** These and no others. Default: all. */
  readonly allow?: readonly string[]
  /** Not these, whatever `allow` says. */
  readonly deny?: readonly string[]
}

/**
 * Which paths requests may name: relative ones, with `/` between names. `.`, doubled slashes and a slash at
 * the end are left out before globs are looked at; a path that is absolute, has a `..` or a NUL, or has more
 * than 4096 characters is refused whatever they say.
 *
 * In a glob `*` is any characters of one name, also a dot at its begin; the name `**` is any number of names,
 * also none; `.` is the directory itself. There is nothing else, and what other globs take for a pattern is
 * refused.
 */
export interface PathRule {
  /** Default: `path of readFile, stat`, with the methods as given. */
  readonly name?: string
  readonly methods: readonly string[]
  /**
   * The fields of the request that hold a path: text, bytes, or a list of them; `from.path` for a field of a
   * field, also of each message in a list. Give all that the service takes a path from: each must be there
   * and be allowed, and one that is empty is the directory itself. A list of fields stands for one path that
   * may come in any of them: those that are empty are left out while another is not.
   */
  readonly fields: readonly (string | readonly string[])[]
  /** Globs, one of which must match, letter for letter. Default: all paths. */
  readonly allow?: readonly string[]
  /**
   * Globs, none of which may match. Upper and lower case, composed and decomposed characters are the same
   * here, as some file systems have it.
   */
  readonly deny?: readonly string[]
  /**
   * Whether the messages of a stream after the first may come without a path: those of an upload. Default
   * false.
   */
  readonly optional?: boolean
}

/** How much may go one way. Each left out: no limit. */
export interface SizeLimits {
  /** Bytes of one message, as encoded and without compression. */
  readonly maxMessageBytes?: number
  /** Bytes of all messages of a call. */
  readonly maxBytes?: number
  /** Messages of a call. */
  readonly maxMessages?: number
}

/** How much a call may ask, and be answered. */
export interface SizeRule {
  /** Default `size`, or `size of readFile`. */
  readonly name?: string
  /** Default: all. */
  readonly methods?: readonly string[]
  readonly request?: SizeLimits
  readonly response?: SizeLimits
}

/** How often the methods may be called, all together. Each limit left out: none. */
export interface RateRule {
  /** Default `rate`, or `rate of readFile`. */
  readonly name?: string
  /** Default: all. */
  readonly methods?: readonly string[]
  /** Calls in `perMs` on average, and as many at once after a pause. */
  readonly calls?: number
  /**
   * Bytes of messages in `perMs`, both ways together, on average and at once after a pause. A message of more
   * bytes than this never passes.
   */
  readonly bytes?: number
  /** Default 1000. */
  readonly perMs?: number
  /** Calls at the same time. */
  readonly concurrent?: number
}

export interface Rules {
  readonly methods?: MethodRule
  readonly paths?: readonly PathRule[]
  readonly sizes?: readonly SizeRule[]
  readonly rates?: readonly RateRule[]
}

/** What holds for the calls of one method. */
export interface Plan {
  /** `/package.Service/Method` */
  readonly method: string
  /** The rule that refuses every call. */
  readonly closedBy: string | undefined
  readonly paths: readonly PathPlan[]
  readonly request: readonly SizePlan[]
  readonly response: readonly SizePlan[]
  readonly rates: readonly Rate[]
}

export interface PathPlan {
  readonly rule: string
  readonly optional: boolean
  /** The paths that a message names, by field; none for one that is not there. */
  readonly pathsOf: (message: unknown) => readonly (readonly unknown[])[]
  readonly allows: (path: unknown) => boolean
}

export interface SizePlan {
  readonly rule: string
  readonly limits: SizeLimits
}

/** State that the calls of a rule share. */
export interface Rate {
  readonly rule: string
  /** Why no call may begin now. */
  begin(): string | undefined
  /** After a call for which `begin` had no objection. */
  end(): void
  /** Why these bytes may not pass now; undefined where bytes are not limited. */
  readonly pass: ((bytes: number) => string | undefined) | undefined
}

/** Whether a plan's rules ask how many bytes messages have. */
export function needsBytes({ request, response, rates }: Plan): boolean {
  const limited = ({ limits }: SizePlan): boolean =>
    limits.maxBytes !== undefined || limits.maxMessageBytes !== undefined
  return [...request, ...response].some(limited) || rates.some(({ pass }) => pass !== undefined)
}

/** The methods of a service, as they may be named. */
export interface MethodNames {
  /** Paths of all that can be called. */
  readonly paths: readonly string[]
  /**
   * The paths that `name` stands for, also of methods that nobody implements; none: there is no such method.
   */
  find(name: string): readonly string[]
  /** A request of the method with nothing in it, where its fields can be seen. */
  emptyRequest(path: string): object | undefined
}

/** The name of a method in the .proto file: `ReadFile`. */
export function methodName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

/** Rules as {@link Plan}s, by the method's path. @throws `ERR_CONFIG_INVALID` */
export function compileRules(rules: Rules, names: MethodNames, now: () => number): Map<string, Plan> {
  const { methods, paths = [], sizes = [], rates = [] } = rules
  const closed = methods === undefined ? undefined : compileMethods(methods, names)
  const pathRules = list('paths', paths).map((rule, index) => compilePath(rule, `paths[${index}]`, names))
  const sizeRules = list('sizes', sizes).map((rule, index) => compileSize(rule, `sizes[${index}]`, names))
  const rateRules = list('rates', rates).map((rule, index) =>
    compileRate(rule, `rates[${index}]`, names, now)
  )
  const planOf = (method: string): Plan => {
    const sizesOf = (side: 'request' | 'response'): SizePlan[] =>
      sizeRules.flatMap(({ rule, covers, [side]: limits }) =>
        covers(method) && limits !== undefined ? [{ rule, limits }] : []
      )
    return {
      method,
      closedBy: closed?.(method),
      paths: pathRules.filter(({ covers }) => covers(method)).map(({ plan }) => plan),
      request: sizesOf('request'),
      response: sizesOf('response'),
      rates: rateRules.filter(({ covers }) => covers(method)).map(({ rate }) => rate)
    }
  }
  return new Map(names.paths.map((method) => [method, planOf(method)]))
}

type Covers = (method: string) => boolean

function compileMethods(rule: MethodRule, names: MethodNames): (method: string) => string | undefined {
  const { allow, deny } = checkKeys('methods', rule, ['name', 'allow', 'deny'])
  if (allow === undefined && deny === undefined) {
    throw invalidOption('methods', rule, 'Give the methods to allow, or those to deny.')
  }
  const name = checkName('methods', rule.name, 'methods')
  const allowed = covering('methods.allow', allow, names)
  const denied = deny === undefined ? (): boolean => false : covering('methods.deny', deny, names)
  return (method) => (allowed(method) && !denied(method) ? undefined : name)
}

function compilePath(rule: PathRule, option: string, names: MethodNames): { covers: Covers; plan: PathPlan } {
  const keys = ['name', 'methods', 'fields', 'allow', 'deny', 'optional'] as const
  const { methods, fields, allow, deny, optional = false } = checkKeys(option, rule, keys)
  if (methods === undefined || !Array.isArray(fields) || fields.length === 0) {
    throw invalidOption(option, rule, 'Name the methods, and the fields of their requests that hold a path.')
  }
  if (typeof optional !== 'boolean')
    throw invalidOption(`${option}.optional`, optional, 'Give true or false.')
  const allowed = allow === undefined ? undefined : anyGlob(`${option}.allow`, allow)
  const denied = deny === undefined ? undefined : anyGlob(`${option}.deny`, deny, foldName)
  const alternatives = fields.map((field: string | readonly string[]) =>
    checkFields(`${option}.fields`, typeof field === 'string' ? [field] : field)
  )
  const covers = coveredBy(`${option}.methods`, methods, names)
  for (const method of names.paths.filter(covers)) {
    const request = names.emptyRequest(method)
    const unknown = alternatives.flat().find(([name = '']) => request !== undefined && !(name in request))
    if (unknown === undefined) continue
    throw invalidOption(`${option}.fields`, unknown.join('.'), `The request of ${method} has no such field.`)
  }
  return {
    covers,
    plan: {
      rule: checkName(option, rule.name, nameOf('path', methods)),
      optional,
      pathsOf: (message) => alternatives.map((steps) => pathsIn(message, steps)),
      allows(path) {
        const names = pathNames(pathText(path))
        if (names === undefined || allowed?.(names) === false) return false
        return denied === undefined || !denied(names.map(foldName))
      }
    }
  }
}

/** A path as text; one that is none as a text that no rule allows. */
function pathText(path: unknown): string {
  if (typeof path === 'string') return path
  if (!(path instanceof Uint8Array)) return '..'
  // Bytes that are no text become a character that no glob names.
  return Buffer.from(path.buffer, path.byteOffset, path.byteLength).toString()
}

type Steps = readonly string[]

function checkFields(option: string, fields: readonly string[]): readonly Steps[] {
  const bad = texts(option, fields).find((field) => !/^[^.]+(?:\.[^.]+)*$/.test(field))
  if (bad === undefined && fields.length > 0) return fields.map((field) => field.split('.'))
  throw invalidOption(option, bad ?? fields, 'Name a field of a request, or a field of a field: "from.path".')
}

/** What a message has for a path that may come in any of these fields. */
function pathsIn(message: unknown, alternatives: readonly Steps[]): readonly unknown[] {
  const found: unknown[] = []
  let empty: unknown
  for (const steps of alternatives) {
    for (const { value, listed } of valuesAt(message, steps, 0, false)) {
      const left = !listed && (value === '' || (value instanceof Uint8Array && value.length === 0))
      if (left) empty = value
      else found.push(value)
    }
  }
  return found.length === 0 && empty !== undefined ? [empty] : found
}

/**
 * The values of a field, and whether they come from a list, where an empty one is not one that is left out.
 */
function* valuesAt(
  value: unknown,
  steps: Steps,
  at: number,
  listed: boolean
): Generator<{ readonly value: unknown; readonly listed: boolean }> {
  if (value === undefined || value === null) return
  if (Array.isArray(value)) for (const item of value as unknown[]) yield* valuesAt(item, steps, at, true)
  else if (at === steps.length) yield { value, listed }
  else yield* valuesAt((value as Readonly<Record<string, unknown>>)[steps[at]!], steps, at + 1, listed)
}

/** Whether any of the globs matches; with `fold`, names are to come folded, too. */
function anyGlob(option: string, globs: readonly string[], fold = (name: string): string => name): PathGlob {
  const parsed = texts(option, globs).map((glob) => {
    const read = parseGlob(glob.split('/').map(fold).join('/'))
    if (read !== undefined) return read
    const hint = 'Write globs like "docs/**" or "**/*.key": relative, with no other patterns than * and **.'
    throw invalidOption(option, glob, hint)
  })
  return (names) => parsed.some((matches) => matches(names))
}

function compileSize(rule: SizeRule, option: string, names: MethodNames) {
  const { methods, request, response } = checkKeys(option, rule, ['name', 'methods', 'request', 'response'])
  if (request === undefined && response === undefined) {
    throw invalidOption(option, rule, 'Give limits for the request, or for the response.')
  }
  return {
    rule: checkName(option, rule.name, nameOf('size', methods)),
    covers: coveredBy(`${option}.methods`, methods, names),
    request: checkLimits(`${option}.request`, request),
    response: checkLimits(`${option}.response`, response)
  }
}

function checkLimits(option: string, limits: SizeLimits | undefined): SizeLimits | undefined {
  if (limits === undefined) return undefined
  const keys = ['maxMessageBytes', 'maxBytes', 'maxMessages'] as const
  const { maxMessageBytes, maxBytes, maxMessages } = checkKeys(option, limits, keys)
  if (maxMessageBytes !== undefined) checkBytes(`${option}.maxMessageBytes`, maxMessageBytes)
  checkCount(`${option}.maxBytes`, maxBytes)
  checkCount(`${option}.maxMessages`, maxMessages)
  if (maxMessageBytes === undefined && maxBytes === undefined && maxMessages === undefined)
    throw invalidOption(option, limits, `Give one of ${keys.join(', ')}.`)
  return { ...limits }
}

function compileRate(
  rule: RateRule,
  option: string,
  names: MethodNames,
  now: () => number
): { covers: Covers; rate: Rate } {
  const keys = ['name', 'methods', 'calls', 'bytes', 'perMs', 'concurrent'] as const
  const { methods, calls, bytes, perMs = 1000, concurrent = Infinity } = checkKeys(option, rule, keys)
  checkCount(`${option}.calls`, calls)
  checkCount(`${option}.bytes`, bytes)
  checkCount(`${option}.concurrent`, rule.concurrent)
  if (checkDuration(`${option}.perMs`, perMs) === Infinity)
    throw invalidOption(`${option}.perMs`, perMs, 'Give a finite number of milliseconds.')
  if (calls === undefined && bytes === undefined && rule.concurrent === undefined)
    throw invalidOption(option, rule, 'Give calls, bytes, or concurrent.')
  const takeCall = calls === undefined ? undefined : tokenBucket(calls, perMs, now)
  const takeBytes = bytes === undefined ? undefined : tokenBucket(bytes, perMs, now)
  let running = 0
  return {
    covers: coveredBy(`${option}.methods`, methods, names),
    rate: {
      rule: checkName(option, rule.name, nameOf('rate', methods)),
      begin() {
        if (running >= concurrent) return `more than ${concurrent} calls at once`
        if (takeCall?.(1) === false) return `more than ${calls} calls in ${perMs} ms`
        running += 1
        return undefined
      },
      end() {
        running -= 1
      },
      pass:
        takeBytes === undefined
          ? undefined
          : (count) => (takeBytes(count) ? undefined : `more than ${bytes} bytes in ${perMs} ms`)
    }
  }
}

/** Gives out `capacity` tokens in `perMs` on average, and as many at once after a pause. */
export function tokenBucket(capacity: number, perMs: number, now: () => number): (count: number) => boolean {
  let room = capacity
  let last = now()
  return (count) => {
    const time = now()
    room = Math.min(capacity, room + (Math.max(0, time - last) * capacity) / perMs)
    last = time
    if (count > room) return false
    room -= count
    return true
  }
}

/** The methods that a rule names; one that names none would say nothing. */
function coveredBy(option: string, methods: readonly string[] | undefined, names: MethodNames): Covers {
  if (methods === undefined || texts(option, methods).length > 0) return covering(option, methods, names)
  throw invalidOption(option, methods, 'Name the methods, or leave it out: all.')
}

function covering(option: string, methods: readonly string[] | undefined, names: MethodNames): Covers {
  if (methods === undefined) return () => true
  const paths = new Set<string>()
  for (const name of texts(option, methods)) {
    const found = names.find(name)
    if (found.length === 0) {
      const known = names.paths.map(methodName)
      throw invalidOption(option, name, `The service has no such method. It has ${known.join(', ')}.`)
    }
    for (const path of found) paths.add(path)
  }
  return (method) => paths.has(method)
}

function nameOf(what: string, methods: readonly string[] | undefined): string {
  return methods === undefined ? what : `${what} of ${methods.join(', ')}`.slice(0, maxNameChars)
}

const maxNameChars = 200

function checkName(option: string, name: string | undefined, otherwise: string): string {
  if (name === undefined) return otherwise
  if (typeof name === 'string' && name !== '' && name.length <= maxNameChars) return name
  throw invalidOption(`${option}.name`, name, `Give a name of 1 to ${maxNameChars} characters.`)
}

/** A limit that is misspelt must not be one that is left out. */
export function checkKeys<T extends object>(option: string, value: T, keys: readonly (keyof T)[]): T {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalidOption(option, value, `Give an object with ${keys.join(', ')}.`)
  const unknown = Object.keys(value).find((key) => !keys.includes(key as keyof T))
  if (unknown === undefined) return value
  throw new PluginError('ERR_CONFIG_INVALID', `${option} has no option "${unknown}"`, {
    hint: `There are ${keys.join(', ')}.`
  })
}

function list<T>(option: string, values: readonly T[]): readonly T[] {
  if (Array.isArray(values)) return values
  throw invalidOption(option, values, 'Give a list of rules.')
}

function texts(option: string, values: readonly string[]): readonly string[] {
  if (Array.isArray(values) && values.every((value) => typeof value === 'string' && value !== ''))
    return values
  throw invalidOption(option, values, 'Give a list of texts.')
}

function checkCount(option: string, value: number | undefined): void {
  if (value === undefined || (Number.isSafeInteger(value) && value > 0)) return
  throw invalidOption(option, value, `Give ${option} as a whole number from 1.`)
}
