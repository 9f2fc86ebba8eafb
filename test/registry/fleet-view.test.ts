/** The fleet in pages and in figures. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { bodyOf, type RegistryStage, stageRegistry } from './stage.ts'

let stage: RegistryStage
beforeAll(async () => {
  stage = await stageRegistry()
  const { devices } = stage.registry
  for (let number = 0; number < 12; number += 1) {
    const id = `${number < 7 ? 'cam' : 'door'}-${String(number).padStart(2, '0')}`
    devices.enrol(id, {})
    if (number % 3 === 0) continue
    const version = number % 2 === 0 ? '2' : '1'
    const running = { version, release: 1, sha256: 'a'.repeat(64) }
    const alerts = number === 4 ? [{ name: 'disk', subject: '' }] : []
    devices.keepState(id, {
      ...{ sid: 's', seq: 1, online: true },
      body: { alerts, hardware_class: 'nano', models: [{ model: 'vision/scale', running, update: null }] },
    })
  }
  const alert = { kind: 'alert', name: 'disk', state: 'raised', severity: 'critical', message: 'it is full' }
  devices.keepEvents([
    { device: 'cam-04', sid: 's', seq: 2, body: { ...alert, since: 5, time: 5, value: 99, limit: 90 } },
  ])
})
afterAll(() => stage.remove())

async function ask(path: string) {
  const response = await stage.app.request(path, { headers: stage.as('viewer') })
  return { status: response.status, body: await bodyOf(response) }
}

async function idsAt(question: string) {
  const { body } = await ask(`/v1/devices?${question}`)
  const ids = (body['devices'] as { id: string }[]).map(({ id }) => id)
  return { ids, total: body['total'], next: body['next'] }
}

describe('a page of devices', () => {
  test('goes on where the last one stopped, and says how many there are and when it is the last', async () => {
    const seen: string[] = []
    let after = ''
    for (let page = 0; page < 3; page += 1) {
      const { ids, total, next } = await idsAt(`count=5&after=${after}`)
      expect(total).toBe(12)
      seen.push(...ids)
      expect(next).toBe(page < 2 ? (ids.at(-1) ?? '') : null)
      after = String(next)
    }
    expect(seen).toEqual(stage.registry.devices.list().map(({ id }) => id))
  })

  test('a page that is just full is the last one', async () => {
    expect((await idsAt('count=12')).next).toBeNull()
  })

  test('is of those whose name has it in them, in whatever case, and as alive as asked', async () => {
    expect(await idsAt('search=DOOR')).toMatchObject({ total: 5 })
    expect(await idsAt('search=%25')).toEqual({ ids: [], total: 0, next: null })
    expect((await idsAt('liveness=warning')).ids).toEqual(['cam-04'])
    expect((await idsAt('liveness=offline&search=cam')).ids).toEqual(['cam-00', 'cam-03', 'cam-06'])
    expect((await idsAt('liveness=alive&search=cam')).ids).toEqual(['cam-01', 'cam-02', 'cam-05'])
  })

  test.each(['count=0', 'count=501', 'liveness=dead', 'pages=1'])(
    '"%s" is refused in words',
    async (question) => {
      const { status, body } = await ask(`/v1/devices?${question}`)
      expect([status, body['error']]).toEqual([400, 'input_invalid'])
      expect(body['message']).toContain(question.split('=')[0] ?? '')
    },
  )

  test('without a question it is all of them, as ever', async () => {
    const { body } = await ask('/v1/devices')
    expect(Object.keys(body)).toEqual(['devices'])
    expect(body['devices']).toHaveLength(12)
  })
})

test('the overview counts devices by liveness, versions by model, and alerts', async () => {
  expect((await ask('/v1/overview')).body).toMatchObject({
    devices: { total: 12, alive: 7, warning: 1, offline: 4 },
    models: [
      {
        model: 'vision/scale',
        devices: 8,
        versions: [
          { version: '1', devices: 4 },
          { version: '2', devices: 4 },
        ],
      },
    ],
    rollouts: [],
    alerts: { warning: 0, critical: 1, newest: [{ device: 'cam-04', name: 'disk', message: 'it is full' }] },
  })
})

test('the newest events are the last ones, in their order', async () => {
  const { devices } = stage.registry
  devices.keepEvents([3, 4, 5].map((seq) => ({ device: 'cam-01', sid: 's', seq, body: { seq } })))
  const { body } = await ask('/v1/devices/cam-01/events?newest=true&count=2')
  expect((body['events'] as { seq: number }[]).map(({ seq }) => seq)).toEqual([4, 5])
})
