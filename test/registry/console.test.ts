/** How the console's files are served. */
import { afterAll, describe, expect, test } from 'bun:test'
import { stageRegistry } from './stage.ts'

const stage = await stageRegistry()
afterAll(stage.remove)

const ask = (path: string, headers: Record<string, string> = {}) => stage.app.request(path, { headers })

/** 120 KiB. */
const SCRIPT_BYTES_MAX = 122_880

describe('the console', () => {
  test('allows nothing from elsewhere, nothing in line, and nobody to frame it', async () => {
    const page = await ask('/')
    expect(page.headers.get('content-security-policy')).toBe(
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    )
    expect(page.headers.get('x-content-type-options')).toBe('nosniff')
    const html = await page.text()
    expect(html).not.toMatch(/<script(?![^>]*\bsrc=)|<style|style=|\bon[a-z]+=/)
    expect(
      [...html.matchAll(/(?:src|href)="([^"]+)"/g)].filter(([, path]) => !path?.startsWith('/assets/')),
    ).toEqual([])
  })

  test('is one script and one style that a browser may keep for good, and a page that it asks for each time', async () => {
    const page = await ask('/devices/cam-01')
    expect(page.headers.get('cache-control')).toBe('no-cache')
    const files = [
      ...(await page.text()).matchAll(/"(\/assets\/(?:script|style)-[0-9a-f]{16}\.(?:js|css))"/g),
    ]
    expect(files).toHaveLength(2)
    for (const [, path = ''] of files) {
      const file = await ask(path)
      expect([file.status, file.headers.get('cache-control')]).toEqual([
        200,
        'public, max-age=31536000, immutable',
      ])
      const plain = await file.bytes()
      expect(plain.byteLength).toBeLessThan(SCRIPT_BYTES_MAX)
      const packed = await ask(path, { 'accept-encoding': 'gzip, br' })
      expect(packed.headers.get('content-encoding')).toBe('gzip')
      expect(Bun.gunzipSync(Uint8Array.from(await packed.bytes()))).toEqual(Uint8Array.from(plain))
    }
  })

  test('has no other files', async () => {
    for (const path of ['/assets/nothing.js', '/assets/', '/nowhere']) {
      expect([path, (await ask(path)).status]).toEqual([path, 404])
    }
  })
})
