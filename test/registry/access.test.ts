/** Who may ask what. The table is the whole API: a route that is not in it fails the test. */
import { afterAll, describe, expect, test } from 'bun:test'
import { ROLES } from '../../src/registry/api-keys.ts'
import { listRoutes } from '../../src/registry/app.ts'
import { bodyOf, jsonRequest, stageRegistry } from './stage.ts'

const stage = await stageRegistry()
afterAll(stage.remove)

const HASH = 'a'.repeat(64)

/** Who gets in: `-` nobody named, `d` a device, then the roles. */
const ACCESS: readonly [route: string, path: string, allowed: string][] = [
  ['GET /v1/health', '/v1/health', 'anyone device admin publisher operator viewer'],
  ['GET /tuf/:file', '/tuf/timestamp.json', 'anyone device admin publisher operator viewer'],
  ['POST /v1/metadata/:role', '/v1/metadata/vision', 'admin publisher'],
  ['POST /v1/metadata/:role/missing', '/v1/metadata/vision/missing', 'admin publisher'],
  ['GET /v1/metadata/:role/seen', '/v1/metadata/vision/seen', 'admin publisher'],
  ['GET /v1/models', '/v1/models', 'admin publisher operator viewer'],
  ['GET /v1/models/:family/:name', '/v1/models/vision/yolo', 'admin publisher operator viewer'],
  ['GET /v1/objects/:sha256', `/v1/objects/${HASH}`, 'device admin publisher operator viewer'],
  ['PUT /v1/objects/:sha256', `/v1/objects/${HASH}`, 'admin publisher'],
  ['GET /v1/packs/:sha256', `/v1/packs/${HASH}`, 'device admin publisher operator viewer'],
  ['POST /v1/packs', '/v1/packs', 'admin publisher'],
  ['POST /v1/chunks/missing', '/v1/chunks/missing', 'admin publisher'],
  ['GET /v1/indexes/:sha256/places', `/v1/indexes/${HASH}/places`, 'device admin publisher operator viewer'],
  ['GET /v1/assignments', '/v1/assignments', 'admin publisher operator viewer'],
  // Its own: that of another device is the next test's matter.
  ['GET /v1/assignments/:target', '/v1/assignments/cam-99', 'device admin publisher operator viewer'],
  ['PUT /v1/assignments/:target', '/v1/assignments/cam-99', 'admin operator'],
  ['DELETE /v1/assignments/:target', '/v1/assignments/cam-99', 'admin operator'],
  ['POST /v1/tokens', '/v1/tokens', 'admin operator'],
  ['POST /v1/enrol', '/v1/enrol', 'anyone device admin publisher operator viewer'],
  ['GET /v1/devices', '/v1/devices', 'admin publisher operator viewer'],
  ['GET /v1/devices/:device', '/v1/devices/cam-01', 'admin publisher operator viewer'],
  ['GET /v1/devices/:device/events', '/v1/devices/cam-01/events', 'admin publisher operator viewer'],
  ['PUT /v1/devices/:device/tags', '/v1/devices/cam-01/tags', 'admin operator'],
  ['GET /v1/devices/:device/telemetry', '/v1/devices/cam-01/telemetry', 'admin publisher operator viewer'],
  ['GET /v1/devices/:device/alerts', '/v1/devices/cam-01/alerts', 'admin publisher operator viewer'],
  ['GET /v1/alerts', '/v1/alerts', 'admin publisher operator viewer'],
  ['POST /v1/rollouts/plan', '/v1/rollouts/plan', 'admin publisher operator viewer'],
  ['POST /v1/rollouts', '/v1/rollouts', 'admin operator'],
  ['GET /v1/rollouts', '/v1/rollouts', 'admin publisher operator viewer'],
  ['GET /v1/rollouts/:id', '/v1/rollouts/r-1', 'admin publisher operator viewer'],
  ['GET /v1/rollouts/:id/devices', '/v1/rollouts/r-1/devices', 'admin publisher operator viewer'],
  ['POST /v1/rollouts/:id/approve', '/v1/rollouts/r-1/approve', 'admin operator'],
  ['POST /v1/rollouts/:id/start', '/v1/rollouts/r-1/start', 'admin operator'],
  ['POST /v1/rollouts/:id/pause', '/v1/rollouts/r-1/pause', 'admin operator'],
  ['POST /v1/rollouts/:id/resume', '/v1/rollouts/r-1/resume', 'admin operator'],
  ['POST /v1/rollouts/:id/abort', '/v1/rollouts/r-1/abort', 'admin operator'],
  ['POST /v1/rollouts/:id/revert', '/v1/rollouts/r-1/revert', 'admin operator'],
  ['GET /v1/devices/:device/explain', '/v1/devices/cam-01/explain', 'admin publisher operator viewer'],
  ['GET /v1/keys', '/v1/keys', 'admin'],
  ['POST /v1/keys', '/v1/keys', 'admin'],
  ['DELETE /v1/keys/:id', '/v1/keys/0123', 'admin'],
  ['GET /v1/live', '/v1/live', 'admin publisher operator viewer'],
  ['GET /v1/discovery/prometheus', '/v1/discovery/prometheus', 'admin publisher operator viewer'],
  ['GET /metrics', '/metrics', 'admin publisher operator viewer'],
  ['GET /v1/audit', '/v1/audit', 'admin publisher operator viewer'],
  ['POST /console/login', '/console/login', 'anyone device admin publisher operator viewer'],
  ['GET /console/session', '/console/session', 'admin publisher operator viewer'],
  ['POST /console/logout', '/console/logout', 'admin publisher operator viewer'],
  ['POST /v1/devices/:device/commands', '/v1/devices/cam-99/commands', 'admin operator'],
  ['GET /v1/devices/:device/commands', '/v1/devices/cam-99/commands', 'admin publisher operator viewer'],
  ['GET /v1/commands/:id', '/v1/commands/0123', 'admin publisher operator viewer'],
  // A device finds its own commands only.
  ['PUT /v1/uploads/:id', '/v1/uploads/0123', 'device'],
  ['GET /v1/uploads/:id', '/v1/uploads/0123', 'admin operator'],
  ['GET /v1/models/:family/:name/:version', '/v1/models/vision/yolo/1', 'admin publisher operator viewer'],
  ['GET /v1/overview', '/v1/overview', 'admin publisher operator viewer'],
  ['GET /', '/', 'anyone device admin publisher operator viewer'],
  ['GET /devices/:device', '/devices/cam-01', 'anyone device admin publisher operator viewer'],
  ['GET /models', '/models', 'anyone device admin publisher operator viewer'],
  ['GET /models/:family/:name', '/models/vision/yolo', 'anyone device admin publisher operator viewer'],
  ['GET /rollouts', '/rollouts', 'anyone device admin publisher operator viewer'],
  ['GET /rollouts/:id', '/rollouts/r-1', 'anyone device admin publisher operator viewer'],
  ['GET /audit', '/audit', 'anyone device admin publisher operator viewer'],
  ['GET /alerts', '/alerts', 'anyone device admin publisher operator viewer'],
  ['GET /access', '/access', 'anyone device admin publisher operator viewer'],
  ['GET /assets/:file', '/assets/icon.svg', 'anyone device admin publisher operator viewer'],
]

