/** What a device holds on to: roots, versions, the time, the director's keys; with the network and without. */
import { describe, expect, test } from 'bun:test'
import { readRoot } from '../../src/trust/metadata-fields.ts'
import { MetadataMemory } from '../../src/trust/metadata-files.ts'
import { renewRoot, signRootDraft } from '../../src/trust/root-change.ts'
import { signTime } from '../../src/trust/signed-time.ts'
import { nameDirector } from '../../src/trust/targets-change.ts'
import { Fleet, hash, manifestOf } from './fleet.ts'
import { DAY_MS, newKey, outcomeOf } from './tuf-simulator.ts'

describe('without the network', () => {
  test('what was accepted is used until it expires', async () => {
    const fleet = new Fleet()
    await fleet.publish(manifestOf('1', 1))
    const { client, clock } = fleet.device()
    await (await client.refresh(fleet)).facts('vision/yolo', '1')
    const view = await client.load()
    expect((await view.facts('vision/yolo', '1')).listed?.release).toBe(1)
    expect(view.directorKeys).toHaveLength(1)
    clock.advance(8 * DAY_MS)
    expect(await outcomeOf(() => client.load())).toBe('metadata_expired')
  })

  test('a device that was never online trusts nothing', async () => {
    const { client } = new Fleet().device()
    expect(await outcomeOf(() => client.load())).toBe('metadata_missing')
  })
})

describe('the root', () => {
  async function withSecondRoot() {
    const fleet = new Fleet()
    const old = readRoot(fleet.firstRoot)
    const draft = renewRoot(old, fleet.clock.now())
    await fleet.registry.accept('root', signRootDraft(draft, { old, keys: fleet.keys.root }).bytes)
    const device = fleet.device()
    await device.client.refresh(fleet)
    return { fleet, ...device }
  }

  test('cut off at any place, is taken from the history', async () => {
    const { fleet, client, files } = await withSecondRoot()
    const whole = files.files.get('root.json') as Uint8Array
    for (let length = 0; length < whole.length; length += 53) {
      files.files.set('root.json', whole.slice(0, length))
      expect((await client.load()).versions.root).toBe(2)
    }
    expect((await client.refresh(fleet)).versions.root).toBe(2)
  })

  test('lost with its history, begins again at the enrolment', async () => {
    const { fleet, client, files } = await withSecondRoot()
    files.files.clear()
    expect((await client.refresh(fleet)).versions.root).toBe(2)
    expect(files.files.get('root_history/2.root.json')).toEqual(files.files.get('root.json') as Uint8Array)
  })

  test('lost while the registry holds back the newer one: refused', async () => {
    const { fleet, client, files } = await withSecondRoot()
    files.files.clear()
    fleet.files.files.delete('2.root.json')
    expect(await outcomeOf(() => client.refresh(fleet))).toBe('metadata_rolled_back')
  })

  test('of another fleet: its metadata is refused', async () => {
    const { client } = new Fleet().device()
    expect(await outcomeOf(() => client.refresh(new Fleet()))).toBe('signer_unknown')
  })

  test('of another fleet, offered as the next one: refused', async () => {
    const fleet = new Fleet()
    const other = new Fleet()
    const old = readRoot(other.firstRoot)
    const next = signRootDraft(renewRoot(old, other.clock.now()), { old, keys: other.keys.root }).bytes
    fleet.files.files.set('2.root.json', next)
    expect(await outcomeOf(() => fleet.device().client.refresh(fleet))).toBe('root_untrusted')
  })
})

