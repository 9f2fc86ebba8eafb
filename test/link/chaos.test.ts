/** Transfers over a bad network: they end right, and move little more than what was needed. */
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { createFolder } from '../kit/binary.ts'
import { CALM, type ChaosProxy, createDraw, startChaos } from '../kit/chaos-proxy.ts'
import { type DeviceLink, eventually, startDevice } from '../kit/device-link.ts'
import { enrolDevice, type RunningRegistry, startRegistry } from '../kit/registry.ts'
import { SEED } from '../kit/seed.ts'
import { type HeldModel, holdModel, Taking } from '../kit/transfer.ts'

// Real processes on a busy machine.
setDefaultTimeout(120_000)

const MODEL_BYTES = 24_000_000
/** Of what was needed; what comes on top was on its way when a connection broke. */
const MOVED_MAX = 1.05

const folder = await createFolder()
const draw = createDraw(SEED)
let registry: RunningRegistry
let model: HeldModel
let mqtt: ChaosProxy
let http: ChaosProxy
let device: DeviceLink | undefined

beforeAll(async () => {
  registry = await startRegistry(folder.path)
  model = await holdModel(registry, { bytes: MODEL_BYTES, seed: SEED })
  mqtt = await startChaos({ port: Number(new URL(registry.mqttUrl).port) }, draw)
  http = await startChaos({ port: Number(new URL(registry.url).port) }, draw)
})
afterEach(async () => {
  mqtt.set(CALM)
  http.set(CALM)
  await device?.stop()
})
afterAll(async () => {
  await mqtt.close()
  await http.close()
  await registry.stop()
  await folder.remove()
})

let devices = 0

/** A device behind the bad network. */
async function comeWith(transports: readonly ('http' | 'mqtt')[]): Promise<DeviceLink> {
  devices += 1
  const id = `chaos-${devices}`
  const { secret } = await enrolDevice(registry, id)
  const url = `http://127.0.0.1:${http.port}`
  device = startDevice(folder.path, {
    device: id,
    secret,
    mqttUrl: `mqtt://127.0.0.1:${mqtt.port}`,
    httpUrl: url,
    transports,
    keepaliveSeconds: 3,
  })
  await eventually('the line is up', () => device?.link.isUp)
  return device
}

/** How much came down, as a share of what was needed, while the model was taken. */
async function take(link: DeviceLink, taking = new Taking(model)): Promise<number> {
  const before = mqtt.bytesDown() + http.bytesDown()
  await taking.from(link.link.chunks)
  expect(taking.isRight).toBe(true)
  const share = (mqtt.bytesDown() + http.bytesDown() - before) / model.storedBytes
  console.log(`moved ${share.toFixed(4)} of what was needed, ${mqtt.cuts() + http.cuts()} cuts so far`)
  return share
}

const within = (least: number, most: number) => () => Math.floor(least + draw() * (most - least))

describe.each([['mqtt'], ['http']] as const)('over %s', (transport) => {
  test('a quiet network moves what is needed', async () => {
    expect(await take(await comeWith([transport]))).toBeLessThan(1.01)
  })

  test('cut at random bytes', async () => {
    const link = await comeWith([transport])
    const before = mqtt.cuts() + http.cuts()
    for (const proxy of [mqtt, http]) {
      proxy.set({ ...CALM, cutAfterBytes: within(4_000_000, 8_000_000), delayMs: () => 1 })
    }
    expect(await take(link)).toBeLessThan(MOVED_MAX)
    expect(mqtt.cuts() + http.cuts() - before).toBeGreaterThan(1)
  })

  test('delayed', async () => {
    const link = await comeWith([transport])
    for (const proxy of [mqtt, http]) proxy.set({ ...CALM, delayMs: within(0, 30) })
    expect(await take(link)).toBeLessThan(MOVED_MAX)
  })
})

test('half-open: a line that says nothing any more is left, and the transfer goes on over another', async () => {
  const link = await comeWith(['mqtt'])
  mqtt.set({ ...CALM, cutAfterBytes: within(9_000_000, 12_000_000), halfOpenShare: 1 })
  expect(await take(link)).toBeLessThan(MOVED_MAX)
})

test('begun over MQTT it goes on over HTTP, and the other way round: what was there is not fetched again', async () => {
  const first = await comeWith(['mqtt'])
  const taking = new Taking(model)
  const before = mqtt.bytesDown() + http.bytesDown()
  await taking.from(first.link.chunks, { chunksMax: Math.floor(model.chunks.count / 3) })
  await first.stop()
  device = undefined
  const over = await comeWith(['http'])
  await taking.from(over.link.chunks, { chunksMax: Math.floor(model.chunks.count / 3) })
  await over.stop()
  const back = await comeWith(['mqtt'])
  await taking.from(back.link.chunks)
  expect(taking.isRight).toBe(true)
  // Leaving in the middle leaves what was asked for on its way.
  expect((mqtt.bytesDown() + http.bytesDown() - before) / model.storedBytes).toBeLessThan(1.5)
})
