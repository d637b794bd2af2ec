import { scaleBand, scaleLinear, scaleLog, scalePoint } from 'd3-scale'
import { line, symbol, symbolsFill } from 'd3-shape'
import { formatRatio, formatTick, formatValue, stepFor } from './format.js'
import { type Content, type Markup, html } from './markup.js'
import type { Line, Panel, Value } from './panels.js'

/** Narrow enough for a phone: text is not scaled down by much there. */
const width = 380
const inset = 12

/** How many colours style.ts has. */
export const colours = 8

/** Draws a panel as an SVG image; its labels are the panel's title and text. */
export function drawChart(panel: Panel): Markup {
  const { height, content } = { dots: drawDots, bars: drawBars, lines: drawLines }[panel.chart](panel)
  const id = `chart-${panel.id}`
  return html`<svg role="img" aria-labelledby="${id}-title ${id}-desc" viewBox="0 0 ${width} ${height}">
    <title id="${id}-title">${panel.title}</title>
    <desc id="${id}-desc">${panel.text} The table below has the figures.</desc>
    ${content}
  </svg>`
}

interface Drawing {
  readonly height: number
  readonly content: Content
}

/** The percentiles of each row as dots on one logarithmic axis. */
function drawDots(panel: Panel): Drawing {
  const [low, high] = extentOf(panel)
  const x = scaleLog()
    .clamp(true)
    .domain([low, high])
    .nice()
    .range([inset, width - inset])
  const decades = Math.log10(x.domain()[1]! / x.domain()[0]!)
  const fine = decades <= 1 ? [1, 2, 5] : [1]
  const ticks = x
    .ticks()
    .filter((tick) =>
      fine.some((digit) => Math.abs(tick / 10 ** Math.floor(Math.log10(tick) + 1e-9) - digit) < 1e-6)
    )
  const legend = panel.columns.map(
    (column, index) =>
      html`<g transform="translate(${inset + 4 + index * 64} 12)"
        >${shape(index, 44)}<text x="9" y="4">${column}</text></g
      >`
  )
  const mark = (value: Value, index: number, y: number): Markup =>
    html` <line class="range" x1="${x(value.min)}" x2="${x(value.max)}" y1="${y}" y2="${y}" />
      <g transform="translate(${x(value.median)} ${y})">${shape(index, 44)}</g>`
  return drawBands(
    panel,
    24,
    ticks,
    x,
    ({ values }, y) => {
      const known = values.filter((value) => value !== undefined)
      return html` <line
          class="reach"
          x1="${x(known[0]!.median)}"
          x2="${x(known.at(-1)!.median)}"
          y1="${y}"
          y2="${y}"
        />
        ${values.map((value, index) => value && mark(value, index, y))}`
    },
    html`<g class="neutral">${legend}</g>`
  )
}

/** The first column as bars from zero. */
function drawBars(panel: Panel): Drawing {
  const [, high] = extentOf(panel)
  const { size } = stepFor(high, panel.unit)
  const inSteps = scaleLinear()
    .domain([0, high / size])
    .nice(4)
    .range([inset, width - inset])
  const x = (value: number): number => inSteps(value / size)
  const ticks = inSteps.ticks(4).map((tick) => tick * size)
  return drawBands(
    panel,
    0,
    ticks,
    x,
    ({ values: [value] }, y) =>
      value &&
      html` <rect x="${x(0)}" width="${x(value.median) - x(0)}" y="${y - 5}" height="10" />
        ${
          value.max > value.min &&
          html`<path class="whisker" d="M${x(value.min)},${y - 4}v8m0,-4H${x(value.max)}m0,-4v8" />`
        }`
  )
}

/** A band for each row: its name and first value, and below them what `draw` makes. */
function drawBands(
  panel: Panel,
  top: number,
  ticks: readonly number[],
  x: (value: number) => number,
  draw: (line: Line, y: number) => Content,
  legend?: Content
): Drawing {
  const { lines, columns, unit, chart } = panel
  const bands = scaleBand<Line>()
    .domain(lines)
    .range([top, top + lines.length * 38])
  const bottom = bands.range()[1]
  const base = lines.find(({ isBaseline }) => isBaseline)?.values[0]?.median
  const rows = lines.map((one) => {
    const y = bands(one)!
    const at = one.values.findIndex((value) => value !== undefined)
    const value = one.values[at]!
    const ratio = value.ratio === undefined ? '' : ` (${formatRatio(value.ratio.ratio)})`
    const prefix = chart === 'dots' ? `${columns[at]} ` : ''
    return html`<g class="${colourOf(one)}">
      ${draw(one, y + 27)}
      <text class="${nameClass(one)}" x="${inset}" y="${y + 15}">${nameOf(one)}</text>
      <text class="value" x="${width - inset}" y="${y + 15}"
        >${prefix}${formatValue(value.median, unit)}${ratio}</text
      >
    </g>`
  })
  const grid = ticks.map((tick, index) => {
    // Labels at the edges stay within the image.
    const anchor = x(tick) < 40 ? 'start' : x(tick) > width - 40 ? 'end' : 'middle'
    return html`<line class="grid" x1="${x(tick)}" x2="${x(tick)}" y1="${top}" y2="${bottom}" />
      <text class="tick" text-anchor="${index === 0 ? 'start' : anchor}" x="${x(tick)}" y="${bottom + 16}"
        >${formatTick(tick, unit)}</text
      >`
  })
  return {
    height: bottom + 24,
    content: [
      legend,
      grid,
      base !== undefined &&
        html`<line class="baseline" x1="${x(base)}" x2="${x(base)}" y1="${top}" y2="${bottom}" />`,
      rows
    ]
  }
}

