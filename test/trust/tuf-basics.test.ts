/** The cases of tuf-conformance about a first and a further look, expiry, roll-back and recovery, against our workflow. */
import { describe, expect, test } from 'bun:test'
import { DAY_MS, later, newKey, START_MS, TufDevice, TufSimulator } from './tuf-simulator.ts'

const FIRST_LOOK = ['2.root.json', 'timestamp.json', '1.snapshot.json', '1.targets.json']
const ALL_FIRST = { root: 1, snapshot: 1, targets: 1, timestamp: 1 }

async function start() {
  const repository = new TufSimulator()
  const device = new TufDevice(repository)
  expect(await device.refresh()).toBe('ok')
  return { repository, device }
}

describe('a look', () => {
  test('the first asks for each file once, in order, and keeps all of them', async () => {
    const { repository, device } = await start()
    expect(repository.requests).toEqual(FIRST_LOOK)
    expect(device.trusted()).toEqual(ALL_FIRST)
  })

  test('the search for a path that nobody lists brings the metadata up to date', async () => {
    const repository = new TufSimulator()
    const device = new TufDevice(repository)
    expect(await device.download('nonexistent artifact')).toBe('unlisted')
    expect(repository.requests).toEqual(FIRST_LOOK)
    expect(device.trusted()).toEqual(ALL_FIRST)
  })

  test('the second asks only for what may have changed', async () => {
    const { repository, device } = await start()
    repository.requests.length = 0
    expect(await device.refresh()).toBe('ok')
    expect(repository.requests).toEqual(['2.root.json', 'timestamp.json'])
  })

  test('a root without a version begins nothing, and nothing is asked for', async () => {
    const repository = new TufSimulator()
    const root = JSON.parse(Buffer.from(repository.roots[0] ?? []).toString()) as {
      signed: { version?: number }
    }
    delete root.signed.version
    const device = new TufDevice(repository, Buffer.from(JSON.stringify(root)))
    expect(await device.refresh()).toBe('root_unusable')
    expect(repository.requests).toEqual([])
  })

  test('a root with a wrong signature begins nothing, and nothing is asked for', async () => {
    const repository = new TufSimulator()
    const root = JSON.parse(Buffer.from(repository.roots[0] ?? []).toString()) as {
      signatures: { sig: string }[]
    }
    for (const signature of root.signatures) signature.sig = '00'.repeat(64)
    const device = new TufDevice(repository, Buffer.from(JSON.stringify(root)))
    expect(await device.refresh()).toBe('root_unusable')
    expect(repository.requests).toEqual([])
  })

  test('fields that nobody knows are signed like all others, and do no harm', async () => {
    const { repository, device } = await start()
    repository.root.extra = { 'custom-field': 'value', 'another-field': { a: 1, b: 2 } }
    repository.publishRoot()
    expect(await device.refresh()).toBe('ok')
    expect(device.version('root')).toBe(2)
  })

  test('a timestamp with other content under the same version is not taken', async () => {
    const { repository, device } = await start()
    const kept = device.files.files.get('timestamp.json')
    repository.timestamp.snapshotVersion = 100
    expect(await device.refresh()).toBe('ok')
    expect(device.files.files.get('timestamp.json')).toEqual(kept as Uint8Array)
  })

  test('targets that are not what the snapshot hashed are refused', async () => {
    const { repository, device } = await start()
    repository.isHashed = true
    repository.updateSnapshot()
    expect(await device.refresh()).toBe('ok')
    const snapshot = await repository.fetchMetadata('2.snapshot.json')
    repository.instead.set('3.snapshot.json', snapshot)
    repository.role('targets').version += 1
    repository.snapshot.version += 1
    repository.updateTimestamp()
    expect(await device.refresh()).toBe('metadata_tampered')
    expect(device.version('targets')).toBe(1)
  })

  test('targets of another version than the snapshot lists are refused', async () => {
    const repository = new TufSimulator()
    const device = new TufDevice(repository)
    repository.role('targets').version += 1
    expect(await device.refresh()).toBe('metadata_mixed')
    expect(device.version('targets')).toBeUndefined()
  })
})

