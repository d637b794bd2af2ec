import { cpus, release, totalmem } from 'node:os'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Report } from './results.js'

export const packageRoot = dirname(fileURLToPath(import.meta.resolve('muxplug/package.json')))

/** What is measured on. */
export function describeMachine(): Report['machine'] {
  const all = cpus()
  return {
    cpu: all[0]?.model.trim() ?? 'unknown',
    cores: all.length,
    memoryBytes: totalmem(),
    system: `${process.platform} ${release()} ${process.arch}`
  }
}
