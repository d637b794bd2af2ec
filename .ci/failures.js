// Prints what failed in the TAP output of a suite: the path of test names to each failed assertion, with its diagnostics.
import { readFileSync } from 'node:fs'

const maxLines = 40

const names = []
let diagnostics = 0
let depth = -1
for (const line of readFileSync(process.argv[2], 'utf8').split('\n')) {
  const text = line.trimStart()
  const level = (line.length - text.length) / 4
  const subtest = /^# Subtest: (.*)/.exec(text)
  if (subtest) {
    names.length = Math.floor(level)
    names.push(subtest[1])
    diagnostics = 0
  } else if (/^not ok \d+/.test(text) && !/# (TODO|SKIP)/.test(text)) {
    depth = line.length - text.length
    diagnostics = maxLines
    console.log(`  ${names.slice(0, Math.floor(level)).join(' > ')}: ${text}`)
  } else if (diagnostics > 0) {
    const ended = text !== '' && line.length - text.length < depth + 2
    if (ended) diagnostics = 0
    else if (diagnostics--) console.log(`    ${line.slice(depth)}`)
    if (text === '...') diagnostics = 0
  }
}
