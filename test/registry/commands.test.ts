/** What is asked of devices: who is asked when, for how long, and what counts as the end of it. */
import { afterAll, beforeEach, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { CommandSender } from '../../src/registry/command-sender.ts'
import { EventIntake } from '../../src/registry/event-intake.ts'
import { Uploads } from '../../src/registry/uploads.ts'
import { bodyOf, jsonRequest, stageRegistry } from './stage.ts'

const stage = await stageRegistry()
afterAll(stage.remove)

const { commands, devices } = stage.registry
const operator = stage.as('operator')
const viewer = stage.as('viewer')

let device = ''
let asDevice: Record<string, string> = {}
let count = 0
beforeEach(() => {
  count += 1
  device = `cam-${count}`
  asDevice = stage.asDevice(device)
})

const come = (online = true) =>
  devices.keepState(device, { sid: 'a', seq: online ? 1 : 2, online, body: { online } })

const give = async (body: object) => {
  const answer = await stage.app.request(
    `/v1/devices/${device}/commands`,
    jsonRequest('POST', body, operator),
  )
  return { status: answer.status, body: await bodyOf(answer) }
}

const look = async (id: unknown) =>
  await bodyOf(await stage.app.request(`/v1/commands/${String(id)}`, { headers: viewer }))

const outcome = (rid: unknown, more: object = {}) =>
  ({
    kind: 'command',
    rid,
    op: 'rebirth',
    state: 'done',
    code: '',
    reason: '',
    result: null,
    ...more,
  }) as never

/** As the registry hears it from that device. */
function hear(from: string, body: object): void {
  const intake = new EventIntake({
    devices,
    commands,
    traffic: stage.registry.traffic,
    acknowledge: () => undefined,
  })
  intake.take(from, { sid: 'a', seq: count, ...body })
  intake.flush()
}

describe('giving a command', () => {
  test('makes it, with what goes with it and its end', async () => {
    const { status, body } = await give({ op: 'logs', lines: 5, expires_seconds: 30 })
    expect(status).toBe(201)
    expect(body).toMatchObject({
      device,
      op: 'logs',
      given: { lines: 5 },
      state: 'queued',
      sent: null,
      result: null,
    })
    expect(Date.parse(String(body['expires'])) - Date.parse(String(body['created']))).toBe(30_000)
    const listed = await bodyOf(
      await stage.app.request(`/v1/devices/${device}/commands`, { headers: viewer }),
    )
    expect(listed).toEqual({ commands: [body] })
    expect(stage.registry.audit.list({ after: undefined, count: 1, subject: device })).toMatchObject([
      { detail: { op: 'logs', lines: 5, expires_seconds: 30 }, outcome: 'done' },
    ])
  })

  test.each([
    [{ op: 'format_disk' }, 501, 'Cannot do "format_disk": expected one of identify, logs, '],
    [{ op: 'logs', lines: 2001 }, 400, 'lines'],
    [{ op: 'rebirth', now: true }, 400, 'now'],
    [{ op: 'rebirth', expires_seconds: 601 }, 400, 'expires_seconds'],
  ])('%j is refused in words', async (body, status, words) => {
    const refused = await give(body)
    expect([refused.status, refused.body['message']]).toEqual([status, expect.stringContaining(words)])
  })

  test('to a device that is not enrolled is refused', async () => {
    device = 'cam-nobody'
    expect((await give({ op: 'rebirth' })).status).toBe(404)
  })

  test('16 may wait for a device, and no 17th', async () => {
    for (let index = 0; index < 16; index += 1) expect((await give({ op: 'rebirth' })).status).toBe(201)
    const refused = await give({ op: 'rebirth' })
    expect([refused.status, refused.body['error']]).toEqual([429, 'queue_full'])
  })
})

describe('sending', () => {
  const stageSender = () => {
    const sent: [to: string, rid: string][] = []
    const sender = new CommandSender({
      commands,
      publish: async (to, { rid }) => {
        if (to === device) sent.push([to, rid])
      },
    })
    return { sent, sender }
  }

  test('goes to a device that is there, again after 15 s without an answer, and not after that', async () => {
    come()
    const { id } = (await give({ op: 'rebirth', expires_seconds: 60 })).body
    const { sent, sender } = stageSender()
    sender.sendDue()
    sender.sendDue()
    expect(sent).toEqual([[device, String(id)]])
    expect(await look(id)).toMatchObject({ state: 'sent' })
    stage.clock.advance(15_000)
    sender.sendDue()
    expect(sent.length).toBe(2)
    commands.finish(device, outcome(id))
    stage.clock.advance(15_000)
    sender.sendDue()
    expect(sent.length).toBe(2)
  })

  test('waits for a device that is away, until it comes', async () => {
    come(false)
    const { id } = (await give({ op: 'rebirth' })).body
    const { sent, sender } = stageSender()
    sender.sendDue()
    expect([sent, (await look(id))['state']]).toEqual([[], 'queued'])
    sender.greet(device)
    expect([sent, (await look(id))['state']]).toEqual([[[device, String(id)]], 'sent'])
  })
})

describe('the end', () => {
  test('is what the device tells, once; what another one tells does not count', async () => {
    const { id } = (await give({ op: 'rebirth' })).body
    stage.asDevice('door-1')
    hear('door-1', outcome(id))
    expect(await look(id)).toMatchObject({ state: 'queued' })
    hear(device, outcome(id, { state: 'failed', code: 'conflict', reason: 'why', result: { a: 1 } }))
    commands.finish(device, outcome(id))
    expect(await look(id)).toMatchObject({
      state: 'failed',
      code: 'conflict',
      reason: 'why',
      result: { a: 1 },
    })
    const [event] = devices.events(device, { after: 0, count: 9 })
    expect(event?.body).toEqual({
      kind: 'command',
      rid: id,
      op: 'rebirth',
      state: 'failed',
      code: 'conflict',
      reason: 'why',
    })
  })

  test('comes by itself: at its time for what was never sent, two minutes later for what was', async () => {
    const queued = (await give({ op: 'rebirth', expires_seconds: 10 })).body['id']
    const sent = (await give({ op: 'rebirth', expires_seconds: 10 })).body['id']
    commands.markSent(String(sent))
    stage.clock.advance(9_999)
    commands.expire()
    expect([(await look(queued))['state'], (await look(sent))['state']]).toEqual(['queued', 'sent'])
    stage.clock.advance(1)
    commands.expire()
    expect([(await look(queued))['state'], (await look(sent))['state']]).toEqual(['expired', 'sent'])
    stage.clock.advance(120_000)
    commands.expire()
    expect(await look(sent)).toMatchObject({
      state: 'expired',
      reason: 'the device has not answered in time',
    })
  })

  test('that a device tells late counts more than the guess; its own "expired" stays', async () => {
    const { id } = (await give({ op: 'rebirth', expires_seconds: 1 })).body
    stage.clock.advance(200_000)
    commands.expire()
    commands.finish(device, outcome(id, { result: 'late' }))
    expect(await look(id)).toMatchObject({ state: 'done', result: 'late' })
    const other = (await give({ op: 'rebirth' })).body['id']
    commands.finish(device, outcome(other, { state: 'expired', code: 'expired' }))
    commands.finish(device, outcome(other))
    expect(await look(other)).toMatchObject({ state: 'expired', code: 'expired' })
  })

  test.each([
    [65_534, 'done'],
    [65_535, 'failed'],
  ])('a result of %p bytes and two quotes: %s', async (bytes, state) => {
    const { id } = (await give({ op: 'rebirth' })).body
    hear(device, outcome(id, { result: 'x'.repeat(bytes) }))
    expect(await look(id)).toMatchObject({ state })
  })
})

test('the newest 200 of a device are kept', async () => {
  for (let index = 0; index < 203; index += 1) {
    const { id } = commands.create(device, { order: { op: 'rebirth' }, seconds: 60 })
    commands.finish(device, outcome(id))
  }
  const kept = commands.list(device, { after: 0, count: 1000 })
  expect(kept.length).toBe(200)
})

describe('uploads', () => {
  const put = (id: unknown, headers: Record<string, string>, body = 'gathered') =>
    stage.app.request(`/v1/uploads/${String(id)}`, { method: 'PUT', headers, body })

  test('come from the device that was asked, while it has not ended, and are for operators', async () => {
    const { id } = (await give({ op: 'diagnostics' })).body
    expect((await put(id, stage.asDevice('door-2'))).status).toBe(403)
    expect((await put(id, operator)).status).toBe(403)
    const put1 = await put(id, asDevice)
    expect([put1.status, await bodyOf(put1)]).toEqual([
      201,
      { bytes: 8, sha256: new Bun.CryptoHasher('sha256').update('gathered').digest('hex') },
    ])
    const got = await stage.app.request(`/v1/uploads/${String(id)}`, { headers: operator })
    expect([await got.text(), got.headers.get('content-disposition')]).toEqual([
      'gathered',
      expect.stringContaining(`${device}-diagnostics-`),
    ])
    expect((await stage.app.request(`/v1/uploads/${String(id)}`, { headers: viewer })).status).toBe(403)
    commands.finish(device, outcome(id))
    expect((await put(id, asDevice)).status).toBe(409)
  })

  test('for a command that is not there, or has brought nothing, are not found', async () => {
    expect((await put('a'.repeat(32), asDevice)).status).toBe(404)
    expect((await put('..%2f..%2fadmin.key', asDevice)).status).toBe(404)
    const { id } = (await give({ op: 'diagnostics' })).body
    expect((await stage.app.request(`/v1/uploads/${String(id)}`, { headers: operator })).status).toBe(404)
  })

  test('of more than 32 MiB are refused, and leave nothing', async () => {
    const uploads = await Uploads.open(join(stage.folder, 'bounded'), { clock: stage.clock })
    const pieces = async function* () {
      for (let index = 0; index < 33; index += 1) yield new Uint8Array(1024 ** 2)
    }
    await expect(uploads.put('b'.repeat(32), pieces())).rejects.toThrow('more than 33554432 bytes')
    expect(await uploads.open('b'.repeat(32))).toBeUndefined()
  })

  test('the oldest go for newer ones, and all of them after a week', async () => {
    const bytesMax = 32 * 1024 ** 2 + 10
    const uploads = await Uploads.open(join(stage.folder, 'room'), {
      clock: { ...stage.clock, now: () => Date.now() } as never,
      bytesMax,
    })
    const put1 = async (id: string) => {
      await uploads.put(
        id.repeat(32),
        (async function* () {
          yield new Uint8Array(6)
        })(),
      )
    }
    await put1('a')
    await put1('b')
    await put1('c')
    expect(await uploads.open('a'.repeat(32))).toBeUndefined()
    expect(await uploads.open('c'.repeat(32))).toBeDefined()
    const later = { now: () => Date.now() + 8 * 86_400_000 } as never
    const reopened = await Uploads.open(join(stage.folder, 'room'), { clock: later })
    await reopened.put(
      'd'.repeat(32),
      (async function* () {
        yield new Uint8Array(1)
      })(),
    )
    expect(await reopened.open('c'.repeat(32))).toBeUndefined()
    expect(await reopened.open('d'.repeat(32))).toBeDefined()
  })
})
