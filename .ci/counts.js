// Prints "PASSED FAILED" from the totals line at the end of a tap run: # { total: 78, pass: 77, fail: 1 }
import { readFileSync } from 'node:fs'

const output = readFileSync(process.argv[2], 'utf8')
const totals = output.match(/# \{ total: \d+[^}]*\}/g)?.at(-1) ?? ''
const count = (word) => Number(new RegExp(`\\b${word}: (\\d+)`).exec(totals)?.[1] ?? 0)
console.log(`${count('pass')} ${count('fail')}`)
