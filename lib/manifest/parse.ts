import {
  type CST,
  Composer,
  type Document,
  Lexer,
  LineCounter,
  Parser,
  isAlias,
  isMap,
  isScalar,
  isSeq
} from 'yaml'
import { type Fault, type ManifestFile, checkManifest } from './schema.js'

/** What is wrong in a text, and where: line and column from 1. */
export interface Problem {
  readonly line: number
  readonly column: number
  readonly text: string
}

/** A manifest that is right, or every problem of one that is not, in the order of the text. */
export type Parsed =
  | { readonly t: 'right'; readonly file: ManifestFile }
  | { readonly t: 'wrong'; readonly problems: readonly Problem[] }

/**
 * An alias stands for the whole that it names, so a few lines of aliases of aliases can stand for gigabytes.
 * This many values may come out of them; a manifest has use for none.
 */
const maxAliasCount = 100

/**
 * How deep lists and mappings may be in each other; a manifest has four levels. Thousands would fill the
 * stack of those who walk them, and that cannot be caught: where a regular expression finds no room left, V8
 * ends the process.
 */
const maxDepth = 32

/** Reads the text of a manifest. Loads nothing and asks nothing of the file system. */
export function parseManifest(text: string): Parsed {
  const lines = new LineCounter()
  const problem = (offset: number, what: string): Problem => {
    const { line, col } = lines.linePos(offset)
    return { line, column: col, text: what }
  }
  const wrong = (problems: readonly Problem[]): Parsed => {
    return { t: 'wrong', problems: problems.toSorted((a, b) => a.line - b.line || a.column - b.column) }
  }
  try {
    const composer = new Composer({ prettyErrors: false })
    const [document, another] = composer.compose(tokensOf(text, lines), true, text.length)
    if (document === undefined || document.errors.length > 0) {
      return wrong((document?.errors ?? []).map(({ pos, message }) => problem(pos[0], message)))
    }
    if (another !== undefined) return wrong([problem(another.range[0], 'a second document begins')])
    const value: unknown = document.toJS({ maxAliasCount })
    if (!isMap(document.contents)) return wrong([problem(0, 'it is not a mapping of fields to values')])
    const checked = checkManifest(value)
    if (checked.t === 'right') return checked
    return wrong(checked.faults.map((fault) => problem(offsetOf(document, fault), fault.text)))
  } catch (error) {
    // Too many aliases, or one without an anchor: told without a place.
    return wrong([problem(0, (error as Error).message)])
  }
}

/**
 * The tokens of a text, with their lines counted. They are nested with a stack of the parser's own, which
 * tells how deep.
 */
function* tokensOf(text: string, lines: LineCounter): Generator<CST.Token> {
  const parser = new Parser(lines.addNewLine)
  lines.addNewLine(0)
  for (const lexeme of new Lexer().lex(text)) {
    yield* parser.next(lexeme)
    if (parser.stack.length <= maxDepth) continue
    const message = 'lists and mappings are too deep in each other'
    yield { type: 'error', offset: parser.offset - lexeme.length, message, source: '' }
    return
  }
  yield* parser.end()
}

/** Where a fault begins. Of what is missing: where that begins which lacks it. */
function offsetOf(document: Document, { at, key }: Fault): number {
  let node: unknown = document.contents
  let offset = startOf(node) ?? 0
  for (const [depth, step] of at.entries()) {
    if (isAlias(node)) node = node.resolve(document)
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === step)
      if (pair === undefined) return offset
      node = key && depth === at.length - 1 ? pair.key : pair.value
    } else if (isSeq(node)) {
      node = node.items[Number(step)]
    }
    offset = startOf(node) ?? offset
  }
  return offset
}

function startOf(node: unknown): number | undefined {
  return (node as { range?: readonly [number, number, number] | null } | null | undefined)?.range?.[0]
}
