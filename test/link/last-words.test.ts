/** A registry that comes to a broker gets the last word of every device at once. */
import { afterAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { join } from 'node:path'
import { connectAsync } from 'mqtt'
import { createFolder, freePort } from '../kit/binary.ts'
import { eventually } from '../kit/device-link.ts'
import { MOSQUITTO, startMosquitto, WITHOUT_MOSQUITTO, writeBrokerConfig } from '../kit/mosquitto.ts'
import { startRegistry } from '../kit/registry.ts'

setDefaultTimeout(120_000)

/** More than Mosquitto keeps for one client by itself, several times over. */
const DEVICES = 5_000

const folder = await createFolder()
afterAll(folder.remove)

describe.skipIf(MOSQUITTO === null)(`behind Mosquitto${WITHOUT_MOSQUITTO}`, () => {
  test('a registry hears what each of thousands of devices has said last, none left out', async () => {
    const registry = await startRegistry(folder.path)
    await registry.stop()
    const port = await freePort()
    const config = await writeBrokerConfig(folder.path, { state: registry.state, port })
    const password = (await Bun.file(join(registry.state, 'broker.password')).text()).trim()
    const broker = await startMosquitto(config, { port })
    const come = () =>
      connectAsync(`mqtt://127.0.0.1:${port}`, {
        ...{ clientId: 'limpet-registry', username: 'limpet-registry', password },
      })
    try {
      const before = await come()
      const topics = Array.from({ length: DEVICES }, (_, index) => `limpet/v1/u/cam-${index}/state`)
      const say = (topic: string) => before.publishAsync(topic, '{}', { qos: 1, retain: true })
      await Promise.all(topics.map(say))
      await before.endAsync()
      const heard = new Set<string>()
      const after = await come()
      after.on('message', (topic) => heard.add(topic))
      await after.subscribeAsync('limpet/v1/u/+/state', { qos: 1 })
      await eventually('all are heard', () => heard.size === DEVICES, 60_000)
      await after.endAsync()
      expect(heard).toEqual(new Set(topics))
    } finally {
      await broker.stop()
    }
  })
})
