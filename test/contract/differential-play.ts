import type { ChannelInterface } from '@grpc/grpc-js'
import { createClient } from '../../lib/grpc/client.js'
import type { Encoding } from '../../lib/grpc/compression.js'
import type { ServiceBinding } from '../../lib/grpc/handler.js'
import { settlesWithin } from '../../lib/signal.js'
import { callOf, delayTimers } from './differential-callers.js'
import { scriptOf } from './differential-handlers.js'
import {
  answersMany,
  plainScenario,
  type CallerPart,
  type HandlerPart,
  type Scenario
} from './differential-scenario.js'
import {
  createStage,
  differentialService,
  nextTurn,
  type CallerView,
  type DifferentialService,
  type Transcript
} from './differential-stage.js'

/** A way from a channel to a server. */
export interface Carrier {
  readonly name: string
  readonly open: (setup: CarrierSetup) => Promise<OpenCarrier>
}

/**
 * What a carrier is to connect. A limit that is left out is the carrier's own, and more than any message
 * here.
 */
export interface CarrierSetup {
  readonly services: readonly ServiceBinding[]
  readonly channelOptions: MessageLimits & { readonly compression: Encoding }
  readonly serverOptions: MessageLimits
}

export interface MessageLimits {
  readonly maxReceiveBytes?: number
  readonly maxSendBytes?: number
}

export interface OpenCarrier {
  readonly channel: ChannelInterface
  /** Ends channel and server, and whatever hangs. */
  close(): Promise<void> | void
}

/**
 * Plays the scenarios at the same time on one new connection, with the limits and the compression of the
 * first. A call that takes longer than `hangMs` is told as hung.
 */
export async function play(
  { open }: Carrier,
  scenarios: readonly Scenario[],
  hangMs = 20_000
): Promise<readonly Transcript[]> {
  const [{ caller, handler } = plainScenario] = scenarios
  const acts = scenarios.map((scenario, index) => {
    const service = differentialService(index)
    const stage = createStage()
    return { scenario, service, stage, script: scriptOf(service, scenario, stage) }
  })
  const opened = await open({
    services: acts.map(({ script }) => script.binding),
    channelOptions: { ...limitsOf(caller), compression: caller.compression },
    serverOptions: limitsOf(handler)
  })
  try {
    return await Promise.all(acts.map((act) => playAct(opened.channel, act, hangMs)))
  } finally {
    await opened.close()
  }
}

function limitsOf({ maxReceiveBytes, maxSendBytes }: CallerPart | HandlerPart): MessageLimits {
  return {
    ...(maxReceiveBytes !== null && { maxReceiveBytes }),
    ...(maxSendBytes !== null && { maxSendBytes })
  }
}

interface Act {
  readonly scenario: Scenario
  readonly service: DifferentialService
  readonly stage: ReturnType<typeof createStage>
  readonly script: ReturnType<typeof scriptOf>
}

async function playAct(channel: ChannelInterface, act: Act, hangMs: number): Promise<Transcript> {
  const { scenario, service, stage, script } = act
  const { caller, handler } = scenario
  const fence = async (): Promise<void> => {
    await createClient(service, channel).fence(Buffer.alloc(0))
  }
  // A short deadline is for the call, not for the connection.
  if (caller.deadline !== 'none') await fence()
  const timers = delayTimers(caller.deadline)

  const run = async (): Promise<CallerView> => {
    const view = await callOf(service, channel, scenario, stage, timers)
    stage.ended.resolve()
    // A call made later arrives later: by then the handler has begun, or never will.
    await fence()
    // Who sends a call that is cancelled already does not always tell the handler.
    if (caller.cancel !== 'before start') await script.over()
    return view
  }
  /** The handler is done, and many calls were made since. */
  const overtaken = async (): Promise<void> => {
    await script.begun
    await script.over()
    for (let made = 0; made < 40; made += 1) await fence()
  }

  const running = run()
  try {
    const answeredTwice = handler.surplus !== 'none' && !answersMany(scenario.kind)
    const stuck = answeredTwice ? [overtaken()] : []
    const done =
      (await settlesWithin(Promise.race([running, ...stuck]), hangMs)) && (await isSettled(running))
    return {
      caller: done ? await running : 'hung',
      handler: script.views.map((view) => ({ ...view, messages: [...view.messages] }))
    }
  } finally {
    timers.restore()
    stage.ended.resolve()
    running.catch(() => {})
  }
}

async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol('pending')
  return (await Promise.race([promise, nextTurn(pending)])) !== pending
}
