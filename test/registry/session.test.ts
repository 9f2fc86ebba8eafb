/** A browser shows a key once and goes on with a cookie: for a while, from its own pages, and as long as the key is good. */
import { afterAll, beforeEach, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import type { Role } from '../../src/registry/api-keys.ts'
import { createFolder } from '../kit/binary.ts'
import { startRegistry } from '../kit/registry.ts'
import { bodyOf, jsonRequest, stageRegistry } from './stage.ts'

const stage = await stageRegistry()
const folder = await createFolder()
afterAll(async () => {
  await stage.remove()
  await folder.remove()
})

let address = 0
beforeEach(() => {
  address += 1
})

const ask = (method: string, path: string, headers: Record<string, string>, body: unknown = {}) =>
  stage.app.request(
    path,
    method === 'GET'
      ? { headers }
      : jsonRequest(method, body, { ...headers, 'x-test-address': `192.0.2.${address}` }),
  )

async function login(role: Role, headers: Record<string, string> = {}) {
  const key = stage.registry.keys.create({ name: role, role })
  const answer = await ask('POST', '/console/login', headers, { key: key.text })
  const setCookie = answer.headers.get('set-cookie') ?? ''
  const body = await bodyOf(answer)
  return { key, setCookie, cookie: setCookie.split(';')[0] ?? '', csrf: String(body['csrf']), body }
}

describe('logging in', () => {
  test('gives a cookie that no script reads and no other site sends, and what a change has to bring', async () => {
    const { key, setCookie, body } = await login('operator')
    expect(setCookie).toMatch(
      /^limpet_session=ls_[0-9a-f]{16}_[0-9a-f]{64}; Path=\/; Max-Age=3600; HttpOnly; SameSite=Strict$/,
    )
    expect(body).toEqual({
      name: 'operator',
      role: 'operator',
      key_id: key.id,
      expires: new Date(stage.clock.now() + 3_600_000).toISOString(),
      csrf: expect.stringMatching(/^[0-9a-f]{64}$/),
    })
  })

  test('over TLS the cookie is for TLS and this host only; the session is found by it', async () => {
    const { setCookie, cookie } = await login('viewer', { 'x-forwarded-proto': 'https' })
    expect(setCookie).toMatch(/^__Host-limpet_session=\S+; .*; Secure$/)
    expect((await ask('GET', '/v1/devices', { cookie })).status).toBe(200)
  })

  test.each([
    ['no key', {}, 400],
    ['a key that was never made', { key: `lk_${'0'.repeat(16)}_${'0'.repeat(64)}` }, 401],
    ['a token', { key: `le_${'0'.repeat(16)}_${'0'.repeat(64)}` }, 401],
  ])('with %s is refused', async (_, body, status) => {
    const refused = await ask('POST', '/console/login', {}, body)
    expect([refused.status, refused.headers.get('set-cookie')]).toEqual([status, null])
  })

  test('with a revoked key is refused', async () => {
    const { id, text } = stage.registry.keys.create({ name: 'gone', role: 'viewer' })
    stage.registry.keys.revoke(id)
    expect((await ask('POST', '/console/login', {}, { key: text })).status).toBe(401)
  })

  test('from a page of another site is refused', async () => {
    const { text } = stage.registry.keys.create({ name: 'mine', role: 'viewer' })
    for (const [site, status] of [
      ['cross-site', 403],
      ['same-site', 403],
      ['same-origin', 201],
    ] as const) {
      const answer = await ask('POST', '/console/login', { 'sec-fetch-site': site }, { key: text })
      expect([site, answer.status]).toEqual([site, status])
    }
  })

  test('is slowed down for who guesses: five times at once from an address, the sixth is refused', async () => {
    const guess = async () => (await ask('POST', '/console/login', {}, { key: 'lk_guess' })).status
    const statuses: number[] = []
    for (let attempt = 0; attempt < 6; attempt += 1) statuses.push(await guess())
    expect(statuses).toEqual([401, 401, 401, 401, 401, 429])
    address += 1
    expect(await guess()).toBe(401)
  })

  test('stands in the audit, without the key', async () => {
    const { key } = await login('operator')
    const entry = stage.registry.audit.list({ after: undefined, count: 1, subject: undefined })[0]
    expect(entry).toMatchObject({
      path: '/console/login',
      outcome: 'done',
      key: { id: key.id, name: 'operator', role: 'operator' },
      address: `192.0.2.${address}`,
    })
    expect(JSON.stringify(entry)).not.toContain(key.text.split('_')[2] ?? '-')
  })
})

describe('a session', () => {
  test('may do what its key may: look, change with what the page knows, and nothing above its role', async () => {
    const { cookie, csrf } = await login('operator')
    const change = { cookie, 'x-limpet-csrf': csrf }
    expect((await ask('GET', '/v1/devices', { cookie })).status).toBe(200)
    expect((await ask('POST', '/v1/tokens', change)).status).toBe(201)
    expect((await ask('POST', '/v1/keys', change, { name: 'x', role: 'viewer' })).status).toBe(403)
    expect((await ask('GET', '/v1/keys', { cookie })).status).toBe(403)
  })

  test.each([
    ['without it', {}],
    ['with that of another session', { 'x-limpet-csrf': 'f'.repeat(64) }],
    ['with an empty one', { 'x-limpet-csrf': '' }],
  ])('changes nothing %s: the cookie alone may come from another page', async (_, headers) => {
    const { cookie } = await login('admin')
    const before = stage.registry.keys.list().length
    for (const [method, path] of [
      ['POST', '/v1/keys'],
      ['PUT', '/v1/assignments/all'],
      ['DELETE', '/v1/keys/0123'],
      ['POST', '/console/logout'],
    ] as const) {
      const refused = await ask(method, path, { cookie, ...headers }, { name: 'x', role: 'admin' })
      expect([path, refused.status]).toEqual([path, 403])
    }
    expect(stage.registry.keys.list()).toHaveLength(before)
  })

  test('tells the page what it needs after it was loaded anew', async () => {
    const { cookie, body } = await login('viewer')
    const answer = await ask('GET', '/console/session', { cookie })
    expect([await bodyOf(answer), answer.headers.get('cache-control')]).toEqual([body, 'no-store'])
  })

  test('ends with logging out', async () => {
    const { cookie, csrf } = await login('viewer')
    const out = await ask('POST', '/console/logout', { cookie, 'x-limpet-csrf': csrf })
    expect([out.status, out.headers.get('set-cookie')]).toEqual([
      204,
      'limpet_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict',
    ])
    expect((await ask('GET', '/v1/devices', { cookie })).status).toBe(401)
  })

  test('ends with its key', async () => {
    const { cookie, key } = await login('viewer')
    expect((await ask('GET', '/v1/devices', { cookie })).status).toBe(200)
    stage.registry.keys.revoke(key.id)
    expect((await ask('GET', '/v1/devices', { cookie })).status).toBe(401)
  })

  test('ends when its time is up, to the second, and so does what it listens to', async () => {
    const { cookie } = await login('viewer')
    const stream = await ask('GET', '/v1/live', { cookie })
    stage.clock.advance(3_599_999)
    expect((await ask('GET', '/v1/devices', { cookie })).status).toBe(200)
    stage.clock.advance(1)
    expect((await ask('GET', '/v1/devices', { cookie })).status).toBe(401)
    const read = stream.text()
    stage.registry.devices.enrol('cam-01', {})
    let isOver = false
    const over = read.finally(() => {
      isOver = true
    })
    while (!isOver) {
      stage.registry.live.flush()
      await Bun.sleep(0)
    }
    expect(await over).toBe(': here\n\n')
  })

  test('is one of 20 for a key: the oldest goes, and nobody else is touched', async () => {
    const other = await login('viewer')
    const { key, cookie } = await login('viewer')
    const later: string[] = []
    for (let session = 0; session < 20; session += 1) {
      later.push(stage.registry.sessions.open(key, { seconds: 60 }).text)
    }
    expect((await ask('GET', '/v1/devices', { cookie })).status).toBe(401)
    expect(later.filter((text) => stage.registry.sessions.find(text) === undefined)).toEqual([])
    expect((await ask('GET', '/v1/devices', { cookie: other.cookie })).status).toBe(200)
  })

  test('with one digit changed is none; a key that is sent beside the cookie counts alone', async () => {
    const { cookie } = await login('viewer')
    const wrong = `${cookie.slice(0, -1)}${cookie.endsWith('0') ? '1' : '0'}`
    expect((await ask('GET', '/v1/devices', { cookie: wrong })).status).toBe(401)
    expect((await ask('GET', '/v1/devices', { cookie, authorization: 'Bearer lk_x' })).status).toBe(401)
    expect((await ask('GET', '/v1/keys', { cookie, ...stage.as('admin') })).status).toBe(200)
  })

  test('what lies in the database opens nothing', async () => {
    const { cookie } = await login('viewer')
    const stored = Buffer.from(await Bun.file(`${stage.folder}/registry.sqlite-wal`).bytes())
    expect(stored.includes(cookie.split('_').at(-1) ?? '')).toBe(false)
  })
})

test('from the binary a session outlives the registry that gave it', async () => {
  const home = join(folder.path, 'sessions')
  const first = await startRegistry(home)
  try {
    const key = (await Bun.file(join(first.state, 'admin.key')).text()).trim()
    const answer = await fetch(`${first.url}/console/login`, {
      method: 'POST',
      body: JSON.stringify({ key }),
    })
    const cookie = answer.headers.get('set-cookie')?.split(';')[0] ?? ''
    expect((await fetch(`${first.url}/v1/keys`, { headers: { cookie } })).status).toBe(200)
    await first.stop('SIGKILL')
    const second = await startRegistry(home)
    try {
      expect((await fetch(`${second.url}/v1/keys`, { headers: { cookie } })).status).toBe(200)
      expect((await fetch(`${second.url}/v1/keys`)).status).toBe(401)
    } finally {
      await second.stop()
    }
  } finally {
    await first.stop('SIGKILL')
  }
})
