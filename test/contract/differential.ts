import { isDeepStrictEqual } from 'node:util'
import { assert, asyncProperty } from 'fast-check'
import type { Test } from 'tap'
import { play, type Carrier } from './differential-play.js'
import {
  answersMany,
  crowds,
  messageOf,
  requestsOf,
  responsesOf,
  scenarioFrom,
  type Scenario,
  type ScenarioChange
} from './differential-scenario.js'
import { hashOf, type CallerView, type HandlerView, type Transcript } from './differential-stage.js'

/** A scenario that is played in every run, with what it shows. */
export interface KeptCase {
  readonly title: string
  readonly scenario: ScenarioChange
}

/** A difference that is known: a fault of one carrier, which every other one is allowed to be without. */
export interface AllowedDifference {
  readonly name: string
  /** Name of the carrier that has the fault. */
  readonly carrier: string
  readonly reason: string
  /** It depends on time, so that a kept case need not show it. Default false. */
  readonly rare?: boolean
  /** Whether the transcript of that carrier differs from another in this and in nothing else. */
  readonly explains: (scenario: Scenario, faulty: Transcript, other: Transcript) => boolean
}

export interface DifferentialOptions {
  readonly cases: readonly KeptCase[]
  readonly allowed: readonly AllowedDifference[]
  /** Of the random scenarios. */
  readonly runs: number
  readonly seed: number
  /** Of the one scenario to replay, as fast-check prints it. */
  readonly path?: string | undefined
  /**
   * How long the random scenarios, and the search for a smaller one that fails, may take together. Default:
   * any time.
   */
  readonly limitMs?: number | undefined
}

/**
 * Plays scenarios on every carrier, and expects callers and handlers to see the same, but for what is
 * allowed.
 */
export function differential(
  t: Test,
  carriers: readonly Carrier[],
  { cases, allowed, runs, seed, path, limitMs }: DifferentialOptions
): void {
  const hit = new Set<string>()

  t.test('kept cases', async (t) => {
    for (const { title, scenario } of cases) {
      t.test(title, async () => {
        for (const name of await compare(carriers, [scenarioFrom(scenario)], allowed)) hit.add(name)
      })
    }
  })

  t.test('no allowed difference is out of date: each occurs in a kept case', async (t) => {
    const wanted = allowed.filter(({ rare = false }) => !rare).map(({ name }) => name)
    t.strictSame(
      wanted.filter((name) => !hit.has(name)),
      []
    )
  })

  t.test(`random scenarios, seed ${seed}`, async () => {
    const property = asyncProperty(crowds, async (crowd) => {
      await compare(carriers, crowd, allowed)
    })
    await assert(property, {
      seed,
      numRuns: runs,
      ...(path !== undefined && { path }),
      // Shrinking has to end before tap ends the file.
      ...(limitMs !== undefined && { interruptAfterTimeLimit: limitMs, markInterruptAsFailure: true })
    })
  })
}

interface Played {
  readonly name: string
  readonly transcripts: readonly Transcript[]
}

/**
 * Plays scenarios at the same time on one connection of each carrier. Gives the names of the allowed
 * differences that were seen.
 * @throws Error with the scenario and the transcripts, for any other difference and for a call that carried
 * what it was not given
 */
export async function compare(
  carriers: readonly Carrier[],
  crowd: readonly Scenario[],
  allowed: readonly AllowedDifference[] = []
): Promise<ReadonlySet<string>> {
  const played: Played[] = []
  for (const carrier of carriers) {
    played.push({ name: carrier.name, transcripts: await play(carrier, crowd) })
  }
  const seen = new Set<string>()
  for (const [index, scenario] of crowd.entries()) {
    const sights = played.map(({ name, transcripts }) => ({ name, transcript: transcripts[index]! }))
    for (const name of compareOne(scenario, sights, allowed)) seen.add(name)
  }
  return seen
}

interface Sight {
  readonly name: string
  readonly transcript: Transcript
}

function compareOne(
  scenario: Scenario,
  sights: readonly Sight[],
  allowed: readonly AllowedDifference[]
): readonly string[] {
  const seen: string[] = []
  const excused = new Set<string>()
  for (const [index, one] of sights.entries()) {
    for (const other of sights.slice(index + 1)) {
      if (alike(scenario, one.transcript, other.transcript)) continue
      const explained = allowed.find(
        ({ carrier, explains }) =>
          (carrier === one.name && explains(scenario, one.transcript, other.transcript)) ||
          (carrier === other.name && explains(scenario, other.transcript, one.transcript))
      )
      if (explained === undefined) {
        throw new Error(`${one.name} and ${other.name} differ\n${told(scenario, [one, other])}`)
      }
      seen.push(explained.name)
      excused.add(explained.carrier)
    }
  }
  for (const sight of sights) {
    const fault = excused.has(sight.name) ? undefined : faultOf(scenario, sight.transcript)
    if (fault !== undefined) throw new Error(`${sight.name}: ${fault}\n${told(scenario, [sight])}`)
  }
  return seen
}

