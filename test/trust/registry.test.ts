/** What a registry takes from publishers and key holders, and what devices then see. */
import { describe, expect, test } from 'bun:test'
import { readDirectors } from '../../src/trust/director.ts'
import { readRoot } from '../../src/trust/metadata-fields.ts'
import { rekeyRoot, renewRoot, signRootDraft } from '../../src/trust/root-change.ts'
import type { TargetsFields } from '../../src/trust/sign-metadata.ts'
import {
  delegateFamily,
  listVersion,
  nameDirector,
  raiseFloor,
  unlistVersion,
} from '../../src/trust/targets-change.ts'
import { Fleet, hash, manifestOf } from './fleet.ts'
import { DAY_MS, newKey, outcomeOf } from './tuf-simulator.ts'

const LISTED = { model: 'vision/yolo', version: '3.0.0', release: 50, sha256: hash('manifest'), bytes: 8 }

describe('publishing', () => {
  test('a version that was published is what devices find, with its hash, length and release', async () => {
    const fleet = new Fleet()
    const sha256 = await fleet.publish(manifestOf('3.2.0', 57))
    const view = await fleet.device().client.refresh(fleet)
    const { listed, floor } = await view.facts('vision/yolo', '3.2.0')
    expect(listed).toEqual({
      model: 'vision/yolo',
      version: '3.2.0',
      release: 57,
      sha256,
      bytes: fleet.objects.get(sha256)?.length ?? 0,
    })
    expect(floor).toBe(0)
    expect((await view.facts('vision/yolo', '3.3.0')).listed).toBeUndefined()
    expect((await view.facts('audio/vad', '1')).listed).toBeUndefined()
    expect(view.versions).toEqual({ root: 1, timestamp: 2, snapshot: 2 })
  })

  test('a version can be taken back, and a floor keeps older ones from running', async () => {
    const fleet = new Fleet()
    await fleet.publish(manifestOf('1', 1))
    await fleet.publish(manifestOf('2', 2))
    await fleet.registry.accept(
      'vision',
      fleet.sign('vision', (targets) => unlistVersion(targets, { model: 'vision/yolo', version: '1' })),
    )
    await fleet.registry.accept(
      'vision',
      fleet.sign('vision', (targets) => raiseFloor(targets, { model: 'vision/yolo', release: 2 })),
    )
    const view = await fleet.device().client.refresh(fleet)
    expect((await view.listModels()).map(({ version, floor }) => [version, floor])).toEqual([['2', 2]])
    expect(await view.facts('vision/yolo', '1')).toEqual({ listed: undefined, floor: 2 })
  })

  test('a floor of the targets role holds for the family too', async () => {
    const fleet = new Fleet()
    await fleet.publish(manifestOf('2', 2))
    const raised = fleet.sign(
      'targets',
      (targets) => raiseFloor(targets, { model: 'vision/yolo', release: 9 }),
      fleet.keys.targets,
    )
    await fleet.registry.accept('targets', raised)
    const view = await fleet.device().client.refresh(fleet)
    expect((await view.facts('vision/yolo', '2')).floor).toBe(9)
  })

  const BAD: readonly [name: string, role: string, make: (fleet: Fleet) => Uint8Array, reason: string][] = [
    [
      'signed by a key of nobody',
      'vision',
      (fleet) => fleet.sign('vision', (all) => all, newKey()),
      'publisher_not_delegated',
    ],
    [
      'for a family that nobody delegates',
      'audio',
      (fleet) => fleet.sign('audio', (all) => all),
      'publisher_not_delegated',
    ],
    ['as snapshot', 'snapshot', (fleet) => fleet.sign('vision', (all) => all), 'publisher_not_delegated'],
    [
      'of the version before',
      'vision',
      (fleet) => fleet.files.files.get('1.vision.json') as Uint8Array,
      'metadata_rolled_back',
    ],
    [
      'of a version too far',
      'vision',
      (fleet) => fleet.sign('vision', (all) => ({ ...all, version: 10_002 })),
      'metadata_fast_forwarded',
    ],
    [
      'with a bit changed',
      'vision',
      (fleet) => tampered(fleet.sign('vision', (all) => listVersion(all, LISTED))),
      'metadata_tampered',
    ],
    ['no JSON', 'vision', () => Buffer.from('{'), 'metadata_malformed'],
    [
      'a model of another family',
      'vision',
      (fleet) => fleet.sign('vision', (all) => listVersion(all, { ...LISTED, model: 'audio/vad' })),
      'metadata_malformed',
    ],
    [
      'two versions of one release',
      'vision',
      (fleet) =>
        fleet.sign('vision', (all) => listVersion(listVersion(all, LISTED), { ...LISTED, version: '4' })),
      'metadata_malformed',
    ],
    [
      'targets signed by a publisher',
      'targets',
      (fleet) => fleet.sign('targets', (all) => all),
      'signer_unknown',
    ],
  ]

  test.each(BAD)('%s: refused, and nothing is changed', async (_name, role, make, reason) => {
    const fleet = new Fleet()
    const before = new Map(fleet.files.files)
    expect(await outcomeOf(() => fleet.registry.accept(role, make(fleet)))).toBe(reason)
    expect(fleet.files.files).toEqual(before)
  })

  test('as many versions as a family may list, and one more', async () => {
    const fleet = new Fleet()
    const many = (count: number) => (all: TargetsFields) =>
      Array.from({ length: count }, (_, index) => index + 1).reduce(
        (targets, release) => listVersion(targets, { ...LISTED, version: `v${release}`, release }),
        all,
      )
    await fleet.registry.accept('vision', fleet.sign('vision', many(500)))
    expect(await (await fleet.device().client.refresh(fleet)).listModels()).toHaveLength(500)
    expect(() => fleet.sign('vision', many(501))).toThrow('Cannot sign so many targets: 501')
  })

  test('of two publishers at once one is told to look again', async () => {
    const fleet = new Fleet()
    const one = fleet.sign('vision', (all) => listVersion(all, LISTED))
    const other = fleet.sign('vision', (all) => listVersion(all, { ...LISTED, version: '4', release: 51 }))
    const outcomes = await Promise.all(
      [one, other].map((bytes) => outcomeOf(() => fleet.registry.accept('vision', bytes))),
    )
    expect(outcomes).toEqual(['ok', 'metadata_rolled_back'])
  })

  test('old snapshots go, roots stay', async () => {
    const fleet = new Fleet()
    for (let release = 1; release <= 40; release += 1) {
      await fleet.registry.accept(
        'vision',
        fleet.sign('vision', (all) => listVersion(all, { ...LISTED, version: 'v', release })),
      )
    }
    const names = [...fleet.files.files.keys()]
    expect(names.filter((name) => name.endsWith('.snapshot.json'))).toHaveLength(32)
    expect(names).toContain('1.root.json')
    expect(await fleet.device().client.refresh(fleet)).toBeDefined()
  })
})

