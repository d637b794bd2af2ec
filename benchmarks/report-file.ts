import { readFile } from 'node:fs/promises'
import { type Report, metricNames } from './results.js'

/** Says what a value has to be when it is something else. */
type Check = (value: unknown, path: string) => void

const text = be('a text', (value) => typeof value === 'string')
const amount = be('a number from 0', (value) => typeof value === 'number' && value >= 0)
const count = be('a whole number above 0', (value) => Number.isSafeInteger(value) && Number(value) > 0)
const metric = be('the name of a metric', (value) => metricNames.some((name) => name === value))

const key = { case: text, row: text }

/** As docs/benchmarks.md describes it. */
const checkReport = object({
  date: text,
  machine: object({ cpu: text, cores: amount, memoryBytes: amount, system: text }),
  versions: (value, path) => {
    be('an object', isObject)(value, path)
    for (const [name, version] of Object.entries(value as object)) text(version, `${path}.${name}`)
  },
  commit: be('a text or null', (value) => value === null || typeof value === 'string'),
  options: object({ rounds: count, durationMs: amount, warmUpMs: amount }),
  results: list(
    object({ ...key, metric, unit: text, median: amount, min: amount, max: amount, runs: list(amount) })
  ),
  ratios: list(object({ ...key, metric, vs: text, ratio: amount, low: amount, high: amount })),
  missing: list(object({ ...key, reason: text }))
})

/** Reads a file that `--json` wrote. Rejects with what is wrong with it, and where. */
export async function readReport(file: string): Promise<Report> {
  const content = await readFile(file, 'utf8')
  try {
    return parseReport(content)
  } catch (error) {
    throw new Error(`${file}: ${(error as Error).message}`, { cause: error })
  }
}

/** @throws Error that says what is wrong, and where. */
export function parseReport(content: string): Report {
  const value: unknown = JSON.parse(content)
  checkReport(value, 'the report')
  return value as Report
}

function be(what: string, is: (value: unknown) => boolean): Check {
  return (value, path) => {
    if (!is(value)) throw new Error(`${path} has to be ${what}, not ${shown(value)}`)
  }
}

function object(members: Readonly<Record<string, Check>>): Check {
  return (value, path) => {
    be('an object', isObject)(value, path)
    for (const [name, check] of Object.entries(members)) {
      check((value as Record<string, unknown>)[name], `${path}.${name}`)
    }
  }
}

function list(check: Check): Check {
  return (value, path) => {
    be('a list', Array.isArray)(value, path)
    for (const [index, one] of (value as unknown[]).entries()) check(one, `${path}[${index}]`)
  }
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function shown(value: unknown): string {
  return value === undefined ? 'missing' : JSON.stringify(value).slice(0, 60)
}
