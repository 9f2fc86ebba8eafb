/** The same way from push to serving over brokers of every kind, which may go and come back, as the registry may. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { join } from 'node:path'
import { WORKING } from '../../src/ota/machine.ts'
import { createFolder, freePort, type Running } from '../kit/binary.ts'
import { MOSQUITTO, startMosquitto, WITHOUT_MOSQUITTO, writeBrokerConfig } from '../kit/mosquitto.ts'
import { startPlainBroker } from '../kit/plain-broker.ts'
import { randomBytes } from '../kit/random-bytes.ts'
import { startRegistry } from '../kit/registry.ts'
import { type Device, eventually, Fleet, glanceAt, POLICY, startUp } from './fleet.ts'
import { Middleman } from './middleman.ts'
import { askScale, scaling } from './versions.ts'

// Processes are started, and a busy machine takes its time.
setDefaultTimeout(120_000)

/** A broker with a registry behind it. */
interface Stage {
  readonly fleet: Fleet
  /** Once the devices are enrolled. */
  readonly admit: () => Promise<void>
  /** Undefined: it is restarted with the registry. */
  readonly restartBroker: (() => Promise<void>) | undefined
  readonly stop: () => Promise<void>
}

const KINDS: readonly (readonly [name: string, isHere: boolean, open: (folder: string) => Promise<Stage>])[] =
  [
    ['the broker inside the registry', true, openEmbedded],
    [`Mosquitto${WITHOUT_MOSQUITTO}`, MOSQUITTO !== null, openMosquitto],
    [
      'a broker without retained messages, wills, sessions and MQTT 5, with packets of 64 KiB',
      true,
      openPlain,
    ],
  ]

async function openEmbedded(folder: string): Promise<Stage> {
  const fleet = await Fleet.start(folder)
  return { fleet, admit: async () => undefined, restartBroker: undefined, stop: async () => undefined }
}

async function openMosquitto(folder: string): Promise<Stage> {
  const port = await freePort()
  // What Mosquitto has to know is in the folder of a registry that was started once.
  const first = await startRegistry(join(folder, 'central'))
  await first.stop()
  const writeConfig = () => writeBrokerConfig(folder, { state: first.state, port })
  const config = await writeConfig()
  let broker = await startMosquitto(config, { port })
  return {
    fleet: await Fleet.start(folder, { args: ['--broker', broker.url] }),
    admit: async () => {
      await writeConfig()
      broker.reload()
    },
    restartBroker: async () => {
      await broker.stop('SIGKILL')
      broker = await startMosquitto(config, { port })
    },
    stop: () => broker.stop(),
  }
}

async function openPlain(folder: string): Promise<Stage> {
  let broker = await startPlainBroker()
  return {
    fleet: await Fleet.start(folder, { args: ['--broker', broker.url] }),
    admit: async () => undefined,
    restartBroker: async () => {
      await broker.stop()
      broker = await startPlainBroker({ port: broker.port })
    },
    stop: () => broker.stop(),
  }
}

const BALLAST_BYTES = 4_000_000
/** A second or two for each restart to come into. */
const SETTINGS = ['[registry]', 'payload_bytes_max = 57344', 'bytes_per_second_max = 1000000'].join('\n')

describe.each(KINDS)('%s', (_, isHere, open) => {
  describe.skipIf(!isHere)('with a device that fetches over HTTP, and one that has MQTT only', () => {
    let folder: Awaited<ReturnType<typeof createFolder>>
    let stage: Stage
    let devices: readonly Device[]
    let ups: readonly Running[]

    beforeAll(async () => {
      folder = await createFolder()
      stage = await open(folder.path)
      const { fleet } = stage
      // Whatever it would ask over HTTP after its enrolment, there is nobody.
      const door = new Middleman()
      devices = [
        await fleet.enrol('cam-http'),
        await fleet.enrol('cam-mqtt', door.standBefore(fleet.registry.url)),
      ]
      await door.stop()
      await stage.admit()
      ups = await Promise.all(
        devices.map((device, at) =>
          startUp(device, `${SETTINGS}\ntransports = ["${at === 0 ? 'http' : 'mqtt'}"]`),
        ),
      )
      await fleet.publish(scaling(1))
    })

    afterAll(async () => {
      for (const up of ups) expect(await up.stop()).toBe(0)
      expect(await stage.fleet.registry.stop()).toBe(0)
      await stage.stop()
      await folder.remove()
    })

    const assign = (version: string) =>
      stage.fleet.assign('all', [{ model: 'vision/scale', version, policy: POLICY }])

    async function expectServed(version: string): Promise<void> {
      for (const [at, device] of devices.entries()) {
        await stage.fleet.ended(device, 'vision/scale', { version, state: 'committed' })
        expect(await askScale(ups[at]?.url ?? '')).toBe(`${version} times ${version}`)
        await eventually('the registry has heard the end', async () =>
          (await toldOf(device, version)).includes('committed'),
        )
        expect(await toldOf(device, version)).toEqual([...GOOD_WAY])
      }
    }

    async function toldOf({ name }: Device, of: string): Promise<string[]> {
      return (await stage.fleet.events(name)).filter(({ version }) => version === of).map(({ to }) => to)
    }

    /** How much of version 2 has come to a device; undefined: it is not fetching it. */
    async function percentOf(device: Device | undefined): Promise<number | undefined> {
      const update = device && (await glanceAt(device))?.models[0]?.update
      if (update?.version !== '2' || update.state !== 'download') return undefined
      return update.percent ?? 0
    }

    test('what is pushed and assigned is served', async () => {
      await assign('1')
      await expectServed('1')
    })

    test('so it is when broker and registry are restarted in the middle of it', async () => {
      await stage.fleet.publish(
        scaling(2, { files: { ...scaling(2).files, ballast: randomBytes(BALLAST_BYTES, 2) } }),
      )
      await assign('2')
      await eventually('both are in the middle of it', async () => {
        const percents = await Promise.all(devices.map(percentOf))
        return percents.every((percent) => percent !== undefined && percent > 0)
      })
      await stage.fleet.restartRegistry()
      const [, mqtt] = devices
      const atFirst = (await percentOf(mqtt)) ?? 100
      await eventually('it goes on over MQTT', async () => ((await percentOf(mqtt)) ?? 0) > atFirst)
      expect(await percentOf(mqtt)).toBeLessThan(100)
      await stage.restartBroker?.()
      await expectServed('2')
    })
  })
})

const GOOD_WAY = [...WORKING.filter((state) => state !== 'revert'), 'committed']
