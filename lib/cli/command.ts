import { type Command, CommanderError } from 'commander'

/**
 * Parses with a command that has `exitOverride()`. Prints help and version on stdout, and what is wrong on stderr; then
 * gives the code to exit with: 0, or 2 for wrong usage.
 */
export function parseCommand(command: Command, argv: readonly string[]): number | undefined {
  try {
    command.parse(argv, { from: 'user' })
    return undefined
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    throw error
  }
}

export interface Interruption {
  /** Aborted by the first signal, with an error that names it. */
  readonly signal: AbortSignal
  /** The shell's code for that signal; undefined before. */
  readonly code: number | undefined
}

/** Listens for Ctrl-C and the like, which then no longer end this process. */
export function listenForSignals(explain: (name: string) => Error): Interruption {
  const controller = new AbortController()
  let code: number | undefined
  for (const [name, number] of [
    ['SIGINT', 2],
    ['SIGTERM', 15],
    ['SIGHUP', 1]
  ] as const) {
    process.on(name, () => {
      code ??= 128 + number
      controller.abort(explain(name))
    })
  }
  return {
    signal: controller.signal,
    get code() {
      return code
    }
  }
}
