/** Eight colours that stand out from the background, three to one at least, and text four and a half to one. */
const palettes = {
  light: {
    text: '#1b1f24',
    soft: '#535c68',
    back: '#ffffff',
    card: '#f6f7f9',
    edge: '#d4d9e0',
    accent: '#0b57b0',
    rows: ['#7a5c3e', '#7e3fb3', '#0e7490', '#b0286e', '#c2410c', '#a16207', '#4d7c0f', '#475569']
  },
  dark: {
    text: '#e8ebef',
    soft: '#a9b2bd',
    back: '#101317',
    card: '#191d23',
    edge: '#353c46',
    accent: '#84b8ff',
    rows: ['#cbb08e', '#c79bff', '#4fd1e0', '#ff8ac4', '#ff9d5c', '#f2cc60', '#a8d65f', '#aebdd0']
  }
}

type Palette = (typeof palettes)['light']

function variables({ rows, ...others }: Palette): string {
  const named = [...Object.entries(others), ...rows.map((colour, index) => [`c${index}`, colour] as const)]
  return named.map(([name, colour]) => `--${name}: ${colour};`).join(' ')
}

/** The page's style sheet. */
export const style = `
:root { color-scheme: light dark; ${variables(palettes.light)} }
@media (prefers-color-scheme: dark) { :root { ${variables(palettes.dark)} } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1120px; padding: 16px; background: var(--back); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 8px 0 4px; }
h2 { font-size: 1.3rem; margin: 40px 0 4px; padding-top: 12px; border-top: 1px solid var(--edge); }
p { margin: 4px 0 12px; max-width: 72ch; }
a { color: var(--accent); }
.soft, figcaption span, caption, dt { color: var(--soft); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 16px; margin: 16px 0; }
dd { margin: 0; min-width: 0; }
.losses { background: var(--card); border-left: 4px solid var(--accent); padding: 12px 16px; margin: 16px 0; }
.losses h2 { border: 0; margin: 0; padding: 0; }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 440px), 1fr)); gap: 20px;
  align-items: start; }
figure { margin: 0; min-width: 0; padding: 14px; background: var(--card); border: 1px solid var(--edge);
  border-radius: 8px; }
figcaption strong { display: block; font-size: 1.05rem; }
figcaption span { display: block; font-size: .9rem; margin-bottom: 8px; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--text); font-size: 12px; paint-order: stroke; stroke: var(--card); stroke-width: 3px;
  stroke-linejoin: round; }
svg .tick { fill: var(--soft); font-size: 11px; }
svg .value { text-anchor: end; font-variant-numeric: tabular-nums; }
svg .ours { font-weight: 700; }
svg path, svg rect { fill: currentColor; }
svg .line { fill: none; stroke: currentColor; stroke-width: 1.5; }
svg .strong { stroke-width: 3; }
svg .reach { stroke: currentColor; stroke-width: 1; }
svg .range { stroke: currentColor; stroke-width: 5; stroke-linecap: round; stroke-opacity: .35; }
svg .whisker { fill: none; stroke: var(--text); stroke-width: 1.25; }
svg .grid { stroke: var(--edge); }
svg .baseline { stroke: var(--soft); stroke-dasharray: 4 3; }
svg .neutral { color: var(--soft); }
${palettes.light.rows.map((_, index) => `.c${index} { color: var(--c${index}); }`).join('\n')}
details { margin-top: 8px; }
summary { cursor: pointer; color: var(--accent); font-size: .9rem; }
.scroll { overflow-x: auto; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
caption { text-align: left; padding: 8px 0; }
th, td { padding: 4px 12px 4px 0; text-align: left; white-space: nowrap; border-bottom: 1px solid var(--edge);
  vertical-align: top; }
td.reason { white-space: normal; min-width: 20ch; }
`
