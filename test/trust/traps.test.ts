/** Each known trap of TUF on a device, and that this one does not fall into it. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Database, openDatabase } from '../../src/kit/database.ts'
import { EdgeError } from '../../src/kit/errors.ts'
import { HighWaterTable } from '../../src/trust/high-water.ts'
import { METADATA_BOUNDS } from '../../src/trust/metadata-bounds.ts'
import { MetadataFolder } from '../../src/trust/metadata-files.ts'
import { TufWorkflow } from '../../src/trust/workflow.ts'
import { newKey, outcomeOf, START_MS, TufDevice, TufSimulator } from './tuf-simulator.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'limpet-trust-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const openMemory = (): Database => openDatabase(':memory:')

/** A device with files on disk and versions in SQLite, as the real one. */
class DiskDevice {
  readonly path: string
  readonly files: MetadataFolder
  readonly highWater: HighWaterTable
  readonly #source: TufSimulator

  constructor(source: TufSimulator, name: string) {
    this.path = join(folder, name)
    this.files = new MetadataFolder(this.path)
    this.highWater = new HighWaterTable(openMemory())
    this.#source = source
  }

  async refresh(): Promise<string> {
    const root = (await this.files.read('root.json')) ?? this.#source.roots[0]
    return await outcomeOf(async () => {
      const parts = { source: this.#source, files: this.files, highWater: this.highWater, nowMs: START_MS }
      await new TufWorkflow(root ?? new Uint8Array(), parts).refresh()
    })
  }
}

describe('1: only "it is not there" means that there is no next root', () => {
  test('a link that fails ends the look with that failure, and nothing is changed', async () => {
    const repository = new TufSimulator()
    const device = new TufDevice(repository)
    expect(await device.refresh()).toBe('ok')
    const before = device.trusted()
    const failure = new EdgeError('peer_failed', 'the link is down')
    repository.fetchMetadata = () => Promise.reject(failure)
    await expect(device.refresh()).rejects.toBe(failure)
    expect(device.trusted()).toEqual(before)
  })

  test('a timestamp that is not there is no reason to go on with the old one', async () => {
    const repository = new TufSimulator()
    const device = new TufDevice(repository)
    expect(await device.refresh()).toBe('ok')
    repository.instead.set('timestamp.json', undefined)
    expect(await device.refresh()).toBe('metadata_missing')
  })
})

test('2: a device may look a hundred times', async () => {
  const repository = new TufSimulator()
  const device = new TufDevice(repository)
  for (let count = 0; count < 100; count += 1) {
    repository.updateTimestamp()
    expect(await device.refresh()).toBe('ok')
  }
  expect(device.version('timestamp')).toBe(101)
})

describe('3: a torn file is as good as none', () => {
  // The root too: see client.test.ts.
  test.each(['timestamp.json', 'snapshot.json', 'targets.json'])(
    '%s, cut off at many places',
    async (name) => {
      const repository = new TufSimulator()
      const device = new DiskDevice(repository, `torn-${name}`)
      repository.updateSnapshot()
      expect(await device.refresh()).toBe('ok')
      const whole = (await device.files.read(name)) as Uint8Array
      for (let length = 0; length < whole.length; length += 97) {
        await truncate(join(device.path, name), length)
        expect(await device.refresh()).toBe('ok')
        expect(await device.files.read(name)).toEqual(whole)
      }
      await writeFile(join(device.path, name), new Uint8Array(512))
      expect(await device.refresh()).toBe('ok')
    },
  )
})

describe('4: versions are remembered apart from the files', () => {
  test.each(['timestamp', 'snapshot', 'targets'] as const)(
    'all files lost, and the registry back at an older %s',
    async (role) => {
      const repository = new TufSimulator()
      const device = new DiskDevice(repository, `lost-${role}`)
      repository.role('targets').version = 5
      repository.updateSnapshot()
      repository.updateSnapshot()
      expect(await device.refresh()).toBe('ok')
      for (const name of ['timestamp', 'snapshot', 'targets']) await rm(join(device.path, `${name}.json`))
      if (role === 'timestamp') repository.timestamp.version -= 1
      if (role === 'snapshot') repository.timestamp.snapshotVersion = repository.snapshot.version -= 1
      if (role === 'targets') {
        repository.role('targets').version = 4
        repository.updateSnapshot()
      }
      expect(await device.refresh()).toBe('metadata_rolled_back')
      expect(device.highWater.versionOf('targets')).toBe(5)
    },
  )

  test('all files lost, and the registry offers only its first root', async () => {
    const repository = new TufSimulator()
    const device = new DiskDevice(repository, 'lost-root')
    repository.publishRoot()
    expect(await device.refresh()).toBe('ok')
    await rm(device.path, { recursive: true })
    repository.roots.pop()
    expect(await device.refresh()).toBe('metadata_rolled_back')
  })

  test('all files lost, and the registry as it was: all is well again', async () => {
    const repository = new TufSimulator()
    const device = new DiskDevice(repository, 'lost-all')
    repository.publishRoot()
    repository.updateSnapshot()
    expect(await device.refresh()).toBe('ok')
    await rm(device.path, { recursive: true })
    expect(await device.refresh()).toBe('ok')
  })

  test('other keys for the timestamp: what was seen of the old ones is forgotten, of the root it is not', async () => {
    const repository = new TufSimulator()
    const device = new DiskDevice(repository, 'rotated')
    repository.timestamp.version = 1000
    expect(await device.refresh()).toBe('ok')
    repository.rotate('timestamp')
    repository.publishRoot()
    repository.timestamp.version = 1
    expect(await device.refresh()).toBe('ok')
    expect(device.highWater.versionOf('timestamp')).toBe(1)
    expect(device.highWater.versionOf('root')).toBe(2)
  })
})

describe('5: sizes are looked at before anything is built', () => {
  function withTargets(count: number): TufSimulator {
    const repository = new TufSimulator()
    for (let index = 0; index < count; index += 1)
      repository.addTarget('targets', `file-${index}`, Buffer.from('x'))
    return repository
  }

  test('a role with as many targets as there may be', async () => {
    expect(await new TufDevice(withTargets(METADATA_BOUNDS.targetsMax)).refresh()).toBe('ok')
  })

  test('and with one more', async () => {
    expect(await new TufDevice(withTargets(METADATA_BOUNDS.targetsMax + 1)).refresh()).toBe(
      'metadata_oversize',
    )
  })

  test('more bytes than a timestamp may have', async () => {
    const repository = new TufSimulator()
    repository.instead.set('timestamp.json', new Uint8Array(METADATA_BOUNDS.timestampBytesMax + 1))
    expect(await new TufDevice(repository).refresh()).toBe('metadata_oversize')
  })

  test('a hundred thousand arrays within each other', async () => {
    const repository = new TufSimulator()
    repository.instead.set('1.targets.json', Buffer.from('['.repeat(100_000)))
    expect(await new TufDevice(repository).refresh()).toBe('metadata_malformed')
  })

  test('more than 64 signatures', async () => {
    const repository = new TufSimulator()
    const { signers } = repository.timestamp
    for (let count = 0; count < METADATA_BOUNDS.signaturesMax; count += 1) signers.push(newKey())
    expect(await new TufDevice(repository).refresh()).toBe('metadata_oversize')
  })

  test('a registry that has a next root for ever is followed only so far', async () => {
    const repository = new TufSimulator()
    for (let count = 0; count < METADATA_BOUNDS.rootRotationsMax + 10; count += 1) repository.publishRoot()
    const device = new TufDevice(repository)
    expect(await device.refresh()).toBe('ok')
    expect(device.version('root')).toBe(METADATA_BOUNDS.rootRotationsMax + 1)
  })
})

describe('a version that nobody reaches by signing', () => {
  test.each(['timestamp', 'snapshot', 'targets'] as const)(
    'of %s is refused, and leaves nothing behind',
    async (role) => {
      const repository = new TufSimulator()
      const device = new TufDevice(repository)
      expect(await device.refresh()).toBe('ok')
      const before = device.trusted()
      const far = METADATA_BOUNDS.versionStepMax + 2
      if (role === 'timestamp') repository.timestamp.version = far
      if (role === 'snapshot') repository.timestamp.snapshotVersion = repository.snapshot.version = far
      if (role === 'targets') {
        repository.role('targets').version = far
        repository.snapshot.version += 1
        repository.snapshot.listed['targets'] = far
      }
      if (role !== 'timestamp') repository.updateTimestamp()
      expect(await device.refresh()).toBe('metadata_fast_forwarded')
      // The timestamp before the snapshot in question was good.
      expect(device.trusted()).toEqual({ ...before, ...(role === 'targets' && { timestamp: 2 }) })
    },
  )

  test('at the bound it is taken', async () => {
    const repository = new TufSimulator()
    const device = new TufDevice(repository)
    expect(await device.refresh()).toBe('ok')
    repository.timestamp.version += METADATA_BOUNDS.versionStepMax
    expect(await device.refresh()).toBe('ok')
  })
})
