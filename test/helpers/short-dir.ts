import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

/** A directory for sockets, gone after the test. Short: the path of a socket has a limit. */
export function shortDir(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'sock-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}
