/** Rollouts as people steer them over the registry's API, with real signatures. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { openEnvelope } from '../../src/trust/dsse.ts'
import { packVersion, publisherKey, sha256Of, signFamily } from './publish.ts'
import { bodyOf, jsonRequest, type RegistryStage, stageRegistry } from './stage.ts'

let stage: RegistryStage

beforeAll(async () => {
  stage = await stageRegistry()
  const version = (release: number) => ({
    ...{ model: 'vision/yolo', version: String(release), release },
    files: { '1/model.onnx': new Uint8Array(100).fill(release) },
  })
  const headers = stage.as('publisher')
  const send = (method: string, path: string, body: Uint8Array) =>
    stage.app.request(path, { method, headers, body: Uint8Array.from(body) })
  const packed = [1, 2].map((release) => packVersion(version(release)))
  for (const { packs, objects } of packed) {
    for (const pack of packs) await send('POST', '/v1/packs', pack)
    for (const object of objects) await send('PUT', `/v1/objects/${sha256Of(object)}`, object)
  }
  const targets = Object.assign({}, ...packed.map((one) => one.targets))
  const key = await publisherKey(stage.fleet, 'vision')
  const signed = signFamily({ version: 2, targets, floors: {}, nowMs: stage.clock.now() }, key)
  expect((await send('POST', '/v1/metadata/vision', signed)).status).toBe(201)
  for (const id of ['cam-01', 'cam-02', 'cam-03']) {
    stage.registry.devices.enrol(id, { names: ['x64', 'plain-x86'] })
    stage.registry.devices.keepState(id, { sid: 's', seq: 1, online: true, body: {} })
  }
})
afterAll(() => stage.remove())

const ask = async (method: string, path: string, body?: unknown, headers = stage.as('operator')) => {
  const answer = await stage.app.request(
    path,
    body === undefined ? { method, headers } : jsonRequest(method, body, headers),
  )
  return { status: answer.status, body: await bodyOf(answer) }
}

const wanted = {
  model: 'vision/yolo',
  version: '2',
  waves: [{ count: 1, soak_seconds: 0 }, { percent: 100 }],
}

test('a plan says who comes when, and does nothing', async () => {
  const { status, body } = await ask('POST', '/v1/rollouts/plan', wanted, stage.as('viewer'))
  expect(status).toBe(200)
  expect(body).toMatchObject({
    devices: 3,
    waves: [
      { devices: 1, hardware: { 'plain-x86': 1 } },
      { devices: 2, hardware: { 'plain-x86': 2 } },
    ],
    left_out: [],
  })
  expect((await ask('GET', '/v1/rollouts')).body).toEqual({ rollouts: [] })
})

test.each([
  [{ ...wanted, version: '9' }, 404, 'no publisher has signed it'],
  [{ ...wanted, selector: 'site=berlin' }, 400, '"site" is none of id, hardware'],
  [{ ...wanted, waves: [{ percent: 50 }] }, 400, 'expected percent 100'],
  [{ ...wanted, policy: { on_failure: 'explode' } }, 400, 'on_failure'],
  [{ ...wanted, schedule: { window: 'soon' } }, 400, 'Cannot use the window "soon"'],
  [{ ...wanted, percent: 3 }, 400, 'percent'],
])('%j: refused in words, and nothing is made', async (request, status, words) => {
  const answer = await ask('POST', '/v1/rollouts', request)
  expect([answer.status, answer.body['message']]).toEqual([status, expect.stringContaining(words)])
  expect((await ask('GET', '/v1/rollouts')).body).toEqual({ rollouts: [] })
})

test('made as a draft, started, watched, aborted: each step is a row with who and why', async () => {
  const made = await ask('POST', '/v1/rollouts', wanted)
  expect([made.status, made.body]).toMatchObject([201, { id: 'r-1', state: 'draft', plan: { devices: 3 } }])
  stage.issued.length = 0
  const started = await ask('POST', '/v1/rollouts/r-1/start', { reason: 'release day' })
  expect([started.status, started.body]).toMatchObject([200, { id: 'r-1', state: 'running', wave: 0 }])
  expect(stage.issued.map(({ rev }) => rev)).toEqual([1])
  const [{ device } = { device: '' }] = stage.issued
  expect((await ask('GET', '/v1/rollouts/r-1/devices?state=assigned')).body).toMatchObject({
    devices: [{ device, wave: 0, state: 'assigned' }],
  })
  const envelope = await stage.app.request(`/v1/assignments/${device}`, { headers: stage.as('viewer') })
  const opened = openEnvelope(new Uint8Array(await envelope.arrayBuffer()), {
    ...{ type: 'application/vnd.limpet.assignment+json', keys: [], bytesMax: 100_000 },
  })
  expect(JSON.parse(Buffer.from(opened.payload).toString())).toMatchObject({
    ...{ device, rev: 1 },
    models: [{ model: 'vision/yolo', version: '2', rollout: 'r-1', wave: 0 }],
  })
  expect((await ask('GET', `/v1/devices/${device}/explain`)).body).toMatchObject({
    models: [{ model: 'vision/yolo', runs: { version: '2' }, because: 'rollout r-1 has brought it' }],
  })
  expect((await ask('POST', '/v1/rollouts/r-1/start')).body['message']).toBe(
    'Cannot start rollout r-1: it is running',
  )
  expect((await ask('POST', '/v1/rollouts/r-1/abort', { reason: 'not today' })).status).toBe(200)
  expect((await ask('GET', '/v1/rollouts/r-1')).body).toMatchObject({
    state: 'aborted',
    waves: [
      { devices: 1, states: { withdrawn: 1 } },
      { devices: 2, states: { withdrawn: 2 } },
    ],
    transitions: [
      { from: 'draft', to: 'running', reason: 'release day' },
      { from: 'running', to: 'aborting', reason: 'not today' },
      { from: 'aborting', to: 'aborted', by: null },
    ],
  })
  expect((await ask('GET', `/v1/devices/${device}/explain`)).body).toMatchObject({ models: [{ runs: null }] })
})

test('a registry may ask for a second person for every rollout', async () => {
  stage.registry.rollouts.needsSecondPerson = true
  const [first, second] = [stage.as('operator'), stage.as('operator')]
  const { body } = await ask('POST', '/v1/rollouts', wanted, first)
  const path = `/v1/rollouts/${String(body['id'])}`
  expect((await ask('POST', `${path}/start`, {}, second)).status).toBe(409)
  expect((await ask('POST', `${path}/approve`, {}, first)).status).toBe(409)
  expect((await ask('POST', `${path}/approve`, {}, second)).status).toBe(200)
  expect((await ask('POST', `${path}/start`, {}, first)).body).toMatchObject({
    state: 'running',
    approval: 'second_person',
  })
})

test('a list is read on from where a reader stopped', async () => {
  const ids = async (query: string) => {
    const { rollouts } = (await ask('GET', `/v1/rollouts${query}`)).body as { rollouts: { id: string }[] }
    return rollouts.map(({ id }) => id)
  }
  expect(await ids('?count=1')).toEqual(['r-2'])
  expect(await ids('?count=1&after=r-2')).toEqual(['r-1'])
  expect((await ask('GET', '/v1/rollouts?after=x')).status).toBe(400)
  expect((await ask('GET', '/v1/rollouts/r-9')).status).toBe(404)
})
