/** An operator at the console: a real Chromium, the compiled registry, a real device. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { type Device, eventually, Fleet, POLICY, startUp } from '../flow/fleet.ts'
import { askScale, scaling } from '../flow/versions.ts'
import { BINARY, createFolder, type Running, runToEnd } from '../kit/binary.ts'
import {
  findFaults,
  HAS_CHROMIUM,
  login,
  PHONE,
  startBrowser,
  takePicture,
  type Visitor,
  visit,
} from './browser.ts'

// Processes are started, and a busy machine takes its time.
setDefaultTimeout(300_000)

const folder = await createFolder()
let fleet: Fleet
let key: string
let browser: Browser
let operator: Visitor
let up: Running | undefined

beforeAll(async () => {
  if (!HAS_CHROMIUM) return
  fleet = await Fleet.start(folder.path)
  key = (await Bun.file(join(fleet.registry.state, 'admin.key')).text()).trim()
  browser = await startBrowser()
  operator = await visit(browser, fleet.registry.url)
})

afterAll(async () => {
  await browser?.close()
  await up?.stop()
  await fleet?.registry.stop()
  await folder.remove()
})

/** The browser's own patience is too little for what a device takes. */
const ENDED_MS_MAX = 90_000

const heading = (page: Page, name: string | RegExp) => page.getByRole('heading', { name })

