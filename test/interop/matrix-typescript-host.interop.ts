// A host of this package and plugins of both languages on go-plugin's own transports.
import { runCases } from './cases.js'
import { testMatrix } from './matrix.js'

testMatrix({ language: 'TypeScript', run: runCases })
