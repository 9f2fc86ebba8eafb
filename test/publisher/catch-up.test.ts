/** A publisher, and a registry that was restored from a copy of before the publisher's last words. */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Hono } from 'hono'
import { openDatabase } from '../../src/kit/database.ts'
import { systemRandom } from '../../src/kit/random.ts'
import { mergeForgotten, publisherView } from '../../src/publisher/catch-up.ts'
import { KeptManifests } from '../../src/publisher/kept-manifests.ts'
import { changeFamily, familyPort } from '../../src/publisher/publish.ts'
import { pushVersion } from '../../src/publisher/push.ts'
import { RegistryClient } from '../../src/publisher/registry-client.ts'
import { createApp } from '../../src/registry/app.ts'
import { backUp, restore } from '../../src/registry/backup.ts'
import { openRegistry, type Registry } from '../../src/registry/registry.ts'
import { TrustClient } from '../../src/trust/client.ts'
import { HighWaterMemory } from '../../src/trust/high-water.ts'
import type { SigningKey } from '../../src/trust/key.ts'
import { MetadataMemory } from '../../src/trust/metadata-files.ts'
import { raiseFloor, unlistVersion } from '../../src/trust/targets-change.ts'
import { publisherKey } from '../registry/publish.ts'
import { type RegistryStage, stageRegistry } from '../registry/stage.ts'
import { outcomeOf } from '../trust/tuf-simulator.ts'

const open = (path: string) => openDatabase(path)

let stage: RegistryStage
let registry: Registry
let app: Hono
let server: ReturnType<typeof Bun.serve>
let apiKey: string
let key: SigningKey
let lines: string[]

beforeEach(async () => {
  stage = await stageRegistry()
  ;({ registry, app } = stage)
  server = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: (request) => app.fetch(request) })
  apiKey = registry.keys.create({ name: 'ci', role: 'publisher' }).text
  key = await publisherKey(stage.fleet, 'vision')
  lines = []
})
afterEach(async () => {
  await server.stop(true)
  await stage.remove()
})

/** A machine that publishes, with what it remembers. */
async function machine(name: string) {
  const trust = new TrustClient({
    files: new MetadataMemory(),
    highWater: new HighWaterMemory(),
    clock: stage.clock,
    builtMs: stage.clock.now() - 1000,
    enrolledRoot: new Uint8Array(await readFile(join(stage.fleet, 'root.json'))),
    makeNonce: () => '0123456789abcdef'.repeat(2),
  })
  const client = new RegistryClient({
    url: server.url.href,
    apiKey,
    clock: { sleep: () => Promise.resolve() },
  })
  const tensor = { name: 'x', datatype: 'FP32', shape: [-1] }
  let probes = 0
  const ports = {
    registry: client,
    trust,
    key,
    manifests: new KeptManifests(join(stage.fleet, name)),
    // What is measured is another number each time, and so a manifest that is made again is another one.
    probe: () => {
      probes += 1
      const signature = { inputs: [tensor], outputs: [tensor] }
      return Promise.resolve({ providers: ['cpu'], signature, memoryMb: probes })
    },
    settingsProviders: () => Promise.resolve(['cpu']),
    print: (line: string) => void lines.push(line),
  }
  const push = async (version: string) => {
    const folder = join(stage.fleet, `model-${version}`, 'yolo')
    await mkdir(join(folder, version), { recursive: true })
    await writeFile(join(folder, version, 'model.onnx'), `weights of ${version}`)
    await pushVersion(
      {
        ...{ family: 'vision', name: undefined, modelVersion: undefined, release: undefined },
        variants: [
          {
            ...{ name: 'default', folder, hardware: ['any'], providers: undefined },
            ...{ memoryMb: undefined, isUnchecked: false },
          },
        ],
        tolerance: { atolE6: 1000, rtolE6: 1000 },
      },
      ports,
    )
  }
  const change = (what: Parameters<typeof changeFamily>[1]) =>
    changeFamily('vision', what, { port: familyPort(client, trust), key })
  return { ports, push, change }
}

async function backup(): Promise<void> {
  await backUp(stage.folder, join(stage.fleet, 'yesterday'), {
    ...{ open, now: stage.clock.now(), withPacks: true, withTelemetry: false },
  })
}

/** The registry as it was then; with the objects and packs of now, where they were not on the disk that was lost. */
async function restored({ keeps }: { keeps: boolean }): Promise<void> {
  const folder = join(stage.fleet, 'restored')
  await restore(join(stage.fleet, 'yesterday'), folder, { open, now: stage.clock.now() })
  for (const name of keeps ? ['objects', 'packs'] : [])
    await cp(join(stage.folder, name), join(folder, name), { recursive: true })
  const database = open(join(folder, 'registry.sqlite'))
  registry = await openRegistry({ folder, database, clock: stage.clock, random: systemRandom })
  app = createApp({ ...stage.parts, ...registry, readMetadata: (name) => registry.repository.read(name) })
}

const listed = async () =>
  (await registry.published.list()).map(({ version, release, sha256 }) => ({ version, release, sha256 }))