describe.skipIf(!HAS_CHROMIUM)('an operator', () => {
  test('is asked for a key, is told what is wrong with one, and comes in with a good one', async () => {
    const { page } = operator
    await page.goto('/')
    expect(await findFaults(page)).toEqual([])
    await takePicture(page, 'login')
    await page.getByLabel('API key').fill('lk_wrong')
    await page.getByRole('button', { name: 'Log in' }).click()
    await page.getByText('Cannot log in: the key is unknown or revoked').waitFor()
    await login(page, key)
    await page.getByText('live', { exact: true }).waitFor()
    await page.getByText('No device has enrolled yet.').waitFor()
    expect(await page.evaluate('document.cookie')).toBe('')
  })

  test('makes a token, enrols a device with it, and sees it appear by itself', async () => {
    const { page } = operator
    await page.getByRole('button', { name: 'Enrol a device' }).click()
    await page.getByLabel('Name of the device').fill('cam-01')
    expect(await findFaults(page)).toEqual([])
    await page.getByRole('button', { name: 'Make a token' }).click()
    const line = (await page.locator('dialog code').textContent()) ?? ''
    await page.getByRole('button', { name: 'Done' }).click()
    const device: Device = {
      name: 'cam-01',
      home: join(folder.path, 'cam-01'),
      state: join(folder.path, 'cam-01/state'),
    }
    await Bun.write(join(device.home, 'keep'), '')
    const enrolled = await runToEnd(device.home, { command: [BINARY, ...line.split(' ').slice(1)] })
    expect(enrolled.exitCode).toBe(0)
    await page.getByRole('link', { name: 'cam-01' }).waitFor()
    up = await startUp(device)
    await page.getByRole('row', { name: /cam-01 alive/ }).waitFor()
  })

  test('plans a rollout, sees what it comes to, starts it, and watches it to its end', async () => {
    const { page } = operator
    await fleet.publish(scaling(1))
    await goTo(page, 'Rollouts')
    await page.getByRole('button', { name: 'Plan a rollout' }).click()
    await page.getByLabel('Waves, in percent').fill('50, 100')
    await page.getByLabel('Calm after each wave').fill('0')
    await page.getByLabel('Watched on each device').fill('1')
    expect(await findFaults(page)).toEqual([])
    await page.getByRole('button', { name: 'See what it comes to' }).click()
    await page.getByText('It reaches 1 device.').waitFor()
    await page.getByRole('button', { name: 'Make the draft' }).click()
    await heading(page, 'vision/scale 1').waitFor()
    await doNow(page, 'Start')
    await state(page, 'done').waitFor({ timeout: ENDED_MS_MAX })
    await page.getByRole('row', { name: /cam-01 committed/ }).waitFor()
    expect(await findFaults(page)).toEqual([])
    await takePicture(page, 'rollout')
    expect(await askScale(up?.url ?? '')).toBe('1 times 1')
  })

  test('watches another one, pauses and resumes it, aborts it, and has every device go back', async () => {
    const { page } = operator
    await fleet.publish(scaling(2))
    const waves = [{ devices: ['cam-01'], soak_seconds: 3600, success_percent_min: 100 }, { percent: 100 }]
    const made = await fleet.registry.ask('POST', '/v1/rollouts', {
      ...{ model: 'vision/scale', version: '2', waves, policy: POLICY },
    })
    expect(made.status).toBe(201)
    await goTo(page, 'Rollouts')
    await page.getByRole('link', { name: 'vision/scale 2' }).click()
    await doNow(page, 'Start')
    await state(page, 'soak').waitFor({ timeout: ENDED_MS_MAX })
    expect(await askScale(up?.url ?? '')).toBe('2 times 2')
    await doNow(page, 'Pause', 'lunch')
    await state(page, 'paused').waitFor()
    await doNow(page, 'Resume')
    await state(page, 'soak').waitFor()
    await page.getByText('lunch').waitFor()
    await doNow(page, 'Abort', 'not what we wanted')
    await state(page, 'aborted').waitFor({ timeout: ENDED_MS_MAX })
    await doNow(page, 'Revert')
    await state(page, 'reverted').waitFor({ timeout: ENDED_MS_MAX })
    await page.getByText('not what we wanted').waitFor()
    await eventually('the version before serves', async () => (await askScale(up?.url ?? '')) === '1 times 1')
    expect(await findFaults(page)).toEqual([])
    await takePicture(page, 'rollout-reverted')
  })

  test('assigns a version, and sees it fetched, proven, switched to and committed, step by step', async () => {
    const { page } = operator
    await page.goto('/')
    await page.getByRole('link', { name: 'cam-01' }).click()
    await heading(page, 'cam-01').waitFor()
    await page.getByRole('button', { name: 'Assign a version' }).click()
    await page.getByLabel('Version').selectOption('2')
    await page.getByRole('button', { name: 'Assign', exact: true }).click()
    const history = page.getByRole('region', { name: 'Update history' })
    const newest = history.locator('.stories > li').first()
    await newest.locator('.step', { hasText: 'activate' }).waitFor({ timeout: ENDED_MS_MAX })
    const steps = await newest.locator('.step').allTextContents()
    expect(steps.slice(0, 8)).toEqual('resolve plan download verify stage probe wait activate'.split(' '))
    expect(await findFaults(page)).toEqual([])
    await takePicture(page, 'device')
  })

  test('writes tags on a device, and is told what is none', async () => {
    const { page } = operator
    await page.getByRole('button', { name: 'Edit tags' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Tags').fill('site=berlin\nrack')
    await dialog.getByRole('button', { name: 'Save' }).click()
    await dialog.getByText('Cannot read "rack": expected NAME=VALUE').waitFor()
    await dialog.getByLabel('Tags').fill('site=berlin\nRACK 7=x')
    await dialog.getByRole('button', { name: 'Save' }).click()
    await dialog.getByText('is no tag').waitFor()
    expect(await findFaults(page)).toEqual([])
    await dialog.getByLabel('Tags').fill('site=berlin\nrack=7')
    await dialog.getByRole('button', { name: 'Save' }).click()
    await dialog.waitFor({ state: 'detached' })
    await page.getByText('site=berlin, rack=7').waitFor()
    await page.getByRole('button', { name: 'Edit tags' }).click()
    expect(await dialog.getByLabel('Tags').inputValue()).toBe('site=berlin\nrack=7')
    await dialog.getByRole('button', { name: 'Cancel' }).click()
  })

  test('fetches the log, and asks the device to report anew', async () => {
    const { page } = operator
    await page.getByRole('button', { name: 'Fetch the log' }).click()
    await page.getByRole('log').locator('p').filter({ hasText: 'agent' }).first().waitFor()
    await page.getByRole('button', { name: 'Report anew' }).click()
    await page.getByRole('row', { name: /rebirth done/ }).waitFor()
    expect(await findFaults(page)).toEqual([])
  })

  test('sees what a version is made of, who has signed it, and where it has passed', async () => {
    const { page } = operator
    await goTo(page, 'Models')
    await page.getByRole('link', { name: 'vision/scale' }).click()
    await page.getByText('checked on every device').first().waitFor()
    await page.getByText('any', { exact: true }).first().waitFor()
    await page.getByText('1 device', { exact: true }).first().waitFor()
    expect(await findFaults(page)).toEqual([])
    await takePicture(page, 'model')
  })

  test('makes a key, which is shown once, and revokes it: whoever was in with it is out', async () => {
    const { page } = operator
    await goTo(page, 'Access')
    await page.getByRole('button', { name: 'Make a key' }).click()
    await page.getByRole('textbox', { name: 'Name' }).fill('guest')
    await page.getByRole('button', { name: 'Make the key' }).click()
    const text = (await page.locator('dialog code').textContent()) ?? ''
    await page.getByRole('button', { name: 'Done' }).click()
    await page.getByRole('row', { name: /guest viewer/ }).waitFor()
    expect(await page.content()).not.toContain(text)

    const guest = await visit(browser, fleet.registry.url)
    await login(guest.page, text)
    expect(await guest.page.getByRole('button', { name: 'Enrol a device' }).count()).toBe(0)
    await page.getByRole('button', { name: 'Revoke guest' }).click()
    expect(await findFaults(page)).toEqual([])
    await page.getByRole('button', { name: 'Revoke', exact: true }).click()
    await page.getByRole('row', { name: /guest viewer .* revoked/ }).waitFor()
    await guest.page.reload()
    await heading(guest.page, 'Log in to the registry').waitFor()
    await guest.context.close()
    expect(await findFaults(page)).toEqual([])
    await takePicture(page, 'access')
  })

  test('finds all of that in the audit, without a secret', async () => {
    const { page } = operator
    await goTo(page, 'Audit')
    const rows = page.getByRole('row').filter({ hasText: 'done' })
    await rows.filter({ hasText: 'PUT /v1/assignments/cam-01' }).first().waitFor()
    await rows.filter({ hasText: 'DELETE /v1/keys/' }).first().waitFor()
    await page.getByText('PUT /v1/assignments/cam-01').first().click()
    expect(await page.content()).not.toMatch(/l[ek]_[0-9a-f]{16}_/)
    expect(await findFaults(page)).toEqual([])
    await takePicture(page, 'audit')
  })

  test('goes everywhere by the keyboard: past the navigation, through a dialog, and back to where it was opened', async () => {
    const { page } = operator
    await page.goto('/')
    await page.getByRole('link', { name: 'cam-01' }).first().waitFor()
    await page.keyboard.press('Tab')
    expect(await focused(page)).toBe('Skip to the page')
    const enrol = page.getByRole('button', { name: 'Enrol a device' })
    await enrol.focus()
    await page.keyboard.press('Enter')
    await page.getByLabel('Name of the device').waitFor()
    await page.keyboard.press('Escape')
    await page.locator('dialog').waitFor({ state: 'detached' })
    expect(await focused(page)).toBe('Enrol a device')
  })

  test('what a device says of itself is shown as text, whatever it is', async () => {
    const { page } = operator
    const model = '<img src=x onerror=document.title=1>'
    await page.goto(`/devices/${encodeURIComponent(model)}`)
    await heading(page, model).waitFor()
    await page.getByText(`Cannot find device "${model}"`).first().waitFor()
    expect(await page.locator('main img').count()).toBe(0)
  })

  test('has asked nobody but the registry, and no page has complained', () => {
    expect(operator.complaints).toEqual([])
  })

  test.each([
    ['phone', { viewport: PHONE }],
    ['dark', { colorScheme: 'dark' }],
    ['light', { colorScheme: 'light' }],
  ] as const)('every page is sound on %s, and nothing is wider than the screen', async (name, options) => {
    const { context, page, complaints } = await visit(browser, fleet.registry.url, options)
    await login(page, key)
    for (const [path, sign] of [
      ['/', 'cam-01'],
      ['/alerts?over=1', 'Also what is over'],
      ['/devices/cam-01', 'Providers'],
      ['/models', 'vision/scale'],
      ['/models/vision/scale', 'Passed and runs'],
      ['/rollouts', 'vision/scale 2'],
      ['/rollouts/r-2', 'not what we wanted'],
      ['/audit', 'PUT /v1/assignments/cam-01'],
      ['/access', 'guest'],
    ] as const) {
      await page.goto(path)
      await page.getByText(sign).first().waitFor({ state: 'attached' })
      expect([path, await findFaults(page)]).toEqual([path, []])
      const excess = await page.evaluate<number>('document.documentElement.scrollWidth - innerWidth')
      expect([path, excess]).toEqual([path, Math.min(excess, 0)])
      await takePicture(page, `${name}${path.replaceAll(/[/?=]/g, '-')}`)
    }
    expect(complaints).toEqual([])
    await context.close()
  })

  test('logs out, and the way back leads to the login', async () => {
    const { page } = operator
    await page.goto('/access')
    await page.getByRole('button', { name: 'Log out' }).click()
    await heading(page, 'Log in to the registry').waitFor()
    await page.goto('/access')
    await heading(page, 'Log in to the registry').waitFor()
  })
})

async function goTo(page: Page, name: string): Promise<void> {
  const pages = page.getByRole('navigation', { name: 'Pages', exact: true })
  await pages.getByRole('link', { name }).click()
}

/** The state of the rollout on whose page it is. */
function state(page: Page, name: string) {
  return page.locator('.page-head .status', { hasText: new RegExp(`^${name}$`) })
}

/** Presses a button that asks again, says why, and means it. */
async function doNow(page: Page, action: string, reason = ''): Promise<void> {
  await page.getByRole('button', { name: action, exact: true }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Why').fill(reason)
  await dialog.getByRole('button', { name: action, exact: true }).click()
  await dialog.waitFor({ state: 'detached' })
}

async function focused(page: Page): Promise<string> {
  return await page.evaluate<string>('document.activeElement.textContent')
}
