// The Echo service for hosts of both languages; go/echo/echo.go is the same in Go.
import { callError, createPluginLogger, implement, serve } from 'muxplug/plugin'
import { Echo } from 'muxplug/proto/echo/v1/echo.js'

const logger = createPluginLogger({ name: 'echo', level: 'trace' })

function utf8(bytes) {
  return Buffer.from(bytes).toString()
}

await serve({
  handshake: { cookieKey: 'ECHO_PLUGIN', cookieValue: 'echo', protocolVersion: 1 },
  orphanTimeoutMs: Number(process.env.ORPHAN_TIMEOUT_MS ?? 10_000),
  services: (broker) => [
    implement(Echo, {
      async echo({ text, payload }, { signal }) {
        switch (text) {
          case 'call-back': {
            // The payload names the ID of a service of the host, which is called once and left.
            const connection = broker.dial(Buffer.from(payload).readUInt32BE(0))
            const answer = await connection.dispense(Echo).echo({ text: 'called back' })
            await connection.close()
            return answer
          }
          case 'serve': {
            const served = broker.serve(Echo, { echo: ({ text }) => ({ text: `brokered ${text}` }) })
            // A multiplexed dial from Go does not wait for its accept: it is refused at once.
            await served.ready
            return { text: String(served.id) }
          }
          case 'hang':
            await new Promise((resolve) => signal.addEventListener('abort', resolve))
            console.error('cancelled')
            throw signal.reason
          case 'crash':
            setImmediate(() => {
              throw new Error('boom in the plugin')
            })
            return new Promise(() => {})
          case 'print':
            process.stdout.write(`out ${utf8(payload)}\n`)
            process.stderr.write(`err ${utf8(payload)}\n`)
            break
          case 'log':
            logger.warn({ answer: 42 }, utf8(payload))
            break
        }
        return { text, payload }
      },
      async *repeat({ text, count, payload }) {
        for (let index = 0; index < count; index++) yield { text, payload, index }
      },
      async collect(requests) {
        const texts = []
        const payloads = []
        for await (const { text, payload } of requests) {
          texts.push(text)
          payloads.push(payload)
        }
        return { text: texts.join(''), payload: Buffer.concat(payloads), count: texts.length }
      },
      async *chat(requests) {
        let index = 0
        for await (const { text, payload } of requests) yield { text, payload, index: index++ }
      },
      sleep: ({ ms }, { signal }) =>
        new Promise((resolve, reject) => {
          const timer = setTimeout(() => resolve({}), ms)
          signal.addEventListener('abort', () => {
            clearTimeout(timer)
            reject(signal.reason)
          })
        }),
      fail({ code, details }) {
        throw callError(code, details)
      }
    })
  ]
})
