import { setTimeout as delay } from 'node:timers/promises'
import { type ServiceImplementation, callError } from 'muxplug/plugin'
import type { Echo, EchoRequest } from '#proto/echo/v1/echo.js'

/** One method of every kind. */
export const echo: ServiceImplementation<typeof Echo> = {
  echo: ({ text, payload }) => ({ text, payload }),

  async *repeat({ text, payload, count }) {
    for (let index = 0; index < count; index += 1) yield { text, payload, index }
  },

  async collect(requests) {
    const all: EchoRequest[] = []
    for await (const request of requests) all.push(request)
    return {
      text: all.map(({ text }) => text).join(''),
      payload: Buffer.concat(all.map(({ payload }) => payload)),
      count: all.length
    }
  },

  async *chat(requests) {
    let index = 0
    for await (const { text, payload } of requests) {
      yield { text, payload, index }
      index += 1
    }
  },

  async sleep({ ms }, { signal }) {
    await delay(ms, undefined, { signal })
    return {}
  },

  fail({ code, details }) {
    throw callError(code, details)
  }
}
