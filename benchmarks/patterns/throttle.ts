// A slow link: starts a program and lets so many bytes a second through to its stdin. `throttle.js RATE PROGRAM ARGS...`
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { pipeline } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'

const [bytesPerSecond, program, ...args] = process.argv.slice(2)
const bytesPerMs = Number(bytesPerSecond) / 1000
const child = spawn(program!, args, { stdio: ['pipe', 'inherit', 'inherit'] })
const exited = once(child, 'exit')

async function* throttled(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const stepBytes = Math.max(1, Math.floor(bytesPerMs * 5))
  let free = performance.now()
  for await (const chunk of source) {
    for (let at = 0; at < chunk.length; at += stepBytes) {
      const piece = chunk.subarray(at, at + stepBytes)
      yield piece
      free = Math.max(free, performance.now()) + piece.length / bytesPerMs
      const ms = free - performance.now()
      if (ms >= 1) await delay(ms)
    }
  }
}

// The plugin may leave while something is on its way to it.
await pipeline(process.stdin, throttled, child.stdin).catch(() => {})
await exited
process.exit()
