import { cases } from './cases.js'
import { rows } from './rows.js'
import type { CellRequest } from './cell.js'

/** The host process of one cell: its request is the argument, its answer one line on stdout. */
const request = JSON.parse(process.argv[2]!) as CellRequest
const row = rows.find(({ name }) => name === request.row)!
const { measure } = cases.find(({ name }) => name === request.case)!
if (row.host.t !== 'node') throw new Error(`${row.name} has a host program of its own`)

// Whoever asked holds the other end: without him nothing is to go on.
process.stdin.resume().on('close', () => process.exit(1))
process.stdin.unref()

const metrics = await measure({ ...request, open: row.host.open })
console.log(JSON.stringify(metrics))
process.exit(0)
