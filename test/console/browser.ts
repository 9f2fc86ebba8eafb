/** A real Chromium that looks at the compiled registry's console. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { source as axeSource } from 'axe-core'
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core'

const CHROMIUM = '/usr/bin/chromium'
/** Kept as output of a run; git ignores it. */
const PICTURES = join(import.meta.dir, '../../dist/console-pictures')

export const HAS_CHROMIUM = await Bun.file(CHROMIUM).exists()
if (!HAS_CHROMIUM) console.log(`SKIPPED: the console's tests, for want of ${CHROMIUM}`)

/** Machines that do other things as well take their time. */
const WAIT_MS_MAX = 30_000

export const DESKTOP = { width: 1280, height: 860 }
export const PHONE = { width: 360, height: 740 }

/** Root may not have a sandbox of Chromium's kind; the pages are our own. */
export async function startBrowser(): Promise<Browser> {
  return await chromium.launch({
    executablePath: CHROMIUM,
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
  })
}

export interface Visitor {
  readonly context: BrowserContext
  readonly page: Page
  /** What the page has complained of, and whom it has asked: nobody but the registry. */
  readonly complaints: string[]
}

export async function visit(
  browser: Browser,
  url: string,
  options: { viewport?: { width: number; height: number }; colorScheme?: 'light' | 'dark' } = {},
): Promise<Visitor> {
  const context = await browser.newContext({ viewport: DESKTOP, baseURL: url, ...options })
  context.setDefaultTimeout(WAIT_MS_MAX)
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('pageerror', (error) => complaints.push(`error: ${error.message}`))
  page.on('console', (message) => {
    // A refusal is written to the console by the browser itself.
    const isRefusal = /status of 4\d\d/.test(message.text())
    if (message.type() === 'error' && !isRefusal) complaints.push(`console: ${message.text()}`)
  })
  page.on('request', (request) => {
    if (!request.url().startsWith(url)) complaints.push(`asked elsewhere: ${request.url()}`)
  })
  return { context, page, complaints }
}

export async function login(page: Page, key: string): Promise<void> {
  await page.goto('/')
  await page.getByLabel('API key').fill(key)
  await page.getByRole('button', { name: 'Log in' }).click()
  await page.getByRole('heading', { name: 'Fleet', level: 1 }).waitFor()
}

export async function takePicture(
  page: Page,
  name: string,
  { isWhole = true }: { isWhole?: boolean } = {},
): Promise<void> {
  await mkdir(PICTURES, { recursive: true })
  await page.screenshot({ path: join(PICTURES, `${name}.png`), fullPage: isWhole })
}

/** What axe-core finds serious or critical, in words. Evaluated past the page's own policy, as a developer's tools are. */
export async function findFaults(page: Page): Promise<string[]> {
  await page.evaluate(axeSource)
  const faults = await page.evaluate(async () => {
    const { axe } = globalThis as unknown as {
      axe: {
        run(): Promise<{
          violations: { id: string; impact: string; nodes: { html: string; failureSummary: string }[] }[]
        }>
      }
    }
    const { violations } = await axe.run()
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .flatMap(({ id, nodes }) =>
        nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 160)} ${failureSummary}`),
      )
  })
  return faults
}
