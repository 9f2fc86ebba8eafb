/** What publishers sign and operators assign: taken only when a device would take it, and when all of it is here. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readKeys } from '../../src/registry/online-keys.ts'
import { verifyAssignment } from '../../src/trust/assignment.ts'
import type { EnvelopeKey } from '../../src/trust/dsse.ts'
import type { SigningKey } from '../../src/trust/key.ts'
import { randomBytes } from '../kit/random-bytes.ts'
import { SEED } from '../kit/seed.ts'
import { packVersion, publisherKey, type Send, sha256Of, signFamily, upload } from './publish.ts'
import { bodyOf, jsonRequest, type RegistryStage, stageRegistry } from './stage.ts'

let stage: RegistryStage
let publisher: Record<string, string>
let operator: Record<string, string>
let vision: SigningKey
let send: Send
const yolo = packVersion({
  model: 'vision/yolo',
  version: '1.0.0',
  release: 1,
  files: {
    'config.toml': Buffer.from('max_batch_size = 0\n'),
    '1.0.0/model.onnx': randomBytes(300_000, SEED),
  },
})

beforeAll(async () => {
  stage = await stageRegistry()
  publisher = stage.as('publisher')
  operator = stage.as('operator')
  vision = await publisherKey(stage.fleet, 'vision')
  send = async (method, path, body) =>
    await stage.app.request(path, { method, headers: publisher, body: Uint8Array.from(body) })
})
afterAll(() => stage.remove())

const post = async (role: string, metadata: Uint8Array) => {
  const response = await send('POST', `/v1/metadata/${role}`, metadata)
  return [response.status, await bodyOf(response)] as const
}
const next = (targets: Parameters<typeof signFamily>[0]['targets'], version = 2, key = vision) =>
  signFamily({ version, targets, nowMs: stage.clock.now() }, key)

describe('metadata', () => {
  test('that names what is not here is refused, with what is missing, until it is here', async () => {
    const metadata = next(yolo.targets)
    const [status, body] = await post('vision', metadata)
    expect([status, body['error']]).toEqual([409, 'conflict'])
    expect(body['message']).toContain(`object ${yolo.manifest}, is not here; upload it first`)

    await upload({ packs: [], objects: yolo.objects.slice(-1) }, send)
    expect((await post('vision', metadata))[1]['message']).toContain('the chunk index of "config.toml"')
    await upload({ packs: [], objects: yolo.objects }, send)
    expect((await post('vision', metadata))[1]['message']).toContain('chunk 0 of "config.toml"')
    await upload(yolo, send)
    expect(await post('vision', metadata)).toEqual([201, { role: 'vision' }])
  })

  test('is then listed, and served as TUF wants it', async () => {
    const listed = await bodyOf(await stage.app.request('/v1/models', { headers: operator }))
    const model = {
      model: 'vision/yolo',
      floor: 0,
      versions: [{ version: '1.0.0', release: 1, manifest: yolo.manifest }],
    }
    expect(listed).toEqual({ models: [model] })
    expect(await bodyOf(await stage.app.request('/v1/models/vision/yolo', { headers: operator }))).toEqual(
      model,
    )
    const served = await stage.app.request('/tuf/2.vision.json')
    expect(sha256Of(await served.bytes())).toBe(sha256Of(next(yolo.targets)))
    expect((await stage.app.request('/tuf/9.vision.json')).status).toBe(404)
    expect((await stage.app.request('/tuf/..%2Fregistry.sqlite')).status).toBe(404)
  })

  test.each<[string, () => Promise<Uint8Array> | Uint8Array, string]>([
    [
      'signed by the publisher of another family',
      async () => next(yolo.targets, 3, await publisherKey(stage.fleet, 'audio')),
      'publisher_not_delegated',
    ],
    ['of a version that was there', () => next(yolo.targets, 2), 'metadata_rolled_back'],
    ['of a version too far ahead', () => next(yolo.targets, 10_004), 'metadata_fast_forwarded'],
  ])('%s is refused by name', async (_, make, reason) => {
    const [status, body] = await post('vision', await make())
    expect([status, body['error'], body['reason']]).toEqual([403, 'untrusted', reason])
  })

  test.each([
    ['no JSON', Buffer.from('no')],
    ['no metadata', Buffer.from('{}')],
  ])('that is %s is refused', async (_, bytes) => {
    expect((await post('vision', bytes))[0]).toBe(400)
  })
})

describe('assignments', () => {
  let directors: EnvelopeKey[]
  beforeAll(async () => {
    directors = (await readKeys(`${stage.folder}/keys`)).map(({ id, json }) => ({
      id,
      public: json.keyval.public,
    }))
  })

  const assign = async (target: string, models: object[]) => {
    const response = await stage.app.request(
      `/v1/assignments/${target}`,
      jsonRequest('PUT', { models }, operator),
    )
    return [response.status, await bodyOf(response)] as const
  }
  const envelopeOf = async (device: string, headers = operator) =>
    await stage.app.request(`/v1/assignments/${device}`, { headers })
  const read = async (device: string) =>
    verifyAssignment(await (await envelopeOf(device)).bytes(), {
      device,
      directorKeys: directors,
      lastRev: 0,
    })

  const wanted = { model: 'vision/yolo', version: '1.0.0' }

  test('a device that nobody has assigned anything has none: it is not told to run nothing', async () => {
    stage.asDevice('gate-01')
    expect((await envelopeOf('gate-01')).status).toBe(404)
  })

  test('one for all reaches every device, signed for each alone, with all that TUF says of the version', async () => {
    stage.asDevice('gate-02')
    const [status, body] = await assign('all', [{ ...wanted, policy: { observe_seconds: 60 } }])
    expect([status, body]).toEqual([200, { revs: { 'gate-01': 1, 'gate-02': 1 } }])
    expect(stage.issued.map(({ device, rev }) => [device, rev])).toEqual([
      ['gate-01', 1],
      ['gate-02', 1],
    ])
    expect(await read('gate-01')).toMatchObject({
      device: 'gate-01',
      rev: 1,
      models: [
        {
          ...wanted,
          manifest: yolo.manifest,
          release: 1,
          allow_downgrade: false,
          policy: { observe_seconds: 60 },
        },
      ],
    })
    const foreign = async () =>
      verifyAssignment(await (await envelopeOf('gate-01')).bytes(), {
        device: 'gate-02',
        directorKeys: directors,
        lastRev: 0,
      })
    await expect(foreign()).rejects.toThrow('it is for "gate-01"')
  })

  test('the same again issues nothing new; a change raises the rev; one of its own goes before', async () => {
    await assign('all', [{ ...wanted, policy: { observe_seconds: 60 } }])
    expect((await read('gate-01')).rev).toBe(1)
    expect(await assign('gate-01', [])).toEqual([200, { rev: 2 }])
    expect((await read('gate-01')).models).toEqual([])
    expect(await assign('all', [wanted])).toEqual([200, { revs: { 'gate-02': 2 } }])
    expect((await read('gate-01')).models).toEqual([])

    const back = await stage.app.request('/v1/assignments/gate-01', { method: 'DELETE', headers: operator })
    expect(await bodyOf(back)).toEqual({ rev: 3 })
    expect((await read('gate-01')).models).toMatchObject([wanted])
  })

  test('a device that comes later gets what all run', async () => {
    const headers = stage.asDevice('gate-03')
    expect((await envelopeOf('gate-03', headers)).status).toBe(200)
    expect((await read('gate-03')).models).toMatchObject([wanted])
    const other = await envelopeOf('gate-01', headers)
    expect([other.status, (await bodyOf(other))['error']]).toEqual([403, 'forbidden'])
  })

  test('a registry that was restored from an old copy goes on above what a device has seen', () => {
    const { assignments } = stage.registry
    const before = assignments.current('gate-03')?.rev ?? 0
    expect(assignments.catchUp('gate-03', before)?.rev).toBe(before)
    expect(assignments.catchUp('gate-03', 41)?.rev).toBe(42)
    expect(assignments.catchUp('gate-03', 7)?.rev).toBe(42)
    expect(assignments.current('gate-03')?.rev).toBe(42)
  })

  test.each<[string, string, object[], number, string]>([
    [
      'a version that nobody signed',
      'all',
      [{ ...wanted, version: '2.0.0' }],
      404,
      'vision/yolo 2.0.0: no publisher has signed it',
    ],
    ['no model', 'all', [{ model: 'yolo', version: '1' }], 404, 'no publisher has signed it'],
    ['a device that is not there', 'gate-99', [wanted], 404, 'device "gate-99"'],
    ['two models of one name', 'all', [wanted, { ...wanted, model: 'audio/yolo' }], 400, 'same name'],
    [
      'a policy that is none',
      'all',
      [{ ...wanted, policy: { observe_seconds: -1 } }],
      400,
      'observe_seconds',
    ],
    ['a word that is not known', 'all', [{ ...wanted, at_once: true }], 400, 'at_once'],
  ])('%s is refused', async (_, target, models, expected, words) => {
    const before = JSON.stringify(stage.registry.assignments.list())
    const [status, body] = await assign(target, models)
    expect([status, body['message']]).toEqual([expected, expect.stringContaining(words)])
    expect(JSON.stringify(stage.registry.assignments.list())).toBe(before)
  })

  test('while one for many devices is signed, others are answered', async () => {
    const many = Array.from({ length: 250 }, (_, index) => `many-${String(index).padStart(3, '0')}`)
    for (const id of many) stage.asDevice(id)
    const { assignments } = stage.registry
    const signed = () =>
      stage.database.prepare("SELECT count(*) AS devices FROM issued WHERE device LIKE 'many-%'").get()
    const signing = assignments.assignAll([{ ...wanted, manifest: yolo.manifest, release: 1 }] as never)
    expect(signed()).not.toEqual({ devices: many.length })
    const others = await stage.app.request('/v1/overview', { headers: operator })
    expect(others.status).toBe(200)
    const revs = new Map((await signing).map(({ device, rev }) => [device, rev]))
    expect(many.map((id) => revs.get(id))).toEqual(many.map(() => 1))
    expect(signed()).toEqual({ devices: many.length })
  })
})
