/** The cases of tuf-conformance about keys: rotation of the root and of the others, thresholds, one key under many ids. */
import { describe, expect, test } from 'bun:test'
import { newKey, type Top, TufDevice, TufSimulator } from './tuf-simulator.ts'

/** Who is named, how many have to sign, who signs. */
type RootVersion = readonly [keys: readonly number[], threshold: number, signers: readonly number[]]

const FIVE = [0, 1, 2, 3, 4]

const ROOTS: readonly [name: string, outcome: 'ok' | 'root_untrusted', versions: readonly RootVersion[]][] = [
  [
    '1 of 1, rotated',
    'ok',
    [
      [[1], 1, [1]],
      [[2], 1, [2, 1]],
      [[2], 1, [2]],
    ],
  ],
  [
    '1 of 1, rotated, with signatures of strangers',
    'ok',
    [
      [[1], 1, [3, 1, 4]],
      [[2], 1, [3, 2, 1, 4]],
      [[2], 1, [3, 2, 4]],
    ],
  ],
  [
    '3 of 5, signed by different three',
    'ok',
    [
      [FIVE, 3, [0, 2, 4]],
      [FIVE, 3, [0, 4, 1]],
      [FIVE, 3, [0, 1, 3]],
      [FIVE, 3, [0, 1, 3]],
    ],
  ],
  [
    '3 of 5, one rotated',
    'ok',
    [
      [FIVE, 3, [0, 2, 4]],
      [[0, 1, 3, 4, 5], 3, [0, 4, 1]],
    ],
  ],
  [
    '3 of 5, one rotated in two steps',
    'ok',
    [
      [FIVE, 3, [0, 2, 4]],
      [[0, 1, 3, 4, 5], 3, [0, 2, 4, 5]],
      [[0, 1, 3, 4, 5], 3, [0, 4, 5]],
    ],
  ],
  [
    '3 of 5, all rotated',
    'ok',
    [
      [FIVE, 3, [0, 2, 4]],
      [[5, 6, 7, 8, 9], 3, [0, 2, 4, 5, 6, 7]],
      [[5, 6, 7, 8, 9], 3, [5, 6, 7]],
    ],
  ],
  [
    '1 of 3 becomes 2 of 3',
    'ok',
    [
      [[1, 2, 3], 1, [1]],
      [[1, 2, 3], 2, [1, 2]],
    ],
  ],
  [
    '2 of 3 becomes 1 of 3',
    'ok',
    [
      [[1, 2, 3], 2, [1, 2]],
      [[1, 2, 3], 1, [1, 2]],
      [[1, 2, 3], 1, [1]],
    ],
  ],
  [
    '1 of 1 becomes 2 of 2',
    'ok',
    [
      [[1], 1, [1]],
      [[1, 2], 2, [1, 2]],
    ],
  ],
  [
    '1 of 1, not signed by the old key',
    'root_untrusted',
    [
      [[1], 1, [1]],
      [[2], 1, [2, 3, 4]],
    ],
  ],
  [
    '1 of 1, not signed by the new key',
    'root_untrusted',
    [
      [[1], 1, [1]],
      [[2], 1, [1, 3, 4]],
    ],
  ],
  [
    '3 of 5, not signed by three new ones',
    'root_untrusted',
    [
      [FIVE, 3, [0, 2, 4]],
      [[0, 1, 3, 4, 5], 3, [0, 2, 4]],
    ],
  ],
  [
    '3 of 5, not signed by three old ones',
    'root_untrusted',
    [
      [FIVE, 3, [0, 2, 4]],
      [[0, 1, 3, 4, 5], 3, [0, 4, 5]],
    ],
  ],
  [
    '1 of 3 becomes 2 of 3, not signed by two',
    'root_untrusted',
    [
      [[1, 2, 3], 1, [1]],
      [[1, 2, 3], 2, [2]],
    ],
  ],
  [
    '2 of 3 becomes 1 of 3, not signed by two',
    'root_untrusted',
    [
      [[1, 2, 3], 2, [1, 2]],
      [[1, 2, 3], 1, [1]],
    ],
  ],
]

test.each(ROOTS)('root: %s: %s', async (_name, outcome, versions) => {
  const keys = Array.from({ length: 10 }, newKey)
  const pick = (indexes: readonly number[]) => keys.filter((_, index) => indexes.includes(index))
  const repository = new TufSimulator()
  repository.root.version = 0
  repository.roots.length = 0
  for (const [named, threshold, signers] of versions) {
    repository.root.roles.root = { keyids: pick(named).map(({ id }) => id), threshold }
    for (const key of pick(named)) repository.root.keys[key.id] = key.json
    repository.root.signers = pick(signers)
    repository.publishRoot()
  }
  const device = new TufDevice(repository)
  expect(await device.refresh()).toBe(outcome)
  const last = outcome === 'ok' ? -1 : -2
  expect(device.files.files.get('root.json')).toEqual(repository.roots.at(last) as Uint8Array)
})

