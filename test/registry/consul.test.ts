/** Devices in Consul: registered with a check while they are there, deregistered when they are gone for good. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'bun:test'
import type { Clock } from '../../src/kit/clock.ts'
import { setLogLevel } from '../../src/kit/log.ts'
import { ConsulAgent } from '../../src/registry/consul-agent.ts'
import { ConsulSync } from '../../src/registry/consul-sync.ts'
import { FakeConsul } from './fake-consul.ts'
import { type RegistryStage, stageRegistry } from './stage.ts'

// What fails here is meant to.
setLogLevel('silent')

const TOKEN = 'c0ffee'
const EVERY_MS = 10_000
const RULES = { service: 'limpet', tags: ['traefik.enable=true'], checkSeconds: 10, awaySeconds: 300 }

/** Stands while nobody lets it go on: to the end of the sleep, and until the next one has begun. */
class LookClock implements Clock {
  readonly slept: number[] = []
  #ms: number
  #wake: () => void = () => undefined
  #asleep = Promise.withResolvers<void>()

  constructor(ms: number) {
    this.#ms = ms
  }

  now(): number {
    return this.#ms
  }

  elapsed(): number {
    return this.#ms
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    this.slept.push(ms)
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#wake = resolve
    signal?.addEventListener('abort', () => resolve(), { once: true })
    this.#asleep.resolve()
    return promise
  }

  /** Until the look that is under way is over. */
  async settle(): Promise<void> {
    await this.#asleep.promise
  }

  /** One more look, from its beginning to its end. */
  async look(): Promise<void> {
    await this.settle()
    this.#asleep = Promise.withResolvers<void>()
    this.#ms += this.slept.at(-1) ?? 0
    this.#wake()
    await this.settle()
  }
}

let stage: RegistryStage
let consul: FakeConsul
let clock: LookClock
let stop: AbortController
let running: Promise<void>

beforeAll(async () => {
  stage = await stageRegistry()
})
afterAll(() => stage.remove())
beforeEach(() => {
  consul = new FakeConsul({ token: TOKEN })
  clock = new LookClock(stage.clock.now())
  stop = new AbortController()
})
afterEach(async () => {
  stop.abort()
  await running
  await consul.stop()
})

/** Resolves after the first look. */
async function start(token: string | undefined = TOKEN): Promise<void> {
  const agent = new ConsulAgent({ url: `${consul.url}/`, token })
  const { endpoints } = stage.registry
  running = new ConsulSync({ agent, endpoints, rules: RULES, everyMs: EVERY_MS, clock }).run(stop.signal)
  await clock.settle()
}

let states = 0
function report(device: string, state: object, online = true): void {
  states += 1
  if (!stage.registry.devices.has(device)) stage.asDevice(device)
  stage.registry.devices.keepState(device, { sid: 'a', seq: states, online, body: state })
}

const ids = () => [...consul.services.keys()].sort()

test('what is there is registered whole, and said once; what changes is said again, what goes is taken out', async () => {
  report('cam-01', { advertise_url: 'http://10.0.0.7:8000/edge', hardware: { names: ['x64'] } })
  report('cam-02', { advertise_url: 'https://cam-02.example' })
  report('cam-03', {})
  await start()
  expect(consul.services.get('limpet-cam-01')).toMatchObject({
    Service: 'limpet',
    Address: '10.0.0.7',
    Port: 8000,
    Tags: ['traefik.enable=true'],
    Meta: {
      limpet_device: 'cam-01',
      limpet_hardware: 'x64',
      limpet_scheme: 'http',
      limpet_path: '/edge',
    },
    Check: {
      HTTP: 'http://10.0.0.7:8000/edge/v2/health/ready',
      Method: 'GET',
      Interval: '10s',
      Timeout: '5s',
    },
  })
  await clock.look()
  report('cam-01', { advertise_url: 'http://10.0.0.8:8000' })
  report('cam-02', { advertise_url: null })
  await clock.look()
  await clock.look()
  expect(consul.services.get('limpet-cam-01')?.Address).toBe('10.0.0.8')
  expect(consul.changes.toSorted()).toEqual([
    '+ limpet-cam-01',
    '+ limpet-cam-01',
    '+ limpet-cam-02',
    '- limpet-cam-02',
  ])
})

test('a device that is away stays, for Consul to check, until its time is over', async () => {
  report('cam-01', { advertise_url: 'http://10.0.0.7:8000' })
  await start()
  report('cam-01', {}, false)
  const looks = (RULES.awaySeconds * 1000) / EVERY_MS
  for (let look = 1; look < looks; look += 1) await clock.look()
  expect(ids()).toEqual(['limpet-cam-01'])
  await clock.look()
  expect(ids()).toEqual([])
})

test('what others have registered is left alone, under whatever name; what Consul has lost comes back', async () => {
  report('cam-01', { advertise_url: 'http://10.0.0.7:8000' })
  const other = { Address: '', Port: 1, Tags: [], Meta: {}, Check: {} }
  consul.services.set('limpet-by-hand', { ID: 'limpet-by-hand', Service: 'limpet', ...other })
  consul.services.set('web', { ID: 'web', Service: 'web', ...other })
  await start()
  consul.services.delete('limpet-cam-01')
  await clock.look()
  expect(ids()).toEqual(['limpet-by-hand', 'limpet-cam-01', 'web'])
  expect(consul.changes).toEqual(['+ limpet-cam-01', '+ limpet-cam-01'])
})

test('a Consul that is not well is asked again, later and later', async () => {
  report('cam-01', { advertise_url: 'http://10.0.0.7:8000' })
  consul.failures = 3
  await start()
  for (let look = 0; look < 3; look += 1) await clock.look()
  expect(clock.slept).toEqual([1000, 2000, 4000, EVERY_MS])
  expect(ids()).toEqual(['limpet-cam-01'])
})

test('one device that it refuses holds up no other, and is tried again', async () => {
  report('cam-00', { advertise_url: 'http://10.0.0.6:8000' })
  report('cam-01', { advertise_url: 'http://10.0.0.7:8000' })
  consul.refuses.add('limpet-cam-00')
  await start()
  expect(ids()).toEqual(['limpet-cam-01'])
  consul.refuses.clear()
  await clock.look()
  expect(ids()).toEqual(['limpet-cam-00', 'limpet-cam-01'])
})

test('of many at once a few are on their way', async () => {
  for (let at = 0; at < 60; at += 1) report(`many-${at}`, { advertise_url: `http://10.1.0.${at}:8000` })
  await start()
  expect(ids()).toHaveLength(62)
  expect(consul.busiest).toBeLessThanOrEqual(8)
})

test('without the right token nothing is changed, and nothing is given up', async () => {
  await start('wrong')
  for (let look = 0; look < 3; look += 1) await clock.look()
  expect(consul.changes).toEqual([])
  expect(clock.slept).toHaveLength(4)
})