describe('signing anew', () => {
  test("not before half of the timestamp's time is over", async () => {
    const fleet = new Fleet()
    fleet.clock.advance(3.4 * DAY_MS)
    expect(await fleet.registry.resign()).toBe(false)
    fleet.clock.advance(0.2 * DAY_MS)
    expect(await fleet.registry.resign()).toBe(true)
    expect(await fleet.registry.resign()).toBe(false)
  })

  test('after a year off, the registry signs what devices take', async () => {
    const fleet = new Fleet()
    fleet.clock.advance(364 * DAY_MS)
    expect(await fleet.registry.resign()).toBe(true)
    expect((await fleet.device().client.refresh(fleet)).versions.timestamp).toBe(2)
  })

  test('a root that was put in place without its timestamp, as a power cut leaves it, is caught up with', async () => {
    const fleet = new Fleet()
    const next = newKey()
    const root = completeRoot(
      fleet,
      rekeyRoot(readRoot(fleet.firstRoot), { role: 'timestamp', keys: [next], nowMs: fleet.clock.now() }),
    )
    fleet.online.push(next)
    fleet.files.files.set('2.root.json', root)
    fleet.files.files.set('root.json', root)
    expect(await fleet.registry.resign()).toBe(true)
    expect((await fleet.device().client.refresh(fleet)).versions.root).toBe(2)
  })
})

function completeRoot(fleet: Fleet, draft: Uint8Array): Uint8Array {
  const progress = signRootDraft(draft, { old: readRoot(fleet.firstRoot), keys: fleet.keys.root.slice(0, 2) })
  expect(progress.isComplete).toBe(true)
  return progress.bytes
}

