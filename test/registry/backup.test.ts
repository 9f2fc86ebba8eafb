/** A registry in one file, and back. `test/flow/restore.test.ts` shows what its devices make of that. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { cp, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Database, openDatabase } from '../../src/kit/database.ts'
import { systemRandom } from '../../src/kit/random.ts'
import { backUp, missingPacks, openBackup, restore } from '../../src/registry/backup.ts'
import { openRegistry } from '../../src/registry/registry.ts'
import { packVersion, publisherKey, sha256Of, signFamily } from './publish.ts'
import { type RegistryStage, stageRegistry } from './stage.ts'

const open = (path: string) => openDatabase(path)
let stage: RegistryStage
let file: string

/** Content first, then the word that names it, as every publisher does. */
async function publish(release: number, targets: object = {}): Promise<void> {
  const headers = stage.as('publisher')
  const send = async (method: string, path: string, body: Uint8Array) =>
    expect((await stage.app.request(path, { method, headers, body: Uint8Array.from(body) })).status).toBe(201)
  const packed = packVersion({
    ...{ model: 'vision/yolo', version: String(release), release },
    files: { '1/model.onnx': new Uint8Array(100).fill(release) },
  })
  for (const pack of packed.packs) await send('POST', '/v1/packs', pack)
  for (const object of packed.objects) await send('PUT', `/v1/objects/${sha256Of(object)}`, object)
  const key = await publisherKey(stage.fleet, 'vision')
  const all = { ...targets, ...packed.targets }
  const signed = signFamily({ version: release, targets: all, nowMs: stage.clock.now() }, key)
  await send('POST', '/v1/metadata/vision', signed)
}

beforeAll(async () => {
  stage = await stageRegistry()
  file = join(stage.fleet, 'backup')
  await publish(2)
  stage.registry.devices.enrol('cam-01', {})
  stage.registry.devices.keepState('cam-01', { sid: 's', seq: 1, online: true, body: {} })
  await stage.app.request('/v1/rollouts', {
    method: 'POST',
    headers: stage.as('operator'),
    body: JSON.stringify({ model: 'vision/yolo', version: '2', waves: [{ percent: 100 }] }),
  })
  stage.registry.rollouts.act('r-1', { action: 'start', by: 'me', reason: '' })
})
afterAll(() => stage.remove())

const options = (withPacks = false, withTelemetry = false) => ({
  ...{ open, now: stage.clock.now(), withPacks, withTelemetry },
})

async function reopened(
  folder: string,
): Promise<{ database: Database; registry: Awaited<ReturnType<typeof openRegistry>> }> {
  const database = open(join(folder, 'registry.sqlite'))
  const registry = await openRegistry({ folder, database, clock: stage.clock, random: systemRandom })
  await registry.director.readKey()
  return { database, registry }
}

test('made while the registry runs, it holds all of it but the packs, for its owner only', async () => {
  // The command sets it for its own process; other test files share this one.
  const umask = process.umask(0o077)
  const { files } = await backUp(stage.folder, file, options()).finally(() => process.umask(umask))
  expect((await stat(file)).mode & 0o077).toBe(0)
  expect(files).toBeGreaterThan(5)
  expect((await readdir(stage.fleet)).filter((name) => name.startsWith('backup'))).toEqual(['backup'])
})

test('restored, it signs, answers and knows as before; a rollout that was under way is paused', async () => {
  const folder = join(stage.fleet, 'restored')
  const { made, paused } = await restore(file, folder, { open, now: stage.clock.now() })
  expect([made, paused]).toEqual([stage.clock.now(), ['r-1']])
  expect(await missingPacks(folder, open)).toHaveLength(1)
  await cp(join(stage.folder, 'packs'), join(folder, 'packs'), { recursive: true })
  expect(await missingPacks(folder, open)).toEqual([])
  const { database, registry } = await reopened(folder)
  expect(registry.rollouts.store.get('r-1')).toMatchObject({ state: 'paused', pausedIn: 'running' })
  expect(registry.rollouts.store.transitions('r-1').at(-1)?.reason).toStartWith(
    'restored from a backup of 2027-',
  )
  expect(registry.devices.get('cam-01').id).toBe('cam-01')
  expect(registry.assignments.current('cam-01')?.rev).toBe(
    stage.registry.assignments.current('cam-01')?.rev ?? -1,
  )
  expect((await registry.published.list()).map(({ version }) => version)).toEqual(['2'])
  // Every file is what it was, keys and their modes included.
  const key = (await readdir(join(stage.folder, 'keys')))[0] ?? ''
  expect(await Bun.file(join(folder, 'keys', key)).bytes()).toEqual(
    await Bun.file(join(stage.folder, 'keys', key)).bytes(),
  )
  expect((await stat(join(folder, 'keys', key))).mode & 0o777).toBe(0o600)
  database.close()
})

test('with packs nothing is missing', async () => {
  const whole = join(stage.fleet, 'whole')
  await backUp(stage.folder, whole, options(true))
  const folder = join(stage.fleet, 'restored-whole')
  await restore(whole, folder, { open, now: stage.clock.now() })
  expect(await missingPacks(folder, open)).toEqual([])
})