const OTHERS: readonly [name: string, isGood: boolean, version: RootVersion][] = [
  ['1 of 1, rotated', true, [[2], 1, [2]]],
  ['1 of 1, with signatures of strangers', true, [[1], 1, [3, 1, 4]]],
  ['1 of 1, not signed by the new key', false, [[2], 1, [1, 3, 4]]],
  ['3 of 5, one of three signers is not named', false, [[0, 1, 3, 4, 5], 3, [0, 2, 4]]],
  ['3 of 5, signed by two', false, [[0, 1, 3, 4, 5], 3, [0, 4]]],
  ['3 of 5: 0, 2, 4', true, [FIVE, 3, [0, 2, 4]]],
  ['3 of 5: 0, 4, 1', true, [FIVE, 3, [0, 4, 1]]],
  ['3 of 5: 0, 1, 3', true, [FIVE, 3, [0, 1, 3]]],
  ['3 of 5: 1, 2, 3', true, [FIVE, 3, [1, 2, 3]]],
  ['3 of 5: 2, 3, 4', true, [FIVE, 3, [2, 3, 4]]],
]

describe.each(['timestamp', 'snapshot', 'targets'] as const)('%s', (role) => {
  test.each(OTHERS)('%s: %p', async (_name, isGood, [named, threshold, signers]) => {
    const keys = Array.from({ length: 10 }, newKey)
    const repository = new TufSimulator()
    const device = new TufDevice(repository)
    setKeys(repository, role, { named: named.map((index) => keys[index] ?? newKey()), threshold })
    repository.signersOf(role).push(...keys.filter((_, index) => signers.includes(index)))
    repository.publishRoot()
    const outcome = await device.refresh()
    expect(
      ['metadata_tampered', 'signer_unknown', 'ok'].filter((each) => (each === 'ok') === isGood),
    ).toContain(outcome)
    const signed = await repository.fetchMetadata(`${role === 'timestamp' ? '' : '1.'}${role}.json`)
    expect(device.files.files.get(`${role}.json`)).toEqual(isGood ? signed : undefined)
  })
})

function setKeys(
  repository: TufSimulator,
  role: Top,
  { named, threshold }: { named: readonly ReturnType<typeof newKey>[]; threshold: number },
): void {
  repository.root.roles[role] = { keyids: named.map(({ id }) => id), threshold }
  repository.signersOf(role).length = 0
  for (const key of named) repository.root.keys[key.id] = key.json
}

describe('thresholds', () => {
  test('more signatures wanted than there are keys: the root goes on, the snapshot stays', async () => {
    const repository = new TufSimulator()
    const device = new TufDevice(repository)
    expect(await device.refresh()).toBe('ok')
    for (let count = 0; count < 4; count += 1) repository.addKey('snapshot', newKey())
    repository.root.roles.snapshot.threshold = 6
    repository.publishRoot()
    repository.updateSnapshot()
    expect(await device.refresh()).toBe('metadata_tampered')
    expect(device.trusted()).toMatchObject({ root: 2, snapshot: 1 })
  })

  test('a key that the root names but does not hold counts for nothing', async () => {
    const repository = new TufSimulator()
    const device = new TufDevice(repository)
    expect(await device.refresh()).toBe('ok')
    repository.addKey('snapshot', newKey())
    repository.root.roles.snapshot.threshold = 3
    repository.root.roles.snapshot.keyids.push(newKey().id)
    repository.publishRoot()
    repository.updateSnapshot()
    expect(await device.refresh()).toBe('metadata_tampered')
    expect(device.trusted()).toMatchObject({ root: 2, snapshot: 1 })
  })

  test('one key under ten ids signs once', async () => {
    const repository = new TufSimulator()
    const device = new TufDevice(repository)
    expect(await device.refresh()).toBe('ok')
    const key = newKey()
    for (let count = 0; count < 9; count += 1) {
      const alias = { ...key, id: `${count}`.repeat(64) }
      repository.addKey('snapshot', alias)
    }
    repository.root.roles.snapshot.threshold = 6
    repository.publishRoot()
    repository.updateSnapshot()
    expect(await device.refresh()).toBe('metadata_malformed')
    expect(device.version('snapshot')).toBe(1)
  })

  test('a field of a key that TUF does not know changes nothing', async () => {
    const repository = new TufSimulator()
    const device = new TufDevice(repository)
    for (const [id, json] of Object.entries(repository.root.keys)) {
      repository.root.keys[id] = { ...json, keyid_hash_algorithms: ['md5'] } as typeof json
    }
    repository.publishRoot()
    expect(await device.refresh()).toBe('ok')
    expect(device.version('root')).toBe(2)
  })
})
