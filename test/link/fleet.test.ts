/** A device and its registry over a real broker: what is asked is answered, what is reported is kept, what is wanted is told. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { join } from 'node:path'
import { decodeChunkIndex } from '../../src/store/chunks/chunk-index.ts'
import { createFolder } from '../kit/binary.ts'
import { type DeviceLink, eventually, startDevice } from '../kit/device-link.ts'
import { randomBytes } from '../kit/random-bytes.ts'
import { enrolDevice, type RunningRegistry, startRegistry } from '../kit/registry.ts'
import { SEED } from '../kit/seed.ts'
import { packVersion, publisherKey, sha256Of, signFamily, upload } from '../registry/publish.ts'

// Real processes on a busy machine.
setDefaultTimeout(120_000)

const folder = await createFolder()
let registry: RunningRegistry
let device: DeviceLink
const model = randomBytes(5_000_000, SEED)
const packed = packVersion({
  model: 'vision/yolo',
  version: '1.0.0',
  release: 1,
  files: { '1.0.0/model.onnx': model, 'config.toml': Buffer.from('max_batch_size = 0\n'.repeat(500)) },
})

beforeAll(async () => {
  registry = await startRegistry(folder.path)
  await upload(packed, (method, path, body) => registry.ask(method, path, body))
  const key = await publisherKey(join(registry.state, 'development-keys'), 'vision')
  const metadata = signFamily({ version: 2, targets: packed.targets, nowMs: Date.now() }, key)
  expect((await registry.ask('POST', '/v1/metadata/vision', metadata)).status).toBe(201)
  const { secret } = await enrolDevice(registry, 'cam-07')
  device = startDevice(folder.path, {
    device: 'cam-07',
    secret,
    mqttUrl: registry.mqttUrl,
    transports: ['mqtt'],
  })
  await eventually('the line is up', () => device.link.isUp)
})
afterAll(async () => {
  await device.stop()
  await registry.stop()
  await folder.remove()
})

test('metadata and objects come whole, in as many frames as it takes; what is not there is said to be so', async () => {
  const { link } = device
  const timestamp = await link.fetchMetadata('timestamp.json', 100_000)
  expect(timestamp).toEqual(await (await fetch(`${registry.url}/tuf/timestamp.json`)).bytes())
  expect(await link.fetchMetadata('7.vision.json', 100_000)).toBeUndefined()
  const large = randomBytes(3_000_000, SEED + 1)
  await upload({ packs: [], objects: [large] }, (method, path, body) => registry.ask(method, path, body))
  expect(sha256Of((await link.fetchObject(sha256Of(large), 3_000_000)) ?? new Uint8Array())).toBe(
    sha256Of(large),
  )
  await expect(link.fetchObject(sha256Of(large), 2_000_000)).rejects.toThrow('more than 2000000 bytes')
  expect(await link.fetchObject('0'.repeat(64), 1_000)).toBeUndefined()
})

test('an assignment is told at once, fetched, and told again to a device that was away', async () => {
  expect(device.desired).toEqual([])
  expect(await device.link.fetchAssignment(100_000)).toBeUndefined()
  await registry.ask('PUT', '/v1/assignments/all', { models: [{ model: 'vision/yolo', version: '1.0.0' }] })
  const [told] = await eventually('it is told', () =>
    device.desired.length > 0 ? device.desired : undefined,
  )
  const envelope = await device.link.fetchAssignment(100_000)
  expect(told).toEqual({ rev: 1, sha256: sha256Of(envelope ?? new Uint8Array()) })

  const { secret } = await enrolDevice(registry, 'cam-08')
  const late = startDevice(folder.path, { device: 'cam-08', secret, mqttUrl: registry.mqttUrl })
  await eventually('it hears what it missed', () => late.desired.some(({ rev }) => rev === 1))
  await late.stop()
})

test('the chunks of a file come by MQTT and by HTTP, each once, and make the file', async () => {
  const [index] = packed.indexes
  const chunks = decodeChunkIndex(index ?? new Uint8Array(), { fileBytes: model.length })
  const wanted = [...Array(chunks.count).keys()]
  const { secret } = await enrolDevice(registry, 'cam-09')
  const http = startDevice(folder.path, {
    device: 'cam-09',
    secret,
    mqttUrl: 'mqtt://127.0.0.1:1',
    httpUrl: registry.url,
    transports: ['http'],
  })
  for (const { link } of [device, http]) {
    const file = new Uint8Array(model.length)
    const came: number[] = []
    const request = {
      index: sha256Of(index ?? new Uint8Array()),
      length: (chunk: number) => chunks.length(chunk),
      wanted,
      signal: new AbortController().signal,
    }
    for await (const { chunk, bytes } of link.chunks.fetch(request)) {
      came.push(chunk)
      file.set(bytes, chunks.offset(chunk))
    }
    expect(came.sort((one, other) => one - other)).toEqual(wanted)
    expect(sha256Of(file)).toBe(sha256Of(model))
  }
  await http.stop()
})

test('what is reported is in the registry once, in order, and the outbox is empty then', async () => {
  const events = Array.from({ length: 50 }, (_, index) => ({ model: 'vision/yolo', to: `state-${index}` }))
  for (const event of events) device.link.report(event)
  await eventually('the outbox is empty', () => device.outbox.after(0, 1).length === 0)
  const kept = (await (await registry.ask('GET', '/v1/devices/cam-07/events')).json()) as {
    events: { seq: number; body: { to: string } }[]
  }
  expect(kept.events.map(({ body }) => body.to)).toEqual(events.map(({ to }) => to))
  expect(kept.events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1))
})

test('the registry knows who is there, and who is gone', async () => {
  const online = async (id: string) => {
    const described = (await (await registry.ask('GET', `/v1/devices/${id}`)).json()) as {
      online: boolean
      state: object
    }
    return described
  }
  expect(await online('cam-07')).toMatchObject({ online: true, state: { limpet: 'test', online: true } })
  const { secret } = await enrolDevice(registry, 'cam-10')
  const other = startDevice(folder.path, { device: 'cam-10', secret, mqttUrl: registry.mqttUrl })
  await eventually('it is there', async () => (await online('cam-10')).online)
  await other.stop()
  await eventually('it is gone', async () => !(await online('cam-10')).online)
  expect(await online('cam-10')).toMatchObject({ state: { limpet: 'test' } })
})

test('what was measured is told by the registry, and the outbox is empty then', async () => {
  const from = 60_000 * Math.floor(Date.now() / 60_000) - 600_000
  const sent = Array.from({ length: 5 }, (_, index) => [
    from + index * 60_000,
    index,
    index + 1,
    index + 2,
    index,
  ])
  for (const [timeMs = 0, min = 0, mean = 0, max = 0, last = 0] of sent) {
    device.telemetry.put({
      step_seconds: 60,
      from: timeMs,
      to: timeMs + 50_000,
      series: [{ name: 'temperature_celsius', labels: { zone: 'cpu' }, points: [[0, min, mean, max, last]] }],
    })
  }
  await eventually('the outbox is empty', () => device.telemetry.waiting.batches === 0)
  const answer = await registry.ask('GET', '/v1/devices/cam-07/telemetry?names=temperature_celsius')
  expect(await answer.json()).toEqual({
    series: [{ name: 'temperature_celsius', labels: { zone: 'cpu' }, points: sent }],
  })
})

test('a heartbeat says that the device is alive, with what it tells', async () => {
  const { secret } = await enrolDevice(registry, 'cam-11')
  const other = startDevice(folder.path, {
    device: 'cam-11',
    secret,
    mqttUrl: registry.mqttUrl,
    heartbeatSeconds: 1,
  })
  const told = await eventually('a heartbeat has come', async () => {
    const answer = await registry.ask('GET', '/v1/devices/cam-11')
    const seen = (await answer.json()) as { last_heartbeat: { status: string } | null }
    return seen.last_heartbeat === null ? undefined : seen
  })
  expect(told).toMatchObject({ liveness: 'alive', online: true, last_heartbeat: { status: 'ok' } })
  await other.stop()
  await eventually('it has said goodbye', async () => {
    const answer = await registry.ask('GET', '/v1/devices/cam-11')
    return ((await answer.json()) as { liveness: string }).liveness === 'offline'
  })
})
