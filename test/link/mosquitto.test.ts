/** The same line over Debian's Mosquitto: MQTT 5, its rules, its restarts. */
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { join } from 'node:path'
import { connect } from 'mqtt'
import { createFolder, freePort } from '../kit/binary.ts'
import { CALM, type ChaosProxy, createDraw, startChaos } from '../kit/chaos-proxy.ts'
import { type DeviceLink, eventually, startDevice } from '../kit/device-link.ts'
import {
  MOSQUITTO,
  type RunningBroker,
  startMosquitto,
  WITHOUT_MOSQUITTO,
  writeBrokerConfig,
} from '../kit/mosquitto.ts'
import { enrolDevice, type RunningRegistry, startRegistry } from '../kit/registry.ts'
import { SEED } from '../kit/seed.ts'
import { type HeldModel, holdModel, Taking } from '../kit/transfer.ts'

// Real processes on a busy machine.
setDefaultTimeout(120_000)

describe.skipIf(MOSQUITTO === null)(`mosquitto${WITHOUT_MOSQUITTO}`, () => {
  let folder: Awaited<ReturnType<typeof createFolder>>
  let port: number
  let httpPort: number
  let registry: RunningRegistry
  let broker: RunningBroker
  let config: string
  let model: HeldModel
  let proxy: ChaosProxy
  const secrets = new Map<string, string>()
  let device: DeviceLink

  const startRegistryBehind = () =>
    startRegistry(folder.path, { port: httpPort, args: ['--broker', `mqtt://127.0.0.1:${port}`] })

  beforeAll(async () => {
    folder = await createFolder()
    port = await freePort()
    httpPort = await freePort()
    // The broker inside, for as long as it takes to enrol and to make what Mosquitto needs.
    const first = await startRegistry(folder.path)
    for (const id of ['cam-01', 'cam-02']) secrets.set(id, (await enrolDevice(first, id)).secret)
    await first.stop()
    config = await writeBrokerConfig(folder.path, { state: first.state, port })
    broker = await startMosquitto(config, { port })
    registry = await startRegistryBehind()
    model = await holdModel(registry, { bytes: 12_000_000, seed: SEED })
    proxy = await startChaos({ port }, createDraw(SEED))
    device = come('cam-01')
    await eventually('the line is up', () => device.link.isUp)
  })
  afterEach(() => proxy.set(CALM))
  afterAll(async () => {
    await device?.stop()
    await proxy?.close()
    await registry?.stop()
    await broker?.stop()
    await folder?.remove()
  })

  function come(id: string): DeviceLink {
    return startDevice(folder.path, {
      device: id,
      secret: secrets.get(id) ?? '',
      mqttUrl: `mqtt://127.0.0.1:${proxy.port}`,
      transports: ['mqtt'],
      keepaliveSeconds: 3,
    })
  }

  async function take(): Promise<number> {
    const before = proxy.bytesDown()
    const taking = new Taking(model)
    await taking.from(device.link.chunks)
    expect(taking.isRight).toBe(true)
    return (proxy.bytesDown() - before) / model.storedBytes
  }

  /** The same, while something happens in the middle of it. */
  async function takeWhile(happens: () => Promise<void>): Promise<number> {
    const before = proxy.bytesDown()
    const taking = new Taking(model)
    const quarter = Math.floor(model.chunks.count / 4)
    let happening: Promise<void> | undefined
    await taking.from(device.link.chunks, {
      onChunk: (count) => {
        if (count === quarter) happening = happens()
      },
    })
    await happening
    expect(taking.isRight).toBe(true)
    return (proxy.bytesDown() - before) / model.storedBytes
  }

  test('is spoken to with MQTT 5, and carries chunks and events', async () => {
    expect(await take()).toBeLessThan(1.01)
    device.link.report({ what: 'over mosquitto' })
    await eventually('the event is there', () => device.outbox.after(0, 1).length === 0)
    const described = (await (await registry.ask('GET', '/v1/devices/cam-01')).json()) as object
    expect(described).toMatchObject({ online: true })
  })

  test('holds a device to its own topics, by the rules that we have written', async () => {
    const client = connect(`mqtt://127.0.0.1:${port}`, {
      protocolVersion: 5,
      username: 'cam-02',
      password: secrets.get('cam-02') ?? '',
      clientId: 'cam-01',
      reconnectPeriod: 0,
    })
    await new Promise((resolve) => client.once('connect', resolve))
    // It came under the client id of another, and has thrown nobody off.
    expect(device.link.isUp).toBe(true)
    const published = await client
      .publishAsync('limpet/v1/u/cam-01/ev', '{}', { qos: 1 })
      .then((packet) => (packet as { reasonCode?: number }).reasonCode ?? 0)
      .catch((error: { code?: number }) => error.code)
    // MQTT 5: not authorized.
    expect(published).toBe(0x87)
    const heard: string[] = []
    client.on('message', (topic) => heard.push(topic))
    await client.subscribeAsync('limpet/v1/#', { qos: 1 }).catch(() => undefined)
    await client.subscribeAsync('limpet/v1/d/cam-02/#', { qos: 1 })
    expect(await take()).toBeLessThan(1.01)
    expect(heard.filter((topic) => topic.includes('/d/cam-01/') || topic.includes('/u/cam-01/'))).toEqual([])
    await client.endAsync(true)
  })

  test('cut at random bytes, a transfer ends right', async () => {
    const draw = createDraw(SEED + 1)
    proxy.set({ ...CALM, cutAfterBytes: () => 3_000_000 + Math.floor(draw() * 2_000_000) })
    expect(await take()).toBeLessThan(1.05)
    expect(proxy.cuts()).toBeGreaterThan(1)
  })

  test('killed and started again in the middle of a transfer, it has forgotten everything, and nothing is lost', async () => {
    const share = await takeWhile(async () => {
      await broker.stop('SIGKILL')
      device.link.report({ what: 'while the broker was gone' })
      broker = await startMosquitto(config, { port })
    })
    expect(share).toBeLessThan(1.05)
    await eventually('the event is there', () => device.outbox.after(0, 1).length === 0)
  })

  test('the registry killed in the middle of a transfer: the device waits for it, and goes on', async () => {
    const share = await takeWhile(async () => {
      await registry.stop('SIGKILL')
      registry = await startRegistryBehind()
    })
    expect(share).toBeLessThan(1.05)
  })

  test('a device that has enrolled since is let in after its passwords were read again', async () => {
    secrets.set('cam-03', (await enrolDevice(registry, 'cam-03')).secret)
    await writeBrokerConfig(folder.path, { state: join(folder.path, 'registry'), port })
    broker.reload()
    const third = come('cam-03')
    await eventually('it is let in', () => third.link.isUp)
    await third.stop()
  })
})
