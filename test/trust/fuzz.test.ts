/** Bytes of chance, and good ones with some changed: every one is refused with a reason, none is taken, none throws otherwise. */
import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { signAssignment, verifyAssignment } from '../../src/trust/assignment.ts'
import { type CanonicalValue, decodeCanonical, encodeCanonical } from '../../src/trust/canonical-json.ts'
import { encodeManifest, parseManifest } from '../../src/trust/manifest.ts'
import { TrustRefusal } from '../../src/trust/refusal.ts'
import { SEED } from '../kit/seed.ts'
import { Fleet, manifestOf } from './fleet.ts'
import { newKey, outcomeOf, TufDevice, TufSimulator } from './tuf-simulator.ts'

const director = newKey()
const EXPECTED = {
  device: 'cam-07',
  directorKeys: [{ id: director.id, public: director.json.keyval.public }],
  lastRev: 0,
}
const ASSIGNMENT = signAssignment(
  {
    device: 'cam-07',
    rev: 1,
    issued: '2026-11-01T00:00:00Z',
    models: [{ model: 'a/b', version: '1', manifest: 'a'.repeat(64), release: 1 }],
  },
  director,
)
const MANIFEST = encodeManifest(manifestOf('3.2.0', 57))

/** The bytes with some of them changed, cut out, doubled or put in. */
function damaged(good: Uint8Array) {
  const place = fc.integer({ min: 0, max: good.length - 1 })
  return fc
    .array(
      fc.record({ at: place, take: fc.integer({ min: 0, max: 8 }), put: fc.uint8Array({ maxLength: 8 }) }),
      { minLength: 1, maxLength: 4 },
    )
    .map((edits) => {
      let bytes = Buffer.from(good)
      for (const { at, take, put } of edits)
        bytes = Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + take)])
      return new Uint8Array(bytes)
    })
}

function anyOf(good: Uint8Array) {
  return fc.oneof(
    fc.uint8Array({ maxLength: 512 }),
    fc.json().map((json) => new Uint8Array(Buffer.from(json))),
    damaged(good),
  )
}

function isRefused(take: () => unknown): boolean {
  try {
    take()
    return false
  } catch (error) {
    if (error instanceof TrustRefusal) return true
    throw error
  }
}

test('no envelope but the signed one is an assignment', () => {
  fc.assert(
    fc.property(anyOf(ASSIGNMENT), (bytes) => {
      let taken: unknown
      const refused = isRefused(() => {
        taken = verifyAssignment(bytes, EXPECTED)
      })
      // Space around JSON, or a key id, may be anything: what was taken is what was signed.
      if (!refused) expect(taken).toEqual(verifyAssignment(ASSIGNMENT, EXPECTED))
    }),
    { seed: SEED, numRuns: 3000 },
  )
})

test('what is read as a manifest is written as the same bytes', () => {
  fc.assert(
    fc.property(anyOf(MANIFEST), (bytes) => {
      isRefused(() => {
        parseManifest(bytes)
        expect(encodeCanonical(decodeCanonical(bytes, { bytesMax: 1e6, depthMax: 8 }))).toEqual(bytes)
      })
    }),
    { seed: SEED, numRuns: 3000 },
  )
})

test('canonical JSON comes back as it was', () => {
  const value = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.string({ unit: 'grapheme' }),
      fc.maxSafeInteger().filter((number) => !Object.is(number, -0)),
      fc.boolean(),
      fc.constant(null),
      fc.array(tie('value'), { maxLength: 5 }),
      fc.dictionary(fc.string({ unit: 'grapheme' }), tie('value'), { maxKeys: 5, noNullPrototype: true }),
    ),
  })).value as fc.Arbitrary<CanonicalValue>
  fc.assert(
    fc.property(value, (each) => {
      const bytes = encodeCanonical(each)
      expect(encodeCanonical(decodeCanonical(bytes, { bytesMax: 1e6, depthMax: 32 }))).toEqual(bytes)
    }),
    { seed: SEED, numRuns: 1000 },
  )
})

const REMOTE = ['2.root.json', 'timestamp.json', '2.snapshot.json', '2.targets.json'] as const

/** A device that knows the first state of a repository that is at its second. */
async function prepared() {
  const repository = new TufSimulator()
  const device = new TufDevice(repository)
  expect(await device.refresh()).toBe('ok')
  repository.publishRoot()
  repository.role('targets').version += 1
  repository.isHashed = true
  repository.updateSnapshot()
  const second = new Map<string, Uint8Array>()
  for (const name of REMOTE) second.set(name, (await repository.fetchMetadata(name)) as Uint8Array)
  return { repository, device, second, first: new Map(device.files.files) }
}

test('damaged metadata is refused or means the same, and never takes a version back', async () => {
  const { repository, device, second, first } = await prepared()
  const damage = fc
    .constantFrom(...REMOTE)
    .chain((name) => anyOf(second.get(name) ?? new Uint8Array()).map((bytes) => ({ name, bytes })))
  await fc.assert(
    fc.asyncProperty(damage, async ({ name, bytes }) => {
      repository.instead.clear()
      repository.instead.set(name, bytes)
      device.files.files.clear()
      for (const [file, content] of first) device.files.files.set(file, content)
      const outcome = await device.refresh()
      for (const role of ['root', 'timestamp', 'snapshot', 'targets'])
        expect([1, 2]).toContain(device.version(role) ?? 0)
      // What changes only the space or the order of JSON is signed all the same, where nobody has hashed the file.
      if (outcome === 'ok') expect(device.version('targets')).toBe(2)
    }),
    { seed: SEED, numRuns: 400 },
  )
}, 60_000)

test('damaged files on the device never stop it, and never make it take an older version', async () => {
  const fleet = new Fleet()
  const device = fleet.device()
  await device.client.refresh(fleet)
  const whole = new Map(device.files.files)
  const names = [...whole.keys()]
  const damage = fc.array(
    fc
      .constantFrom(...names)
      .chain((name) => anyOf(whole.get(name) ?? new Uint8Array([0])).map((bytes) => ({ name, bytes }))),
    { minLength: 1, maxLength: 4 },
  )
  await fc.assert(
    fc.asyncProperty(damage, async (edits) => {
      device.files.files.clear()
      for (const [name, bytes] of whole) device.files.files.set(name, bytes)
      for (const { name, bytes } of edits) device.files.files.set(name, bytes)
      expect(await outcomeOf(() => device.client.refresh(fleet))).toBe('ok')
      expect(device.highWater.versionOf('timestamp')).toBe(1)
    }),
    { seed: SEED, numRuns: 200 },
  )
}, 60_000)
