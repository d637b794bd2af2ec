import { DatabaseSync } from '@photostructure/sqlite'
import { callError, status } from 'muxplug/host'

/** A database file of one table, whose keys and values are bytes. */
export interface Store extends Disposable {
  /** For calls that are by themselves. */
  readonly main: Session
  /** Another connection to the file: it has a transaction of its own, and closing it rolls that back. */
  connect(): Session
}

export interface Session extends Disposable {
  get(key: Uint8Array): Uint8Array | undefined
  set(key: Uint8Array, value: Uint8Array): void
  delete(key: Uint8Array): boolean
  /** From `from` on, in the order of the keys. To be used up, or left, before the next call. */
  entries(from: Uint8Array): Iterable<{ readonly key: Uint8Array; readonly value: Uint8Array }>
  begin(): void
  commit(): void
}

/** Readers and one writer do not wait for each other. A commit outlives this process, but perhaps not a loss of power. */
const setUp = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = NORMAL;
  CREATE TABLE IF NOT EXISTS entries (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID`

/** Opens or makes the database file at `path`. */
export function openStore(path: string): Store {
  const main = openSession(path, setUp)
  return { main, connect: () => openSession(path), [Symbol.dispose]: () => main[Symbol.dispose]() }
}

function openSession(path: string, first = ''): Session {
  // Nobody waits for a lock: that would stop the whole host.
  const database = new DatabaseSync(path, { timeout: 0 })
  database.exec(`PRAGMA synchronous = NORMAL; ${first}`)
  const get = database.prepare('SELECT value FROM entries WHERE key = ?')
  const set = database.prepare('INSERT OR REPLACE INTO entries (key, value) VALUES (?, ?)')
  const remove = database.prepare('DELETE FROM entries WHERE key = ?')
  const entries = database.prepare('SELECT key, value FROM entries WHERE key >= ? ORDER BY key')
  return {
    get: (key) => (get.get(key) as { value: Uint8Array } | undefined)?.value,
    set: (key, value) => void orAborted(() => set.run(key, value)),
    delete: (key) => orAborted(() => remove.run(key)).changes > 0,
    entries: (from) => entries.iterate(from) as Iterable<{ key: Uint8Array; value: Uint8Array }>,
    begin() {
      database.exec('BEGIN')
      // SQLite begins with the first statement: what the transaction sees is to be what is there now.
      get.get(new Uint8Array())
    },
    commit: () => orAborted(() => database.exec('COMMIT')),
    [Symbol.dispose]() {
      // Closing alone leaves the lock until the statements are collected.
      if (database.isTransaction) database.exec('ROLLBACK')
      database.close()
    }
  }
}

/** SQLITE_BUSY, in the lower byte of what may be a longer code. */
const busy = 5

function orAborted<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof Error && 'errcode' in error && Number(error.errcode) % 256 === busy)) throw error
    throw callError(status.ABORTED, 'another transaction is writing, or has written since this one began')
  }
}
