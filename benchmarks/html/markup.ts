/** Text that is markup already, and goes into other markup as it is. */
export interface Markup {
  readonly markup: string
}

/** What a template may hold: text and numbers are escaped, lists are joined, undefined and false leave nothing. */
export type Content = Markup | string | number | undefined | false | readonly Content[]

/** Makes HTML or SVG of a template. What comes from outside cannot become markup, in elements and in quoted attributes. */
export function html(strings: TemplateStringsArray, ...contents: readonly Content[]): Markup {
  return { markup: strings.map((text, index) => text + render(contents[index])).join('') }
}

function render(content: Content): string {
  if (content === undefined || content === false) return ''
  if (typeof content === 'string' || typeof content === 'number') return escape(String(content))
  return 'markup' in content ? content.markup : content.map(render).join('')
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;'
}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character]!)
}
