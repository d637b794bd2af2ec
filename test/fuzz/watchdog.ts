import { writeSync } from 'node:fs'
import { workerData } from 'node:worker_threads'

/** Of a thread beside the fuzzer: ends the process when one case keeps the event loop to itself. */
const { shared, replay, timeoutMs } = workerData as {
  /** The number of the case that is being played. */
  readonly shared: SharedArrayBuffer
  readonly replay: string
  readonly timeoutMs: number
}
const current = new Int32Array(shared)

for (;;) {
  const number = Atomics.load(current, 0)
  if (Atomics.wait(current, 0, number, timeoutMs) !== 'timed-out') continue
  writeSync(
    2,
    `\nCase ${number} has not ended in ${timeoutMs} ms. Replay it:\n  ${replay} --case ${number}\n`
  )
  process.kill(process.pid, 'SIGKILL')
}
