import { deepEqual } from 'node:assert/strict'
import { parseLine } from '../../lib/handshake/line.js'
import type { Micro } from './list.js'

/** What a host reads when a plugin starts. */
export const handshake: readonly Micro[] = [
  {
    name: 'handshake-parse',
    text: 'the line of a plugin on a descriptor of its own',
    run: () => parseLine('1|1|fd|3|grpc||true|direct,h2'),
    check: (line) =>
      deepEqual(line, {
        ok: {
          appVersion: 1,
          network: 'fd',
          address: '3',
          protocol: 'grpc',
          multiplex: true,
          wires: ['direct', 'h2']
        }
      })
  }
]
