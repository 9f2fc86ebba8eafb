/** How a device comes into the fleet: a token that is worth one credential. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { bodyOf, jsonRequest, type RegistryStage, stageRegistry } from './stage.ts'

let stage: RegistryStage
let operator: Record<string, string>
beforeAll(async () => {
  stage = await stageRegistry()
  operator = stage.as('operator')
})
afterAll(() => stage.remove())

let address = 0

async function makeToken(wanted: object = {}) {
  const response = await stage.app.request('/v1/tokens', jsonRequest('POST', wanted, operator))
  expect(response.status).toBe(201)
  return (await response.json()) as { token: string; id: string; expires: string }
}

/** From an address of its own, so that the limit does not speak. */
async function enrol(body: object, from?: string) {
  address += 1
  from ??= `198.51.100.${address}`
  return await stage.app.request('/v1/enrol', jsonRequest('POST', body, { 'x-test-address': from }))
}

const USED_UP = {
  error: 'unauthorized',
  message: 'Cannot enrol: the token is unknown, used or expired; ask an operator for a new one',
}

test('a token gives a device its id, its credential, the broker and the root; once', async () => {
  const { token } = await makeToken()
  const response = await enrol({ token, device: 'cam-07', hardware: { profile: 'x64' } })
  expect(response.status).toBe(201)
  const given = await bodyOf(response)
  expect(given).toEqual({
    device: 'cam-07',
    secret: expect.stringMatching(/^[0-9a-f]{64}$/),
    mqtt: { url: 'mqtt://registry.example:1883', username: 'cam-07' },
    root: await Bun.file(`${stage.fleet}/root.json`).json(),
  })
  expect(stage.registry.devices.isSecretOf('cam-07', String(given['secret']))).toBe(true)
  expect(stage.registry.devices.isSecretOf('cam-07', `${String(given['secret']).slice(1)}0`)).toBe(false)

  const again = await enrol({ token, device: 'cam-08' })
  expect([again.status, await bodyOf(again)]).toEqual([401, USED_UP])
  expect(stage.registry.devices.has('cam-08')).toBe(false)
})

test('of many that use one token at once, one gets in', async () => {
  const { token } = await makeToken()
  const answers = await Promise.all(
    Array.from({ length: 8 }, (_, index) => enrol({ token, device: `racer-${index}` })),
  )
  expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array<number>(7).fill(401)])
})

test('without a wish the registry chooses an id', async () => {
  const { token } = await makeToken()
  expect(await bodyOf(await enrol({ token }))).toMatchObject({
    device: expect.stringMatching(/^device-[0-9a-f]{12}$/),
  })
})

test('a token lasts as long as it was said to, and not a millisecond longer', async () => {
  const first = await makeToken({ expires_seconds: 60 })
  const second = await makeToken({ expires_seconds: 60 })
  expect(Date.parse(first.expires)).toBe(stage.clock.now() + 60_000)
  stage.clock.advance(59_999)
  expect((await enrol({ token: first.token })).status).toBe(201)
  stage.clock.advance(1)
  expect((await enrol({ token: second.token })).status).toBe(401)
})

describe('a device that is there', () => {
  test('is not taken over with a token for anybody', async () => {
    await enrol({ token: (await makeToken()).token, device: 'door-01' })
    const { token } = await makeToken()
    const refused = await enrol({ token, device: 'door-01' })
    expect([refused.status, await bodyOf(refused)]).toEqual([
      409,
      {
        error: 'conflict',
        message: 'Cannot enrol "door-01": there is such a device; to enrol it again, use a token made for it',
      },
    ])
    // Refused for its name, not used up.
    expect((await enrol({ token, device: 'door-02' })).status).toBe(201)
  })

  test('enrols again with a token made for it, and its old credential is worth nothing', async () => {
    const before = await bodyOf(await enrol({ token: (await makeToken()).token, device: 'door-03' }))
    const { token } = await makeToken({ device: 'door-03' })
    const wrong = await enrol({ token, device: 'door-04' })
    expect([wrong.status, (await bodyOf(wrong))['message']]).toEqual([
      409,
      'Cannot enrol "door-04": the token was made for "door-03"',
    ])
    const after = await bodyOf(await enrol({ token }))
    expect(after['device']).toBe('door-03')
    const { devices } = stage.registry
    expect([before, after].map(({ secret }) => devices.isSecretOf('door-03', String(secret)))).toEqual([
      false,
      true,
    ])
  })
})