/** What a failure is reported with: the scenario can be kept as a case. */
function told(scenario: Scenario, sights: readonly Sight[]): string {
  const parts = sights.map(({ name, transcript }) => `${name} ${JSON.stringify(transcript, null, 2)}`)
  return [`scenario ${JSON.stringify(scenario)}`, ...parts].join('\n')
}

/**
 * What is wrong with a transcript by itself: a call has to carry what it was given, and to end as the handler
 * says.
 */
function faultOf(scenario: Scenario, { caller, handler }: Transcript): string | undefined {
  if (caller === 'hung') return 'the call, or its handler, does not end'
  if (caller.outcome.t !== 'status') return undefined
  const { outcome, surplus } = scenario.handler
  const { code, details } = caller.outcome
  const complete = isDeepStrictEqual(caller.messages, responsesOf(scenario).map(hashOf))
  if (code !== 0) {
    const asSaid = outcome.t === 'status' && code === outcome.code && details === outcome.details
    return asSaid && !complete && !dropsResponses(scenario, caller) ? 'responses are lost' : undefined
  }
  const well = outcome.t === 'ok' || (outcome.t === 'status' && outcome.code === 0)
  if (!well && surplus === 'none') return 'the call ended well, which it should not'
  if (!complete) return 'responses are not as sent'
  const requests = requestsOf(scenario).map((spec) => hashOf(messageOf(spec)))
  if (handler.length !== 1) return `the handler ran ${handler.length} times`
  if (handler.some(({ messages }) => !isStartOf(messages, requests))) return 'requests are not as sent'
  return undefined
}

/** Whether two transcripts of a scenario are the same, but for what time decides. */
function alike(scenario: Scenario, one: Transcript, other: Transcript): boolean {
  return (
    alikeForCaller(scenario, one.caller, other.caller) &&
    alikeForHandler(scenario, one.handler, other.handler)
  )
}

export function alikeForCaller(
  scenario: Scenario,
  one: Transcript['caller'],
  other: Transcript['caller']
): boolean {
  if (one === 'hung' || other === 'hung') return one === other
  if (!dropsResponses(scenario, one)) return isDeepStrictEqual(one, other)
  return (
    isDeepStrictEqual(withoutMessages(one), withoutMessages(other)) &&
    (isStartOf(one.messages, other.messages) || isStartOf(other.messages, one.messages))
  )
}

/**
 * How many responses a caller gets before an error depends on when they arrive: where the caller itself ends
 * the call at one that is too large; and in an async iterable, since a Readable that fails forgets what it
 * holds.
 */
function dropsResponses({ kind, caller }: Scenario, { outcome }: CallerView): boolean {
  if (outcome.t === 'status' && outcome.code === 0) return false
  return caller.maxReceiveBytes !== null || (caller.api === 'typed' && answersMany(kind))
}

function withoutMessages({ header, outcome }: CallerView): Partial<CallerView> {
  return { header, outcome }
}

export function alikeForHandler(
  scenario: Scenario,
  one: readonly HandlerView[],
  other: readonly HandlerView[]
): boolean {
  if (!racesHandler(scenario)) return isDeepStrictEqual(one, other)
  const [a, b] = [one[0], other[0]]
  if (one.length > 1 || other.length > 1) return false
  if (a === undefined || b === undefined) return true
  return (
    isDeepStrictEqual({ ...a, ...undecided }, { ...b, ...undecided }) &&
    (isStartOf(a.messages, b.messages) || isStartOf(b.messages, a.messages))
  )
}

const undecided: Pick<HandlerView, 'messages' | 'ended' | 'cancelled'> = {
  messages: [],
  ended: false,
  cancelled: false
}

/**
 * Whether the call ends while requests are on their way: the handler may have seen them, a part, or nothing.
 */
function racesHandler({ caller, handler }: Scenario): boolean {
  const short = caller.deadline !== 'none' && caller.deadline !== 'generous'
  const limits = [caller.maxReceiveBytes, caller.maxSendBytes, handler.maxReceiveBytes, handler.maxSendBytes]
  return short || limits.some((limit) => limit !== null)
}

export function isStartOf(part: readonly string[], whole: readonly string[]): boolean {
  return part.length <= whole.length && part.every((message, index) => message === whole[index])
}