describe('rotation', () => {
  test.each(['timestamp', 'snapshot'] as const)(
    'of %s: the registry signs with the new key once the root names it',
    async (role) => {
      const fleet = new Fleet()
      const device = fleet.device()
      await device.client.refresh(fleet)
      const next = newKey()
      const draft = rekeyRoot(readRoot(fleet.firstRoot), { role, keys: [next], nowMs: fleet.clock.now() })
      const root = completeRoot(fleet, draft)
      await expect(fleet.registry.accept('root', root)).rejects.toThrow(`Cannot sign as ${role}`)
      fleet.online.push(next)
      await fleet.registry.accept('root', root)
      expect((await device.client.refresh(fleet)).versions).toEqual({ root: 2, timestamp: 2, snapshot: 2 })
    },
  )

  test('of the root keys: two of the old and two of the new have to sign', async () => {
    const fleet = new Fleet()
    const old = readRoot(fleet.firstRoot)
    const fresh = [newKey(), newKey(), newKey()]
    const draft = rekeyRoot(old, { role: 'root', keys: fresh, nowMs: fleet.clock.now() })
    const half = signRootDraft(draft, { old, keys: [...fleet.keys.root.slice(0, 1), ...fresh] })
    expect(half).toMatchObject({
      byOld: { signed: 1, needed: 2 },
      byNew: { signed: 3, needed: 2 },
      isComplete: false,
    })
    expect(await outcomeOf(() => fleet.registry.accept('root', half.bytes))).toBe('root_untrusted')
    const whole = signRootDraft(half.bytes, { old, keys: fleet.keys.root.slice(1, 2) })
    expect(whole.isComplete).toBe(true)
    await fleet.registry.accept('root', whole.bytes)
    expect((await fleet.device().client.refresh(fleet)).versions.root).toBe(2)
  })

  test('a root can be renewed without changing a key', async () => {
    const fleet = new Fleet()
    await fleet.registry.accept(
      'root',
      completeRoot(fleet, renewRoot(readRoot(fleet.firstRoot), fleet.clock.now())),
    )
    expect((await fleet.device().client.refresh(fleet)).versions.root).toBe(2)
  })

  test('of a publisher: its new key publishes, the old one does not', async () => {
    const fleet = new Fleet()
    const next = newKey()
    const targets = fleet.sign(
      'targets',
      (all) => delegateFamily(all, { family: 'vision', key: next }),
      fleet.keys.targets,
    )
    await fleet.registry.accept('targets', targets)
    expect(await outcomeOf(() => fleet.publish(manifestOf('1', 1)))).toBe('publisher_not_delegated')
    await fleet.registry.accept(
      'vision',
      fleet.sign('vision', (all) => listVersion(all, LISTED), next),
    )
    expect(await (await fleet.device().client.refresh(fleet)).listModels()).toHaveLength(1)
  })

  test('a family that was added later publishes like the first', async () => {
    const fleet = new Fleet()
    const key = newKey()
    await fleet.registry.accept(
      'targets',
      fleet.sign('targets', (all) => delegateFamily(all, { family: 'audio', key }), fleet.keys.targets),
    )
    const listed = { ...LISTED, model: 'audio/vad' }
    await fleet.registry.accept(
      'audio',
      fleet.sign('audio', (all) => listVersion(all, listed), key),
    )
    const view = await fleet.device().client.refresh(fleet)
    expect((await view.facts('audio/vad', '3.0.0')).listed).toEqual(listed)
  })

  test('of the director: devices learn the new key from TUF', async () => {
    const fleet = new Fleet()
    const next = newKey()
    expect((await fleet.registry.directorKey()).id).toBe(fleet.keys.director.id)
    const { targets, object } = nameDirector(fleet.newest('targets'), [next])
    fleet.objects.set(hash(object), object)
    fleet.online.push(next)
    await fleet.registry.accept(
      'targets',
      fleet.sign('targets', () => targets, fleet.keys.targets),
    )
    expect((await fleet.registry.directorKey()).id).toBe(next.id)
    const { directorKeys } = await fleet.device().client.refresh(fleet)
    expect(directorKeys).toEqual([{ id: next.id, public: next.json.keyval.public }])
    expect(readDirectors(object, { sha256: hash(object), bytes: object.length })).toEqual([...directorKeys])
  })
})

function tampered(bytes: Uint8Array): Uint8Array {
  return Buffer.from(Buffer.from(bytes).toString().replace('"release":50', '"release":51'))
}