describe('what has expired', () => {
  test('a root: it is kept, and nothing after it is taken', async () => {
    const { repository, device } = await start()
    repository.publishRoot()
    expect(await device.refresh()).toBe('ok')
    repository.root.expires = later(-1)
    repository.publishRoot()
    repository.role('targets').version += 1
    repository.updateSnapshot()
    expect(await device.refresh()).toBe('metadata_expired')
    expect(device.trusted()).toEqual({ ...ALL_FIRST, root: 3 })
  })

  test('a timestamp', async () => {
    const { repository, device } = await start()
    repository.timestamp.expires = later(-5)
    repository.updateTimestamp()
    expect(await device.refresh()).toBe('metadata_expired')
    expect(device.version('timestamp')).toBe(1)
  })

  test('a snapshot', async () => {
    const { repository, device } = await start()
    repository.snapshot.expires = later(-5)
    repository.updateSnapshot()
    expect(await device.refresh()).toBe('metadata_expired')
    expect(device.version('snapshot')).toBe(1)
  })

  test('targets', async () => {
    const { repository, device } = await start()
    repository.role('targets').expires = later(-5)
    repository.role('targets').version += 1
    repository.updateSnapshot()
    expect(await device.refresh()).toBe('metadata_expired')
    expect(device.version('targets')).toBe(1)
  })

  test('files on the device that have expired still lead on to newer ones', async () => {
    const repository = new TufSimulator()
    repository.timestamp.expires = later(7)
    const device = new TufDevice(repository)
    expect(await device.refresh()).toBe('ok')
    repository.role('targets').version += 1
    repository.timestamp.expires = later(21)
    repository.updateSnapshot()
    device.nowMs = START_MS + 18 * DAY_MS
    expect(await device.refresh()).toBe('ok')
    expect(device.trusted()).toEqual({ root: 1, snapshot: 2, targets: 2, timestamp: 2 })
  })
})

describe('what has expired, delegated', () => {
  function delegated(days: number) {
    const repository = new TufSimulator()
    repository.delegate('targets', {
      name: 'role',
      keys: [newKey()],
      threshold: 1,
      terminating: false,
      paths: ['path/*'],
    })
    repository.role('role').expires = later(days)
    repository.addTarget('role', 'path/first', Buffer.from('first'))
    repository.addTarget('role', 'path/second', Buffer.from('second'))
    repository.role('targets').version += 1
    repository.updateSnapshot()
    return { repository, device: new TufDevice(repository) }
  }

  test('from the start: nothing that it lists is taken', async () => {
    const { device } = delegated(-1)
    expect(await device.refresh()).toBe('ok')
    expect(await device.download('path/first')).toBe('metadata_expired')
    expect(device.trusted()).toEqual({ root: 1, snapshot: 2, targets: 2, timestamp: 2 })
  })

  test('since then: what is on the device is not used any longer', async () => {
    const { device } = delegated(7)
    expect(await device.download('path/first')).toBe('ok')
    device.nowMs = START_MS + 18 * DAY_MS
    expect(await device.download('path/second')).toBe('metadata_expired')
    expect([...device.downloads.keys()]).toEqual(['path/first'])
  })

  test('since then, with a newer one at the repository: that is taken', async () => {
    const { repository, device } = delegated(7)
    expect(await device.download('path/first')).toBe('ok')
    repository.role('role').expires = later(21)
    repository.role('role').version += 1
    repository.updateSnapshot()
    device.nowMs = START_MS + 18 * DAY_MS
    expect(await device.download('path/second')).toBe('ok')
  })
})