describe('the clock', () => {
  test.each([
    ['1970', 0],
    ['2099', Date.parse('2099-01-01T00:00:00Z')],
  ])('at %s: metadata is judged by the newest time that is known, and accepted', async (_year, wallMs) => {
    const fleet = new Fleet()
    const { client, clock } = fleet.device()
    clock.advance(wallMs - clock.now())
    const view = await client.refresh(fleet)
    expect(view.time.source).toBe('floor')
    // The timestamp was signed later than this program was built.
    expect(client.now()).toEqual({ ms: fleet.clock.now(), source: 'floor' })
  })

  test('at 1970 after a month online: what has expired since is refused', async () => {
    const fleet = new Fleet()
    const { client: before, highWater } = fleet.device()
    await before.refresh(fleet)
    highWater.raiseIssued(fleet.clock.now() + 30 * DAY_MS)
    const { client, clock } = fleet.device(new MetadataMemory(), highWater)
    clock.advance(-clock.now())
    expect(await outcomeOf(() => client.refresh(fleet))).toBe('metadata_expired')
  })

  async function online() {
    const fleet = new Fleet()
    const device = fleet.device()
    await device.client.refresh(fleet)
    return { fleet, ...device }
  }

  test('a month ahead: the director says what time it is, and the metadata is accepted', async () => {
    const { fleet, client, clock } = await online()
    clock.advance(60 * DAY_MS)
    expect(await outcomeOf(() => client.refresh(fleet))).toBe('metadata_expired')
    const answering = Object.assign(Object.create(fleet) as Fleet, {
      fetchTime: (nonce: string) =>
        Promise.resolve(signTime({ nonce, timeMs: fleet.clock.now() }, fleet.keys.director)),
    })
    const view = await client.refresh(answering)
    expect(view.time).toEqual({ ms: fleet.clock.now(), source: 'director' })
  })

  test.each([
    ['at 1970', (clockMs: number) => -clockMs],
    ['two months ahead', () => 60 * DAY_MS],
  ])(
    '%s, and another director since the last look: the time is believed by the new key',
    async (_name, off) => {
      const { fleet, client, clock } = await online()
      const next = newKey()
      const { targets, object } = nameDirector(fleet.newest('targets'), [next])
      fleet.objects.set(hash(object), object)
      fleet.online.push(next)
      await fleet.registry.accept(
        'targets',
        fleet.sign('targets', () => targets, fleet.keys.targets),
      )
      clock.advance(off(clock.now()))
      const answering = Object.assign(Object.create(fleet) as Fleet, {
        fetchTime: (nonce: string) => Promise.resolve(signTime({ nonce, timeMs: fleet.clock.now() }, next)),
      })
      const view = await client.refresh(answering)
      expect(view.time).toEqual({ ms: fleet.clock.now(), source: 'director' })
      expect(view.directorKeys.map(({ id }) => id)).toEqual([next.id])
    },
  )

  test.each([
    [
      'signed by another key',
      'time_signature',
      (fleet: Fleet, nonce: string) => signTime({ nonce, timeMs: 0 }, fleet.publisher),
    ],
    [
      'an answer to another question',
      'time_replayed',
      (fleet: Fleet) => signTime({ nonce: 'f'.repeat(32), timeMs: 0 }, fleet.keys.director),
    ],
    ['no envelope', 'time_malformed', () => Buffer.from('{}')],
  ] as const)('a time that is %s is refused', async (_name, reason, answer) => {
    const { fleet, client, clock } = await online()
    clock.advance(60 * DAY_MS)
    const answering = Object.assign(Object.create(fleet) as Fleet, {
      fetchTime: (nonce: string) => Promise.resolve(answer(fleet, nonce)),
    })
    expect(await outcomeOf(() => client.refresh(answering))).toBe(reason)
  })

  test('at 1970, with a time that cannot be believed: the floor stands', async () => {
    const { fleet, client, clock } = await online()
    clock.advance(-clock.now())
    const answering = Object.assign(Object.create(fleet) as Fleet, {
      fetchTime: (nonce: string) => Promise.resolve(signTime({ nonce, timeMs: 0 }, fleet.publisher)),
    })
    expect((await client.refresh(answering)).time).toEqual({ ms: fleet.clock.now(), source: 'floor' })
  })

  test("the director's word does not make good what has truly expired", async () => {
    const { fleet, client, clock } = await online()
    fleet.clock.advance(60 * DAY_MS)
    clock.advance(60 * DAY_MS)
    const answering = Object.assign(Object.create(fleet) as Fleet, {
      fetchTime: (nonce: string) =>
        Promise.resolve(signTime({ nonce, timeMs: fleet.clock.now() }, fleet.keys.director)),
    })
    expect(await outcomeOf(() => client.refresh(answering))).toBe('metadata_expired')
  })
})

describe("the director's keys", () => {
  test('an object that is not what TUF says is refused', async () => {
    const fleet = new Fleet()
    for (const sha256 of fleet.objects.keys())
      fleet.objects.set(sha256, Buffer.from('{"format":1,"keys":[]}'))
    expect(await outcomeOf(() => fleet.device().client.refresh(fleet))).toBe('object_tampered')
  })

  test('torn on the device, they are fetched again', async () => {
    const fleet = new Fleet()
    const { client, files } = fleet.device()
    await client.refresh(fleet)
    files.files.set('director.json', new Uint8Array(10))
    expect((await client.refresh(fleet)).directorKeys).toHaveLength(1)
  })
})