test.each([
  ['all', 'the name of everybody'],
  ['Cam', 'capitals'],
  ['a/b', 'a level of its own'],
  ['+', 'a wildcard'],
  ['-cam', 'a dash first'],
  ['c', 'too short'],
  ['c'.repeat(65), 'too long'],
])('"%s" is no id for a device: %s', async (device) => {
  const refused = await enrol({ token: (await makeToken()).token, device })
  expect([refused.status, (await bodyOf(refused))['message']]).toEqual([
    400,
    expect.stringContaining('at device'),
  ])
})

test('who guesses tokens is slowed down, and nobody else', async () => {
  const guess = (from: string) =>
    enrol({ token: `le_${'0'.repeat(16)}_${'0'.repeat(64)}` }, from).then(({ status }) => status)
  const inARow = async (from: string, count: number) => {
    const statuses: number[] = []
    for (let index = 0; index < count; index += 1) statuses.push(await guess(from))
    return statuses
  }
  expect(await inARow('203.0.113.1', 7)).toEqual([401, 401, 401, 401, 401, 429, 429])
  expect(await inARow('203.0.113.2', 1)).toEqual([401])
  stage.clock.advance(59_999)
  expect(await inARow('203.0.113.1', 1)).toEqual([429])
  stage.clock.advance(1)
  expect(await inARow('203.0.113.1', 2)).toEqual([401, 429])
})

test('no token, secret or key stands in the database in clear', async () => {
  const { token } = await makeToken()
  const other = (await makeToken()).token
  const { secret } = await bodyOf(await enrol({ token }))
  const kept = Buffer.concat(
    await Promise.all(
      ['registry.sqlite', 'registry.sqlite-wal'].map((name) => Bun.file(`${stage.folder}/${name}`).bytes()),
    ),
  )
  const secrets = [token, other, operator['authorization'] ?? ''].map((text) => text.split('_')[2] ?? '')
  expect([...secrets, String(secret)].map((text) => text.length)).toEqual([64, 64, 64, 64])
  expect([...secrets, String(secret)].filter((text) => kept.includes(text))).toEqual([])
})

describe('whoever was cut off from the answer', () => {
  const [mine, other] = ['a', 'b'].map((letter) => letter.repeat(64))

  test('asks again with the same claim, and gets a credential that counts for the same device', async () => {
    const { token } = await makeToken()
    const first = await bodyOf(await enrol({ token, device: 'cut-1', claim: mine }))
    // A token that is made meanwhile takes nothing away from it.
    await makeToken()
    const again = await enrol({ token, device: 'cut-1', claim: mine })
    const second = await bodyOf(again)
    expect([again.status, second['device']]).toEqual([201, 'cut-1'])
    expect(stage.registry.devices.isSecretOf('cut-1', String(second['secret']))).toBe(true)
    expect(stage.registry.devices.isSecretOf('cut-1', String(first['secret']))).toBe(false)
  })

  test('gets the id that the registry chose for it then', async () => {
    const { token } = await makeToken()
    const { device } = await bodyOf(await enrol({ token, claim: mine }))
    expect((await bodyOf(await enrol({ token, claim: mine })))['device']).toBe(device)
  })

  test.each([
    ['with another claim', { claim: other }],
    ['without one', {}],
  ])('%s gets nothing', async (_, claim) => {
    const { token } = await makeToken()
    expect((await enrol({ token, claim: mine })).status).toBe(201)
    const again = await enrol({ token, ...claim })
    expect([again.status, await bodyOf(again)]).toEqual([401, USED_UP])
  })

  test('gets nothing with a token that was used up without a claim', async () => {
    const { token } = await makeToken()
    expect((await enrol({ token })).status).toBe(201)
    expect((await enrol({ token, claim: mine })).status).toBe(401)
  })
})
