import t from 'tap'
import { createProgress, formatProgress } from '../../benchmarks/progress.js'

t.test('the time left follows from that taken', (t) => {
  t.equal(formatProgress(0, 4, 'dial per-dial', 0), '1 of 4, dial per-dial')
  t.equal(formatProgress(1, 4, 'dial per-dial', 25_000), '2 of 4, dial per-dial, 1:15 left')
  t.equal(formatProgress(3, 4, 'dial per-dial', 15_001), '4 of 4, dial per-dial, 0:06 left')
  t.end()
})

t.test('a terminal gets one line, written over and taken away', (t) => {
  const written: string[] = []
  const progress = createProgress({ isTTY: true, columns: 10, write: (text: string) => !!written.push(text) })
  progress.show(0, 4, 'dial per-dial')
  progress.clear()
  t.same(written, ['\r\u001B[K1 of 4, d', '\r\u001B[K'])
  t.end()
})

t.test('what is no terminal gets nothing', (t) => {
  const written: string[] = []
  const progress = createProgress({
    isTTY: false,
    columns: 80,
    write: (text: string) => !!written.push(text)
  })
  progress.show(0, 4, 'dial per-dial')
  progress.clear()
  t.same(written, [])
  t.end()
})
