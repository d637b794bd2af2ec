/** How far messages are read ahead of their reader before the peer is held back: a DATA frame or four. */
const readAheadBytes = 65_536
const readAheadMessages = 64

export interface MessageQueueHooks {
  /** There is room again after {@link MessageQueue.push} was false. */
  onRoom(): void
  /** The reader wants no more. */
  onLeave?(): void
}

interface Entry<T> {
  readonly message: T
  readonly bytes: number
}

interface Reader<T> {
  resolve(result: IteratorResult<T, undefined>): void
  reject(error: unknown): void
}

interface End {
  /** Makes the error; undefined at a good end. */
  readonly error: (() => unknown) | undefined
}

/** The messages of one direction of a call, between who receives them and who reads them. May be read once. */
export class MessageQueue<T> implements AsyncIterableIterator<T, undefined, undefined> {
  readonly #hooks: MessageQueueHooks
  #entries: Entry<T>[] = []
  #next = 0
  #bytes = 0
  #full = false
  #readers: Reader<T>[] = []
  #end: End | undefined
  #left = false

  constructor(hooks: MessageQueueHooks) {
    this.#hooks = hooks
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  /** Takes a message of `bytes` bytes. False: no more for now. */
  push(message: T, bytes: number): boolean {
    if (this.#left || this.#end !== undefined) return true
    const reader = this.#readers.shift()
    if (reader !== undefined) {
      reader.resolve({ done: false, value: message })
      return true
    }
    this.#entries.push({ message, bytes })
    this.#bytes += bytes
    if (this.#roomLeft()) return true
    this.#full = true
    return false
  }

  #roomLeft(): boolean {
    return this.#bytes < readAheadBytes && this.#entries.length - this.#next < readAheadMessages
  }

  /** No message follows; once all are read, the reader is told what `error` gives, if anything. */
  end(error?: () => unknown): void {
    this.#finish({ error })
  }

  /** Ends it now with what `error` gives; what was not read is dropped. */
  fail(error: () => unknown): void {
    if (this.#end?.error !== undefined) return
    this.#entries = []
    this.#next = 0
    this.#end = undefined
    this.#finish({ error })
  }

  #finish(end: End): void {
    if (this.#end !== undefined) return
    this.#end = end
    const readers = this.#readers
    this.#readers = []
    for (const [index, reader] of readers.entries()) {
      if (end.error !== undefined && index === 0) reader.reject(this.#takeError())
      else reader.resolve({ done: true, value: undefined })
    }
  }

  /** An error is told once; after it the messages are just over. */
  #takeError(): unknown {
    const error = this.#end?.error?.()
    this.#end = { error: undefined }
    return error
  }

  next(): Promise<IteratorResult<T, undefined>> {
    const entry = this.#entries[this.#next]
    if (entry !== undefined) {
      this.#next++
      this.#bytes -= entry.bytes
      if (this.#next === this.#entries.length) {
        this.#entries = []
        this.#next = 0
      }
      if (this.#full && this.#roomLeft()) {
        this.#full = false
        this.#hooks.onRoom()
      }
      return Promise.resolve({ done: false, value: entry.message })
    }
    if (this.#end?.error !== undefined) return Promise.reject(this.#takeError())
    if (this.#end !== undefined || this.#left) return Promise.resolve({ done: true, value: undefined })
    return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }))
  }

  return(): Promise<IteratorResult<T, undefined>> {
    if (!this.#left) {
      this.#left = true
      this.#entries = []
      this.#next = 0
      for (const reader of this.#readers) reader.resolve({ done: true, value: undefined })
      this.#readers = []
      this.#hooks.onLeave?.()
    }
    return Promise.resolve({ done: true, value: undefined })
  }
}
