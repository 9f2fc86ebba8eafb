/** A broker that keeps nothing and promises nothing: no retained messages, no wills, no sessions, no MQTT 5. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { createServer, type Server } from 'node:net'
import { Aedes } from 'aedes'
import { createFolder, freePort } from '../kit/binary.ts'
import { type DeviceLink, eventually, startDevice } from '../kit/device-link.ts'
import { enrolDevice, type RunningRegistry, startRegistry } from '../kit/registry.ts'
import { SEED } from '../kit/seed.ts'
import { type HeldModel, holdModel, Taking } from '../kit/transfer.ts'

// Real processes on a busy machine.
setDefaultTimeout(120_000)

let folder: Awaited<ReturnType<typeof createFolder>>
let aedes: Aedes
let server: Server
let port: number
let httpPort: number
let registry: RunningRegistry
let model: HeldModel
let device: DeviceLink
const dropped = { retained: 0, wills: 0 }

const startRegistryBehind = () =>
  startRegistry(folder.path, { port: httpPort, args: ['--broker', `mqtt://127.0.0.1:${port}`] })

beforeAll(async () => {
  folder = await createFolder()
  httpPort = await freePort()
  aedes = await Aedes.createBroker({
    preConnect: (_client, packet, done) => {
      if (packet.will !== undefined) dropped.wills += 1
      delete packet.will
      packet.clean = true
      done(null, true)
    },
    authorizePublish: (_client, packet, done) => {
      if (packet.retain) dropped.retained += 1
      packet.retain = false
      done(null)
    },
  })
  server = createServer((socket) => aedes.handle(socket))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  port = typeof address === 'object' && address !== null ? address.port : 0
  registry = await startRegistryBehind()
  model = await holdModel(registry, { bytes: 4_000_000, seed: SEED })
  device = await come('cam-01')
})
afterAll(async () => {
  await device.stop()
  await registry.stop()
  await new Promise<void>((resolve) => aedes.close(resolve))
  server.close()
  await folder.remove()
})

async function come(id: string): Promise<DeviceLink> {
  const { secret } = await enrolDevice(registry, id)
  const mqttUrl = `mqtt://127.0.0.1:${port}`
  return startDevice(folder.path, { device: id, secret, mqttUrl, transports: ['mqtt'] })
}

const revs = (of: DeviceLink) => of.desired.map(({ rev }) => rev)

test('chunks, metadata and events go over it', async () => {
  await eventually('the line is up', () => device.link.isUp)
  const taking = new Taking(model)
  await taking.from(device.link.chunks)
  expect(taking.isRight).toBe(true)
  expect(await device.link.fetchMetadata('timestamp.json', 100_000)).toBeDefined()
  device.link.report({ what: 'over next to nothing' })
  await eventually('the event is there', () => device.outbox.after(0, 1).length === 0)
  // It did have something to drop: this is the broker that it is said to be.
  expect(dropped.retained).toBeGreaterThan(0)
  expect(dropped.wills).toBeGreaterThan(0)
})

test('what was assigned while a device was away, or the registry, is heard when it is back', async () => {
  await registry.ask('PUT', '/v1/assignments/all', { models: [] })
  await eventually('the one that is there is told', () => revs(device).includes(1))
  const late = await come('cam-02')
  await eventually('the one that comes later asks', () => revs(late).includes(1))
  await late.stop()

  await registry.stop('SIGKILL')
  registry = await startRegistryBehind()
  await registry.ask('PUT', '/v1/assignments/cam-01', { models: [] })
  device.link.report({ what: 'after the registry came back' })
  await eventually('the event is there', () => device.outbox.after(0, 1).length === 0)
  await eventually('and the device knows', () => device.desired.length >= 2)
})
