import { accessSync, constants, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { inflateSync } from 'node:zlib'
import { chromium } from 'playwright-core'
import t from 'tap'
import { formatHtml } from '../../benchmarks/html/report.js'
import { parseReport } from '../../benchmarks/report-file.js'
import { fixture } from '../helpers/paths.js'

function findChromium(): string | undefined {
  const folders = process.env['PATH']?.split(delimiter) ?? []
  const names = ['chromium', 'chromium-browser', 'google-chrome']
  const paths = names.flatMap((name) => folders.map((folder) => join(folder, name)))
  return [...(process.env['CHROMIUM'] ? [process.env['CHROMIUM']] : []), ...paths].find((path) => {
    try {
      accessSync(path, constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/** How many different bytes the pixels of a PNG have, which are its compressed parts (`IDAT`) together. */
function variety(png: Buffer): number {
  const parts: Buffer[] = []
  for (let at = 8; at < png.length; at += 12 + png.readUInt32BE(at)) {
    const data = png.subarray(at + 8, at + 8 + png.readUInt32BE(at))
    if (png.toString('latin1', at + 4, at + 8) === 'IDAT') parts.push(data)
  }
  return new Set(inflateSync(Buffer.concat(parts))).size
}

const executablePath = findChromium()
const skip = executablePath === undefined && !process.env['CI'] && 'no Chromium: set CHROMIUM to its path'

t.test('the page shows well in a browser', { skip }, async (t) => {
  if (executablePath === undefined) {
    t.fail('no Chromium, which has to be there in CI')
    return
  }
  const file = join(t.testdir(), 'report.html')
  writeFileSync(file, formatHtml(parseReport(readFileSync(fixture('benchmarks-report.json'), 'utf8'))))
  const browser = await chromium.launch({
    executablePath,
    args: process.getuid?.() === 0 ? ['--no-sandbox'] : []
  })
  t.teardown(() => browser.close())
  for (const width of [360, 1280]) {
    for (const colorScheme of ['light', 'dark'] as const) {
      const name = `${width} ${colorScheme}`
      const context = await browser.newContext({
        viewport: { width, height: 800 },
        colorScheme,
        offline: true
      })
      const page = await context.newPage()
      const url = pathToFileURL(file).href
      const faults: string[] = []
      page.on('console', (message) => faults.push(message.text()))
      page.on('pageerror', (error) => faults.push(error.message))
      page.on('request', (request) => request.url() === url || faults.push(request.url()))
      await page.goto(url)
      const png = await page.screenshot()
      t.equal(png.toString('latin1', 1, 4), 'PNG', name)
      t.ok(variety(png) > 20, `${name}: not blank`)
      await page.locator('summary').first().press('Enter')
      t.equal(await page.locator('details[open]').count(), 1, `${name}: the keyboard opens a table`)
      await page.locator('details').evaluateAll((all: { open: boolean }[]) => {
        for (const one of all) one.open = true
      })
      const scrolled = await page
        .locator('html')
        .evaluate((root: { scrollWidth: number }) => root.scrollWidth)
      t.equal(scrolled, width, `${name}: nothing overflows`)
      const figures = page.locator('figure')
      const total = await figures.count()
      t.ok(total > 10)
      t.equal(await figures.filter({ has: page.locator('table') }).count(), total, `${name}: tables`)
      t.equal(await page.getByRole('img', { name: /./ }).count(), total, `${name}: labels of charts`)
      const regions = await page.locator('.scroll').count()
      t.equal(await page.getByRole('region', { name: /./ }).count(), regions, `${name}: labels of tables`)
      const headings = await page
        .locator('h1, h2')
        .evaluateAll((all: { tagName: string }[]) => all.map((one) => one.tagName))
      t.match(headings.join(' '), /^H1( H2)+$/, `${name}: headings`)
      t.same(faults, [], `${name}: quiet`)
      await context.close()
    }
  }
})
