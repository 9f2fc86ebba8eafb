/** Who has changed what: written down before it is done, with how it ended, and without a secret. */
import { afterAll, describe, expect, test } from 'bun:test'
import { Audit } from '../../src/registry/audit.ts'
import { bodyOf, jsonRequest, stageRegistry } from './stage.ts'

const stage = await stageRegistry()
afterAll(stage.remove)

interface Entry {
  readonly number: number
  readonly key: { readonly role: string }
  readonly path: string
  readonly subject: string
  readonly detail: unknown
  readonly outcome: string
}

const operator = stage.as('operator')
const admin = stage.as('admin')

async function entries(query = ''): Promise<Entry[]> {
  const answer = await stage.app.request(`/v1/audit${query}`, { headers: stage.as('viewer') })
  return (await bodyOf(answer))['entries'] as Entry[]
}

describe('a change', () => {
  test('stands there whole: who, when, what, about what, from where, how it ended', async () => {
    const { id, key } = await bodyOf(
      await stage.app.request(
        '/v1/keys',
        jsonRequest('POST', { name: 'ci', role: 'publisher' }, { ...admin, 'x-test-address': '192.0.2.77' }),
      ),
    )
    const [last] = await entries('?count=1')
    expect(last).toEqual({
      number: expect.any(Number),
      time: new Date(stage.clock.now()).toISOString(),
      key: { id: admin['authorization']?.split('_')[1], name: 'admin', role: 'admin' },
      method: 'POST',
      path: '/v1/keys',
      subject: id,
      detail: { name: 'ci', role: 'publisher' },
      address: '192.0.2.77',
      outcome: 'done',
    } as never)
    expect(JSON.stringify(await entries())).not.toContain(String(key).split('_')[2] ?? '')
  })

  test('that was refused stands there with why', async () => {
    await stage.app.request('/v1/assignments/cam-404', jsonRequest('PUT', { models: [] }, operator))
    await stage.app.request('/v1/tokens', jsonRequest('POST', { expires_seconds: 1 }, operator))
    expect((await entries('?count=2')).map(({ path, subject, outcome }) => [path, subject, outcome])).toEqual(
      [
        ['/v1/assignments/cam-404', 'cam-404', 'not_found'],
        ['/v1/tokens', '', 'input_invalid'],
      ],
    )
  })

  test('that nobody was allowed to make, a question, and bytes alone are no entries', async () => {
    const before = (await entries('?count=1'))[0]?.number
    const publisher = stage.as('publisher')
    const asked = [
      await stage.app.request('/v1/tokens', jsonRequest('POST', {}, stage.as('viewer'))),
      await stage.app.request('/v1/devices', { headers: operator }),
      await stage.app.request('/v1/chunks/missing', jsonRequest('POST', { sha256: [] }, publisher)),
      await stage.app.request('/v1/enrol', jsonRequest('POST', { token: 'le_x_y' })),
    ]
    expect(asked.map(({ status }) => status)).toEqual([403, 200, 200, 401])
    expect((await entries('?count=1'))[0]?.number).toBe(before as number)
  })

  test('is there as begun while it is made, and stays so where the registry ends first', async () => {
    const number = stage.registry.audit.begin({
      key: { id: 'a', name: 'a', role: 'operator' },
      method: 'PUT',
      path: '/v1/assignments/cam-01',
      subject: 'cam-01',
      detail: null,
      address: '',
    })
    expect((await entries('?subject=cam-01')).map((entry) => [entry.number, entry.outcome])).toEqual([
      [number, 'begun'],
    ])
  })
})

describe('what is noted of a request', () => {
  const noted = async (body: unknown) => {
    await stage.app.request('/v1/assignments/cam-02', jsonRequest('PUT', body, operator))
    return (await entries('?subject=cam-02&count=1'))[0]?.detail
  }
  const secret = `lk_${'0'.repeat(16)}_${'a'.repeat(64)}`

  test('has no secrets, by their names or by their form', async () => {
    const detail = await noted({
      password: 'hunter2',
      webhook: { api_key: 'x', authorization: 'y', url: `http://hooks.example/${secret}` },
      list: [secret, 'plain'],
    })
    expect(detail).toEqual({
      password: '…',
      webhook: { api_key: '…', authorization: '…', url: '…' },
      list: ['…', 'plain'],
    })
  })

  test('is bounded, however much came', async () => {
    expect(await noted({ text: 'x'.repeat(300) })).toEqual({ text: `${'x'.repeat(256)}…` })
    expect(await noted({ many: Array.from({ length: 60 }, () => 'y'.repeat(200)) })).toEqual({
      omitted_bytes: expect.any(Number),
    })
    expect(await noted({ many: Array.from({ length: 60 }, (_, index) => index) })).toEqual({
      many: [...Array.from({ length: 50 }, (_, index) => index), '…'],
    })
    expect(await noted({ many: 'z'.repeat(100_000) })).toBe(null)
    expect(await noted('not an object')).toBe('not an object')
  })

  test('leaves the body to whoever answers', async () => {
    const token = await stage.app.request('/v1/tokens', jsonRequest('POST', { device: 'cam-03' }, operator))
    const { token: text } = await bodyOf(token)
    const enrol = await stage.app.request('/v1/enrol', jsonRequest('POST', { token: text, hardware: {} }))
    expect([enrol.status, await bodyOf(enrol)]).toMatchObject([201, { device: 'cam-03' }])
  })
})

describe('reading', () => {
  test('begins with the newest, and goes on after a number', async () => {
    const all = await entries('?count=1000')
    const numbers = all.map(({ number }) => number)
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b))
    expect((await entries('?count=2')).map(({ number }) => number)).toEqual(numbers.slice(-2))
    expect((await entries(`?count=2&after=${numbers[0]}`)).map(({ number }) => number)).toEqual(
      numbers.slice(1, 3),
    )
  })

  test('a count that is too large, and a word that is not known, are refused', async () => {
    const headers = stage.as('viewer')
    for (const query of ['?count=1001', '?count=0', '?after=-1', '?sbject=cam-01']) {
      expect((await stage.app.request(`/v1/audit${query}`, { headers })).status).toBe(400)
    }
  })
})

test('the oldest entries go', () => {
  const sources = { database: stage.database, clock: stage.clock, live: stage.registry.live, entriesMax: 3 }
  const audit = new Audit(sources)
  const change = { method: 'PUT', path: '/', subject: 'bound', detail: null, address: '' }
  const numbers = Array.from({ length: 5 }, () =>
    audit.begin({ key: { id: 'a', name: 'a', role: 'admin' }, ...change }),
  )
  const kept = audit.list({ after: 0, count: 10, subject: undefined })
  expect(kept.map(({ number }) => number)).toEqual(numbers.slice(-3))
})