describe('roll-back', () => {
  test('a snapshot under the timestamp that lists the newer one: the device has that already', async () => {
    const { repository, device } = await start()
    repository.updateSnapshot()
    expect(await device.refresh()).toBe('ok')
    repository.snapshot.version -= 1
    expect(await device.refresh()).toBe('ok')
    expect(device.version('snapshot')).toBe(2)
    expect(repository.requests.at(-1)).toBe('timestamp.json')
  })

  test('a timestamp', async () => {
    const { repository, device } = await start()
    repository.updateTimestamp()
    expect(await device.refresh()).toBe('ok')
    repository.timestamp.version -= 1
    expect(await device.refresh()).toBe('metadata_rolled_back')
    expect(device.version('timestamp')).toBe(2)
  })

  test.each([false, true])('a snapshot, with a timestamp that lists it (hashed: %p)', async (isHashed) => {
    const { repository, device } = await start()
    repository.isHashed = isHashed
    repository.updateSnapshot()
    expect(await device.refresh()).toBe('ok')
    repository.snapshot.version = 1
    repository.updateTimestamp()
    expect(await device.refresh()).toBe('metadata_rolled_back')
    expect(device.trusted()).toEqual({ root: 1, snapshot: 2, targets: 1, timestamp: 2 })
    expect(repository.requests.at(-1)).toBe('timestamp.json')
  })

  test('a snapshot that the timestamp does not list', async () => {
    const repository = new TufSimulator()
    const device = new TufDevice(repository)
    repository.snapshot.version += 1
    expect(await device.refresh()).toBe('metadata_mixed')
    expect(device.trusted()).toEqual({ root: 1, timestamp: 1 })
    expect(repository.requests.at(-1)).toBe('1.snapshot.json')
  })

  test.each([false, true])('targets (hashed: %p)', async (isHashed) => {
    const { repository, device } = await start()
    repository.isHashed = isHashed
    repository.role('targets').version = 3
    repository.updateSnapshot()
    expect(await device.refresh()).toBe('ok')
    repository.role('targets').version = 1
    repository.updateSnapshot()
    expect(await device.refresh()).toBe('metadata_rolled_back')
    expect(device.trusted()).toMatchObject({ snapshot: 2, targets: 3 })
  })

  test('a snapshot that leaves out a role', async () => {
    const { repository, device } = await start()
    repository.snapshot.listed['vision'] = 1
    repository.targets.set('vision', repository.newTargets())
    repository.updateSnapshot()
    expect(await device.refresh()).toBe('ok')
    repository.targets.delete('vision')
    delete repository.snapshot.listed['vision']
    repository.updateSnapshot()
    expect(await device.refresh()).toBe('metadata_rolled_back')
    expect(device.version('snapshot')).toBe(2)
  })
})

describe('recovery from versions that a thief has driven up', () => {
  test('targets: other keys for snapshot', async () => {
    const { repository, device } = await start()
    repository.role('targets').version = 100
    repository.updateSnapshot()
    expect(await device.refresh()).toBe('ok')
    repository.rotate('snapshot')
    repository.publishRoot()
    repository.role('targets').version = 2
    repository.updateSnapshot()
    expect(await device.refresh()).toBe('ok')
    expect(device.version('targets')).toBe(2)
  })

  test('snapshot: other keys for snapshot and timestamp', async () => {
    const { repository, device } = await start()
    repository.snapshot.version = 99_999
    repository.updateTimestamp()
    expect(await device.refresh()).toBe('ok')
    expect(device.version('snapshot')).toBe(99_999)
    repository.rotate('snapshot')
    repository.rotate('timestamp')
    repository.publishRoot()
    repository.snapshot.version = 1
    repository.updateTimestamp()
    expect(await device.refresh()).toBe('ok')
    expect(device.version('snapshot')).toBe(1)
  })

  test('timestamp: other keys for timestamp', async () => {
    const { repository, device } = await start()
    repository.timestamp.version = 100
    expect(await device.refresh()).toBe('ok')
    repository.rotate('timestamp')
    repository.publishRoot()
    repository.timestamp.version = 1
    expect(await device.refresh()).toBe('ok')
    expect(device.version('timestamp')).toBe(1)
  })
})
