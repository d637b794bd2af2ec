import { findLosses, formatLosses } from '../losses.js'
import type { Report } from '../results.js'
import { baseline } from '../rows.js'
import { drawChart } from './chart.js'
import { formatRatio, formatValue } from './format.js'
import { type Content, type Markup, html } from './markup.js'
import { type Line, type Panel, type Section, type Value, sectionsOf } from './panels.js'
import { style } from './style.js'

/** The report as one HTML page: no scripts, and nothing that is loaded from elsewhere. */
export function formatHtml(report: Report): string {
  const sections = sectionsOf(report)
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'" />
        <title>Benchmarks of muxplug, ${report.date.slice(0, 10)}</title>
        <style>
          ${{ markup: style }}
        </style>
      </head>
      <body>
        <main>
          <h1>Benchmarks of muxplug</h1>
          <p>
            Ways for two processes to call each other, measured side by side. Names that begin with
            <strong>stream-</strong> are muxplug on one stream.
          </p>
          ${summary(report)} ${losses(report)}
          ${
            sections.length === 0 &&
            html`<h2>Results</h2>
              <p>Nothing was measured.</p>`
          }
          ${sections.length > 0 && reading(report)} ${sections.map((section) => formatSection(section))}
          ${notMeasured(report)}
        </main>
      </body>
    </html> `
  return page.markup
}

function summary({ machine, versions, date, commit, options }: Report): Markup {
  const { rounds, durationMs, warmUpMs } = options
  const entries: readonly (readonly [string, string])[] = [
    ['Machine', `${machine.cpu}, ${machine.cores} cores, ${formatValue(machine.memoryBytes, 'bytes')}`],
    ['System', machine.system],
    [
      'Versions',
      Object.entries(versions)
        .map((version) => version.join(' '))
        .join(', ')
    ],
    ['Date', date],
    ['Commit', commit ?? 'unknown'],
    ['Rounds', `${rounds}, each cell ${durationMs} ms after ${warmUpMs} ms of warming up`]
  ]
  return html`<dl>
    ${entries.map(
      ([name, text]) =>
        html`<dt>${name}</dt>
          <dd>${text}</dd>`
    )}
  </dl>`
}

function losses(report: Report): Markup {
  const found = findLosses(report)
  const compared = report.ratios.length > 0
  const lines = found.map(
    (loss) =>
      html`<tr>
        <th scope="row">${loss.case}</th>
        <td>${loss.row}</td>
        <td>${loss.metric}</td>
        <td>${formatRatio(loss.ratio)}${rangeOf(loss.low, loss.high, formatRatio)}</td>
        <td>${loss.vs}</td>
      </tr>`
  )
  const all = html`<details>
    <summary>All ${found.length}, the worst first</summary>
    ${scroll(
      'Where we lose',
      html`<table>
        <caption>
          As a multiple of the row beside it, with the range of the rounds
        </caption>
        <thead>
          <tr>
            ${['Case', 'Row', 'Metric', 'Multiple', 'Of'].map((head) => html`<th scope="col">${head}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${lines}
        </tbody>
      </table>`
    )}
  </details>`
  // The heading says the first words already.
  const sentence =
    found.length === 0 ? 'Nowhere in what was measured.' : formatLosses(found).replace(/^[^:]*: /, '')
  return html`<section class="losses">
    <h2>Where we lose</h2>
    <p>${compared ? sentence : `Not known: ${baseline} was not measured.`}</p>
    <p class="soft">
      Counted is what is worse in every round than gRPC without
      muxplug${report.options.rounds === 1 && ', and by a quarter at least, since one round has no range'}.
    </p>
    ${found.length > 0 && all}
  </section>`
}

function reading({ options }: Report): Markup {
  return html`<p>
    A number with × is a multiple of ${baseline}, the baseline, whose value is the dashed or the thick line.
    ${
      options.rounds > 1
        ? `Marks are medians of ${options.rounds} rounds; whiskers and pale bands reach from the lowest to the highest.`
        : 'There was one round, so there are no ranges: it tells 2× from 1×, not 1.1× from 1×.'
    }
  </p>`
}

function formatSection({ title, text, panels }: Section): Markup {
  return html`<section>
    <h2>${title}</h2>
    <p>${text}</p>
    <div class="panels">${panels.map(formatPanel)}</div>
  </section>`
}

function formatPanel(panel: Panel): Markup {
  const { title, text, better } = panel
  return html`<figure id="${panel.id}">
    <figcaption>
      <strong>${title}</strong><span>${text} ${better === 'less' ? 'Less' : 'More'} is better.</span>
    </figcaption>
    ${drawChart(panel)}
    <details>
      <summary>Figures of ${title}</summary>
      ${scroll(`Figures of ${title}`, formatTable(panel))}
    </details>
  </figure>`
}

function formatTable({ title, text, columns, lines, without, unit }: Panel): Markup {
  const head = columns.flatMap((column) => [column, `${column}, × ${baseline}`])
  const body = lines.map(
    (line) =>
      html`<tr>
        ${rowHead(line)}${line.values.map((value) => cells(value, unit))}
      </tr>`
  )
  const empty = without.map(
    (line) =>
      html`<tr>
        ${rowHead(line)}
        <td class="reason" colspan="${head.length}">${line.reason ?? 'not measured'}</td>
      </tr>`
  )
  return html`<table>
    <caption>
      ${title}: ${text}
    </caption>
    <thead>
      <tr>
        <th scope="col">Row</th>
        ${head.map((name) => html`<th scope="col">${name}</th>`)}
      </tr>
    </thead>
    <tbody>
      ${body}${empty}
    </tbody>
  </table>`
}

function rowHead({ name, isBaseline }: Line): Markup {
  return html`<th scope="row">${name}${isBaseline && ' (baseline)'}</th>`
}

function cells(value: Value | undefined, unit: string): Content {
  if (value === undefined)
    return html`<td>–</td>
      <td>–</td>`
  const { median, min, max, ratio } = value
  const format = (one: number): string => formatValue(one, unit)
  return html`<td>${format(median)}${rangeOf(min, max, format)}</td>
    <td>
      ${ratio === undefined ? '–' : `${formatRatio(ratio.ratio)}${rangeOf(ratio.low, ratio.high, formatRatio)}`}
    </td>`
}

function rangeOf(low: number, high: number, format: (value: number) => string): string {
  return low === high ? '' : ` (${format(low)} to ${format(high)})`
}

function notMeasured({ missing }: Report): Content {
  if (missing.length === 0) return undefined
  const body = missing.map(
    (gap) =>
      html`<tr>
        <th scope="row">${gap.case}</th>
        <td>${gap.row}</td>
        <td class="reason">${gap.reason}</td>
      </tr>`
  )
  return html`<section>
    <h2>Not measured</h2>
    <details>
      <summary>${missing.length} cells</summary>
      ${scroll(
        'Not measured',
        html`<table>
          <caption>
            Cells that could not be measured, in any of the rounds
          </caption>
          <thead>
            <tr>
              <th scope="col">Case</th>
              <th scope="col">Row</th>
              <th scope="col">Reason</th>
            </tr>
          </thead>
          <tbody>
            ${body}
          </tbody>
        </table>`
      )}
    </details>
  </section>`
}

/** Room for a table that is wider than the page; the keyboard reaches it. */
function scroll(label: string, table: Markup): Markup {
  return html`<div class="scroll" role="region" tabindex="0" aria-label="${label}">${table}</div>`
}