test('made while a publisher publishes, everything that it lists is in it', async () => {
  const busy = join(stage.fleet, 'busy')
  await Promise.all([backUp(stage.folder, busy, options(true)), publish(3)])
  const folder = join(stage.fleet, 'restored-busy')
  await restore(busy, folder, { open, now: stage.clock.now() })
  const { database, registry } = await reopened(folder)
  for (const { version } of await registry.published.list()) {
    const { manifest } = await registry.published.resolve({ model: 'vision/yolo', version })
    expect(await registry.objects.read(manifest)).toBeDefined()
  }
  const newest = `${await registry.published.familyVersion('vision')}.vision.json`
  const metadata = (await registry.repository.read(newest)) ?? new Uint8Array()
  expect(await registry.published.missing(metadata)).toEqual([])
  database.close()
})

test('what devices have measured comes along when asked for; what was counted of it always', async () => {
  stage.database.exec(`
    INSERT INTO telemetry (device, tier, from_ms, to_ms, is_settled, weight, bytes, body) VALUES ('cam-01', 0, 1, 2, 0, 1, 1, x'00');
    INSERT INTO telemetry_mark VALUES ('cam-01', 's', 7)`)
  const kept: unknown[] = []
  for (const withTelemetry of [false, true]) {
    const path = join(stage.fleet, `telemetry-${withTelemetry}`)
    await backUp(stage.folder, path, options(false, withTelemetry))
    const database = open(path)
    const counts =
      'SELECT (SELECT count(*) FROM telemetry) AS rows, (SELECT max(seq) FROM telemetry_mark) AS seq'
    kept.push(database.prepare(counts).get())
    database.close()
  }
  expect(kept).toEqual([
    { rows: 0, seq: 7 },
    { rows: 1, seq: 7 },
  ])
})

test('packs that lie there and that the database does not know are looked at, and known', async () => {
  const folder = join(stage.fleet, 'restored-found')
  await restore(file, folder, { open, now: stage.clock.now() })
  await cp(join(stage.folder, 'packs'), join(folder, 'packs'), { recursive: true })
  const damaged = sha256Of(new Uint8Array(9))
  await Bun.write(join(folder, 'packs', damaged), 'no pack')
  const count = (of: Database) =>
    of.prepare<[], { packs: number }>('SELECT count(*) AS packs FROM pack').get()?.packs ?? 0
  const { database } = await reopened(folder)
  expect(count(database)).toBe(count(stage.database))
  expect(database.prepare('SELECT 1 FROM pack WHERE sha256 = ?').get(damaged)).toBeUndefined()
  database.close()
})

test('metadata goes on above what devices have seen; what is too far above is not followed', async () => {
  const { published, devices } = stage.registry
  const versions = async () => {
    const bytes = await stage.registry.repository.read('timestamp.json')
    const { signed } = JSON.parse(Buffer.from(bytes ?? []).toString()) as {
      signed: { version: number; meta: { 'snapshot.json': { version: number } } }
    }
    return [signed.version, signed.meta['snapshot.json'].version] as const
  }
  const [timestamp, snapshot] = await versions()
  const report = (seen: object, seq: number) =>
    devices.keepState('cam-01', { sid: 's', seq, online: true, body: { metadata_seen: seen } })
  report({ timestamp: timestamp + 7, snapshot: snapshot + 3 }, 2)
  expect(await published.resignAbove(devices.metadataSeen())).toBe(true)
  expect(await versions()).toEqual([timestamp + 8, snapshot + 4])
  expect(await published.resignAbove(devices.metadataSeen())).toBe(false)
  report({ timestamp: timestamp + 50_000, snapshot }, 3)
  expect(await published.resignAbove(devices.metadataSeen())).toBe(false)
  expect(await versions()).toEqual([timestamp + 8, snapshot + 4])
})

describe('is refused', () => {
  const damaged = async (change: (database: Database) => void) => {
    const path = join(stage.fleet, 'damaged')
    await cp(file, path)
    const database = open(path)
    change(database)
    database.close()
    return path
  }

  test('what is no backup', async () => {
    const path = join(stage.fleet, 'none')
    open(path).close()
    expect(() => openBackup(path, open)).toThrow('it is no whole backup of a registry')
  })

  test('one of another format', async () => {
    const path = await damaged((database) => database.exec('UPDATE backup_about SET format = 9'))
    expect(() => openBackup(path, open)).toThrow('its format is 9, this program knows 1')
  })

  test.each([
    [
      'a file with one byte changed',
      "UPDATE backup_file SET bytes = x'00' WHERE path = 'tuf/timestamp.json'",
      'its content is not what was backed up',
    ],
    [
      'a file that lies elsewhere',
      "UPDATE backup_file SET path = '../elsewhere' WHERE path = 'tuf/timestamp.json'",
      "lies outside the registry's folder",
    ],
  ])('%s', async (_, sql, words) => {
    const path = await damaged((database) => database.exec(sql))
    const folder = join(stage.fleet, 'refused')
    expect(restore(path, folder, { open, now: 0 })).rejects.toThrow(words)
  })
})