const versions = async () => (await listed()).map(({ version }) => version)
/** As a device that has seen everything. */
async function witness() {
  const device = (await machine('device')).ports
  await device.trust.refresh(device.registry)
  return async () => await outcomeOf(() => device.trust.refresh(device.registry))
}

describe('a publisher whose registry has forgotten its last words', () => {
  test('lists again what it has published, where the bytes are still there, and goes on from it', async () => {
    const { push } = await machine('ci')
    await push('1')
    await backup()
    await push('2')
    const before = await listed()
    const look = await witness()
    await restored({ keeps: true })
    expect([await versions(), await look()]).toEqual([['1'], 'metadata_rolled_back'])
    await push('3')
    expect((await listed()).slice(0, 2)).toEqual(before)
    expect([await versions(), await look()]).toEqual([['1', '2', '3'], 'ok'])
    expect(lines.join('\n')).toContain('vision is signed again as version 4; the registry had version 2')
  })

  test('is told what is lost, and pushes that again as what it was', async () => {
    const { push } = await machine('ci')
    await push('1')
    await backup()
    await push('2')
    const before = await listed()
    const look = await witness()
    await restored({ keeps: false })
    await push('3')
    expect([await versions(), await look()]).toEqual([['1', '3'], 'ok'])
    expect(lines).toContain('lost at the registry, push it again: vision/yolo 2')
    await push('2')
    expect((await listed()).slice(0, 2)).toEqual(before)
    expect([await versions(), await look()]).toEqual([['1', '2', '3'], 'ok'])
  })

  test('has forgotten as well: what devices have seen says which version comes next', async () => {
    const { push, change } = await machine('ci')
    await push('1')
    await backup()
    for (const release of [2, 3, 4])
      await change((all) => raiseFloor(all, { model: 'vision/other', release }))
    const look = await witness()
    await restored({ keeps: true })
    registry.devices.enrol('cam-01', {})
    const seen = { timestamp: 20, snapshot: 20, families: { vision: 5 } }
    registry.devices.keepState('cam-01', { sid: 's', seq: 1, online: true, body: { metadata_seen: seen } })
    await registry.published.resignAbove(registry.devices.metadataSeen())
    await (await machine('another')).push('2')
    expect([await versions(), await look()]).toEqual([['1', '2'], 'ok'])
  })

  test('removes nothing that it had not removed, and lowers no floor', async () => {
    const { push, change, ports } = await machine('ci')
    await push('1')
    await push('2')
    await backup()
    await change((all) => unlistVersion(all, { model: 'vision/yolo', version: '1' }))
    await change((all) => raiseFloor(all, { model: 'vision/yolo', release: 2 }))
    await restored({ keeps: true })
    await publisherView('vision', ports)
    const [only, ...others] = await registry.published.list()
    expect([only?.version, only?.floor, others]).toEqual(['2', 2, []])
    expect(lines).toContain('not listed any more, as it was before: vision/yolo 1')
  })

  test('where another family is behind too, its name is told', async () => {
    const { push, ports } = await machine('ci')
    await push('1')
    await backup()
    const audio = await publisherKey(stage.fleet, 'audio')
    await changeFamily('audio', (all) => raiseFloor(all, { model: 'audio/vad', release: 2 }), {
      port: familyPort(ports.registry, ports.trust),
      key: audio,
    })
    await restored({ keeps: true })
    expect(publisherView('vision', ports)).rejects.toThrow('version 1 of audio.json')
  })
})

describe('the registry', () => {
  test('takes a timestamp of its own that it has forgotten, and nobody else’s', async () => {
    const { push } = await machine('ci')
    await push('1')
    await backup()
    await push('2')
    const own = await registry.repository.read('timestamp.json')
    await restored({ keeps: true })
    const post = async (body: Uint8Array) =>
      (
        await app.request('/v1/metadata/timestamp', {
          method: 'POST',
          headers: { authorization: `Bearer ${apiKey}` },
          body: Uint8Array.from(body),
        })
      ).status
    const { ports } = await machine('fresh')
    const version = async () => (await ports.trust.look(ports.registry)).versions.timestamp
    const before = await version()
    const forged = JSON.parse(Buffer.from(own ?? []).toString()) as { signed: { version: number } }
    forged.signed.version += 1
    expect(await post(Buffer.from(JSON.stringify(forged)))).toBe(403)
    expect(await version()).toBe(before)
    expect(await post(own ?? new Uint8Array())).toBe(201)
    expect(await version()).toBeGreaterThan(before)
  })

  test('is not led further than is signed between two backups by devices that lie, however often', async () => {
    const seen = async (timestamp: number) => await registry.published.resignAbove({ timestamp, snapshot: 1 })
    expect(await seen(9_000)).toBe(true)
    expect(await seen(18_000)).toBe(false)
    expect(await seen(9_500)).toBe(true)
  })
})

test('of two floors the higher one counts', () => {
  const of = (floors: Record<string, number>) => ({
    ...{ version: 1, expires: '', targets: {}, limpet_floors: floors },
  })
  const merged = mergeForgotten(of({ a: 3, b: 1 }), { before: of({ a: 2, b: 4, c: 5 }), lost: new Set() })
  expect(merged.limpet_floors).toEqual({ a: 3, b: 4, c: 5 })
})
