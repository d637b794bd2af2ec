// The listings of a page, and a place to run them in.
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { packageRoot } from '../helpers/cli.js'

/** A line of a `console` listing that begins with `$ `, and what the page says it prints. */
export interface Command {
  readonly command: string
  readonly output: string
  /** It stands below `<!-- needs: go -->`: it runs where the interop tests build their Go programs. */
  readonly needsGo: boolean
}

export interface Page {
  readonly text: string
  /** Listings below a comment with a file's name, by that name. */
  readonly files: ReadonlyMap<string, string>
  /** Listings below a comment with a file's name that are a part of that file, by its name. */
  readonly parts: ReadonlyMap<string, string>
  readonly commands: readonly Command[]
}

export async function readPage(path: string): Promise<Page> {
  const text = await readFile(join(packageRoot, path), 'utf8')
  const named = (label: string): Map<string, string> =>
    new Map(
      [
        ...text.matchAll(new RegExp(`<!-- ${label}: (\\S+) -->\\n\\n\`\`\`\\w+\\n([\\s\\S]*?)\`\`\``, 'g'))
      ].map(([, name, code]) => [name!, code!] as const)
    )
  const commands = [...text.matchAll(/(<!-- needs: go -->\n\n)?```console\n([\s\S]*?)```/g)].flatMap(
    ([, needsGo, session]) =>
      session!
        .split(/^\$ /m)
        .slice(1)
        .map((part) => {
          const [command, ...output] = part.split('\n')
          return { command: command!, output: output.join('\n'), needsGo: needsGo !== undefined }
        })
  )
  return { text, files: named('file'), parts: named('part of'), commands }
}

/** A copy of what a checkout has, with the page's files. What is built or installed is linked. Goes with the test. */
export async function checkout(t: Test, { files }: Page): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'muxplug-docs-'))
  t.teardown(() => rm(dir, { recursive: true }))
  for (const name of ['package.json', 'bin', 'proto', 'plugins']) {
    await cp(join(packageRoot, name), join(dir, name), { recursive: true })
  }
  for (const name of ['dist', 'node_modules']) await symlink(join(packageRoot, name), join(dir, name))
  for (const [name, code] of files) {
    await mkdir(dirname(join(dir, name)), { recursive: true })
    await writeFile(join(dir, name), code)
  }
  return dir
}

/** Runs a command of a page, without a shell. Returns what it prints. */
export async function runCommand({ command }: Pick<Command, 'command'>, cwd: string): Promise<string> {
  const [program, ...args] = command.split(' ')
  const { NODE_OPTIONS: _loaders, ...env } = process.env
  const { stdout } = await promisify(execFile)(program!, args, {
    cwd,
    env,
    timeout: 60_000,
    killSignal: 'SIGKILL'
  })
  return stdout
}