test('every route is in the table', () => {
  const routes = listRoutes(stage.parts).map(([, method, path]) => `${method} ${path}`)
  expect(routes).toEqual(ACCESS.map(([route]) => route))
})

describe('who may ask', () => {
  const callers = {
    anyone: {},
    device: stage.asDevice('cam-99'),
    ...Object.fromEntries(ROLES.map((role) => [role, stage.as(role)])),
  }

  test.each(ACCESS)('%s', async (route, path, allowed) => {
    const method = route.split(' ')[0] ?? ''
    const gotIn: string[] = []
    for (const [name, headers] of Object.entries(callers)) {
      const { status } = await stage.app.request(path, { method, headers })
      // What lies behind the door (nothing there, nothing sent) is another matter.
      if (status !== 401 && status !== 403) gotIn.push(name)
      else expect([name, status]).toEqual([name, name === 'anyone' ? 401 : 403])
    }
    // An exchange without a token is refused as such, whoever asks.
    expect(gotIn.join(' ')).toBe(allowed)
  })
})

describe('credentials', () => {
  const ask = (authorization: string) => stage.app.request('/v1/devices', { headers: { authorization } })

  test.each([
    ['a key that was never made', `Bearer lk_${'0'.repeat(16)}_${'0'.repeat(64)}`],
    ['a key of another kind', `Bearer le_${'0'.repeat(16)}_${'0'.repeat(64)}`],
    ['no key at all', 'Bearer '],
    ['another scheme', 'Digest abc'],
    ['a device that is not enrolled', `Basic ${Buffer.from('cam-77:secret').toString('base64')}`],
    ['what is no base64', 'Basic ???'],
  ])('%s is refused, and the answer does not say what was wrong', async (_, authorization) => {
    const refused = await ask(authorization)
    expect([refused.status, await bodyOf(refused)]).toEqual([
      401,
      { error: 'unauthorized', message: 'Cannot tell who asks: the credential is unknown or revoked' },
    ])
  })

  test('a key with one digit changed is refused', async () => {
    const { text } = stage.registry.keys.create({ name: 'mine', role: 'viewer' })
    const last = text.endsWith('0') ? '1' : '0'
    expect((await ask(`Bearer ${text}`)).status).toBe(200)
    expect((await ask(`Bearer ${text.slice(0, -1)}${last}`)).status).toBe(401)
  })

  test('a revoked key opens nothing; the last admin key cannot be revoked', async () => {
    const headers = stage.as('admin')
    const made = await bodyOf(
      await stage.app.request('/v1/keys', jsonRequest('POST', { name: 'ci', role: 'publisher' }, headers)),
    )
    const missing = () =>
      stage.app.request(
        '/v1/chunks/missing',
        jsonRequest('POST', { sha256: [HASH, HASH] }, { authorization: `Bearer ${String(made['key'])}` }),
      )
    expect(await bodyOf(await missing())).toEqual({ missing: [HASH] })
    const revoke = (id: unknown) => stage.app.request(`/v1/keys/${String(id)}`, { method: 'DELETE', headers })
    expect((await revoke(made['id'])).status).toBe(204)
    expect((await missing()).status).toBe(401)

    const admins = stage.registry.keys
      .list()
      .filter(({ role, revoked }) => role === 'admin' && revoked === null)
    const answers = await Promise.all(admins.map(({ id }) => revoke(id)))
    // The caller's own key is among them, so that some are refused as unknown after it has gone.
    expect(answers.filter(({ status }) => status === 204).length).toBeLessThan(admins.length)
    expect(
      stage.registry.keys.list().filter(({ role, revoked }) => role === 'admin' && revoked === null).length,
    ).toBeGreaterThanOrEqual(1)
  })

  test('what lies in the database opens nothing', async () => {
    const { text } = stage.registry.keys.create({ name: 'leaked', role: 'viewer' })
    const stored = await Bun.file(`${stage.folder}/registry.sqlite-wal`).bytes()
    expect(Buffer.from(stored).includes(text)).toBe(false)
    expect(Buffer.from(stored).includes(text.split('_')[2] ?? '')).toBe(false)
  })
})

test('what is not there, or not meant, is answered in words', async () => {
  const headers = stage.as('viewer')
  const ask = async (method: string, path: string) => {
    const response = await stage.app.request(path, { method, headers })
    return [response.status, await bodyOf(response)]
  }
  expect(await ask('GET', '/v1/nothing')).toEqual([
    404,
    { error: 'route_unknown', message: 'Cannot find /v1/nothing' },
  ])
  expect(await ask('PATCH', '/v1/devices')).toEqual([
    405,
    { error: 'method_not_allowed', message: 'Cannot PATCH /v1/devices: another method is meant' },
  ])
  expect(await ask('GET', '/v1/devices/cam-404')).toEqual([
    404,
    { error: 'not_found', message: 'Cannot find device "cam-404": none is enrolled so' },
  ])
})