/** A line for each row over the columns, with the range of each point. */
function drawLines(panel: Panel): Drawing {
  const { lines, columns, unit } = panel
  const plot = { left: 62, right: width - inset, top: 12, bottom: 232 }
  const [low, high] = extentOf(panel)
  const { size } = stepFor(high, unit)
  const far = high > 30 * low
  const scale = (
    far
      ? scaleLog()
          .clamp(true)
          .domain([low / size, high / size])
      : scaleLinear().domain([0, high / size])
  )
    .nice()
    .range([plot.bottom, plot.top])
  const y = (value: number): number => scale(value / size)
  const ticks = scale
    .ticks(5)
    .filter((tick) => !far || Number.isInteger(Math.round(Math.log10(tick) * 1e6) / 1e6))
  const x = scalePoint().domain(columns).range([plot.left, plot.right]).padding(0.3)
  const drawn = lines.map((one, order) => {
    // Side by side, so that no range hides another.
    const aside = (order - (lines.length - 1) / 2) * 2
    const at = (column: number): number => x(columns[column]!)! + aside
    const path = line<Value | undefined>()
      .defined((value) => value !== undefined)
      .x((_, column) => at(column))
      .y((value) => y(value!.median))
    const points = one.values.map(
      (value, column) =>
        value &&
        html` <line
            class="range"
            x1="${at(column)}"
            x2="${at(column)}"
            y1="${y(value.min)}"
            y2="${y(value.max)}"
          />
          <g transform="translate(${at(column)} ${y(value.median)})">${shape(one.index, 40)}</g>`
    )
    return html`<g class="${colourOf(one)}">
      <path class="${one.isBaseline ? 'line strong' : 'line'}" d="${path(one.values) ?? ''}" />${points}
    </g>`
  })
  const grid = ticks.map(
    (tick) =>
      html`<line class="grid" x1="${plot.left}" x2="${plot.right}" y1="${scale(tick)}" y2="${scale(tick)}" />
        <text class="tick" text-anchor="end" x="${plot.left - 6}" y="${scale(tick) + 4}"
          >${formatTick(tick * size, unit)}</text
        >`
  )
  const below = columns.map(
    (column) =>
      html`<text class="tick" text-anchor="middle" x="${x(column)}" y="${plot.bottom + 18}">${column}</text>`
  )
  const legend = lines.map((one, order) => {
    const place = `translate(${inset + 6 + (order % 2) * 180} ${plot.bottom + 42 + (order >> 1) * 20})`
    return html`<g class="${colourOf(one)}" transform="${place}"
      >${shape(one.index, 40)} <text class="${nameClass(one)}" x="10" y="4">${nameOf(one)}</text></g
    >`
  })
  return {
    height: plot.bottom + 42 + Math.ceil(lines.length / 2) * 20,
    content: [grid, below, drawn, legend]
  }
}

function extentOf({ lines }: Panel): readonly [low: number, high: number] {
  const values = lines.flatMap(({ values }) => values.filter((value) => value !== undefined))
  const low = Math.min(...values.map(({ min }) => min))
  const high = Math.max(...values.map(({ max }) => max))
  // Neither scale takes an empty domain, and a logarithm takes no zero.
  return [Math.max(low, high / 1e9, 1e-9), Math.max(high, 1e-9)]
}

function shape(index: number, area: number): Markup {
  return html`<path d="${symbol(symbolsFill[index % symbolsFill.length], area)() ?? ''}" />`
}

function colourOf({ index }: Line): string {
  return `c${index % colours}`
}

function nameOf({ name, isBaseline }: Line): string {
  return isBaseline ? `${name} (baseline)` : name
}

function nameClass({ name }: Line): string {
  return name.startsWith('stream-') ? 'name ours' : 'name'
}
