/** What a device must not believe, given to it over real lines: refused there, by name, while the good version serves. */
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from 'bun:test'
import { cp, readdir, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { BINARY, createFolder, type Running, runToEnd } from '../kit/binary.ts'
import { packVersion, sha256Of, signFamily, type Version } from '../registry/publish.ts'
import { newKey } from '../trust/tuf-simulator.ts'
import {
  type Device,
  eventually,
  Fleet,
  glanceAt,
  POLICY,
  startUp,
  statusOf,
  type ToldEvent,
} from './fleet.ts'
import { type Asked, type Lie, Middleman } from './middleman.ts'
import { StolenRegistry } from './stolen-registry.ts'
import { askScale, scaling } from './versions.ts'

// Processes are started, and a busy machine takes its time.
setDefaultTimeout(120_000)

const MODEL = 'vision/scale'
const folder = await createFolder()
const middleman = new Middleman()
let fleet: Fleet
let stolen: StolenRegistry
let device: Device
let up: Running
/** What leads to the good version, and all that there is of versions. */
let before: Awaited<ReturnType<typeof onDisk>>
let told: number
/** The last release that was published. */
let release = 10
/** Assignments differ, so that each has a rev of its own. */
let assignments = 0

beforeAll(async () => {
  const { mqttUrl } = await middleman.listen()
  fleet = await Fleet.start(folder.path, { args: ['--broker', mqttUrl] })
  stolen = new StolenRegistry(fleet.registry.state)
  device = await fleet.enrol('cam-01', middleman.standBefore(fleet.registry.url))
  up = await startUp(device)
  await fleet.publish(scaling(3))
  await fleet.publish(scaling(10))
  await assign('10')
  await fleet.ended(device, MODEL, { version: '10', state: 'committed' })
  before = await onDisk()
})

beforeEach(async () => {
  told = (await fleet.events('cam-01')).length
})

afterEach(() => middleman.tellTruth())

afterAll(async () => {
  expect(await up.stop()).toBe(0)
  expect(await fleet.registry.stop()).toBe(0)
  await middleman.stop()
  await folder.remove()
})

async function onDisk() {
  const models = await readdir(join(device.state, 'models'))
  const pointers = await Promise.all(models.map((name) => readlink(join(device.state, 'models', name))))
  return { models, pointers, versions: await readdir(join(device.state, 'store/versions', MODEL)) }
}

async function assign(version: string): Promise<number> {
  assignments += 1
  await fleet.assign('cam-01', [{ model: MODEL, version, policy: { ...POLICY, requests_min: assignments } }])
  return (await issued('cam-01')).rev
}

/** The assignment that the registry has for a device, and its rev. */
async function issued(name: string): Promise<{ rev: number; envelope: Uint8Array }> {
  const envelope = await (await fleet.registry.ask('GET', `/v1/assignments/${name}`)).bytes()
  const { payload } = JSON.parse(Buffer.from(envelope).toString()) as { payload: string }
  const { rev } = JSON.parse(Buffer.from(payload, 'base64').toString()) as { rev: number }
  return { rev, envelope }
}

async function publish(of: Partial<Version> = {}) {
  release += 1
  const version = scaling(release, of)
  return { version: String(release), ...(await fleet.publish(version)), chunks: packVersion(version).indexes }
}

/** Told at the registry and on the device, and nothing has changed. */
async function expectRefused(code: string, reason: string | RegExp, version = ''): Promise<ToldEvent> {
  const event = await eventually(`${code} is told`, async () =>
    (await fleet.events('cam-01')).slice(told).find((each) => each.code === code),
  )
  expect(event).toMatchObject({ to: 'rejected', model: version === '' ? '' : MODEL, version })
  expect(event.reason).toMatch(reason)
  const status = await statusOf(device)
  expect(status?.events).toContainEqual(expect.objectContaining({ code, version, reason: event.reason }))
  expect(status?.models).toMatchObject([{ model: MODEL, running: { version: '10' } }])
  expect(status?.quarantine).toEqual([])
  expect(await askScale(up.url)).toBe('10 times 10')
  await eventually('what was brought of it is gone', async () => {
    return (await readdir(join(device.state, 'store/work'))).length === 0
  })
  expect(await onDisk()).toEqual(before)
  return event
}

/** The device believes the registry again, whatever it was made to see. */
async function expectRecovered(): Promise<void> {
  middleman.tellTruth()
  // More than once: somebody else may have used up the next versions of everything.
  for (let count = 0; count < 2; count += 1) await fleet.sign('vision')
  await assign('10')
  const rev = await assign('10')
  middleman.nudge()
  await eventually('it takes what is assigned', async () => (await glanceAt(device))?.rev === rev)
}

function instead(of: (asked: Asked) => boolean, lie: (truth: Uint8Array) => Uint8Array | undefined): void {
  middleman.lie = (asked, truth) => (of(asked) && truth !== undefined ? lie(truth) : truth)
}

/** One bit in the middle. */
function flipped(bytes: Uint8Array): Uint8Array {
  const changed = Uint8Array.from(bytes)
  const middle = changed.length >> 1
  changed[middle] = (changed[middle] ?? 0) ^ 1
  return changed
}

const giving = (files: ReadonlyMap<string, Uint8Array>): Lie => {
  return (asked, truth) => (asked.op === 'meta' ? (files.get(asked.name) ?? truth) : truth)
}
const isMeta = (name: RegExp) => (asked: Asked) => asked.op === 'meta' && name.test(asked.name)
const isObject = (sha256: string) => (asked: Asked) => asked.op === 'object' && asked.sha256 === sha256
const isChunks = (asked: Asked) => asked.op === 'chunks' || asked.op === 'pack'
const isAssignment = (asked: Asked) => asked.op === 'assignment'

describe('files that were tampered with', () => {
  test('a manifest', async () => {
    const { version, manifest } = await publish()
    instead(isObject(manifest), flipped)
    await assign(version)
    await expectRefused('manifest_hash', /manifest/, version)
  })

  test('a chunk, whichever way it comes', async () => {
    const { version } = await publish()
    instead(isChunks, flipped)
    await assign(version)
    await expectRefused('chunk_tampered', /gave \d+ chunks of \d+, \d+ of them wrong$/, version)
  })

  test('a chunk index', async () => {
    const { version, chunks } = await publish()
    instead(isObject(sha256Of(chunks[0] ?? new Uint8Array(0))), flipped)
    await assign(version)
    await expectRefused('object_tampered', /it hashes to/, version)
  })
})

describe('metadata', () => {
  test.each(['timestamp', 'snapshot'])('the %s was tampered with', async (role) => {
    instead(isMeta(new RegExp(`${role}\\.json$`)), (truth) =>
      Buffer.from(Buffer.from(truth).toString().replace('"expires":"20', '"expires":"21')),
    )
    await fleet.sign('vision')
    await expectRefused('metadata_tampered', new RegExp(role))
    await expectRecovered()
  })

  test("a publisher's was tampered with", async () => {
    const { version } = await publish()
    instead(isMeta(/\.vision\.json$/), (truth) =>
      Buffer.from(Buffer.from(truth).toString().replace('"release":3', '"release":4')),
    )
    await assign(version)
    await expectRefused('metadata_tampered', /vision/, version)
    await expectRecovered()
  })

  test('signed by a publisher whose key is not delegated, at a registry that lists it', async () => {
    const evil = packVersion(scaling(66))
    const { version, targets } = fleet.listed('vision')
    const fields = { version: version + 1, targets: { ...targets, ...evil.targets }, nowMs: Date.now() }
    const forged = { version: version + 1, bytes: signFamily(fields, newKey()) }
    const files = await stolen.family('vision', forged)
    const { rev } = await issued('cam-01')
    const models = [{ model: MODEL, version: '66', release: 66, manifest: evil.manifest }]
    const envelope = await stolen.assignment({ device: 'cam-01', rev: rev + 1, models })
    const objects = new Map(evil.objects.map((bytes) => [sha256Of(bytes), bytes]))
    middleman.lie = (asked, truth) => {
      if (asked.op === 'assignment') return envelope
      if (asked.op === 'object') return objects.get(asked.sha256) ?? truth
      return giving(files)(asked, truth)
    }
    middleman.nudge()
    await expectRefused('publisher_not_delegated', /vision/, '66')
    await expectRecovered()
  })

  test('the timestamp has expired', async () => {
    const expires = '2026-01-01T00:00:00Z'
    const forged = await stolen.timestamp(({ version }) => ({ version: version + 1, expires }))
    middleman.lie = giving(new Map([['timestamp.json', forged]]))
    middleman.nudge()
    await expectRefused('metadata_expired', 'timestamp')
    await expectRecovered()
  })

  test('the timestamp has a version that no registry reaches', async () => {
    const forged = await stolen.timestamp(({ version }) => ({ version: version + 1_000_001 }))
    middleman.lie = giving(new Map([['timestamp.json', forged]]))
    middleman.nudge()
    await expectRefused('metadata_fast_forwarded', /at most 1000000 more/)
    await expectRecovered()
  })

  test('a root that the present one has not signed', async () => {
    const { name, bytes } = await stolen.root()
    // The registry has none of that name.
    middleman.lie = (asked, truth) => (asked.op === 'meta' && asked.name === name ? bytes : truth)
    middleman.nudge()
    await expectRefused('root_untrusted', 'root')
    await expectRecovered()
  })

  test('more of it than any registry has', async () => {
    instead(isMeta(/^timestamp\.json$/), () => new Uint8Array(17 * 1024))
    await fleet.sign('vision')
    await expectRefused('metadata_oversize', /16384/)
    await expectRecovered()
  })
})

describe('an assignment', () => {
  test('that was tampered with', async () => {
    instead(isAssignment, (truth) => {
      const envelope = JSON.parse(Buffer.from(truth).toString()) as { payload: string }
      const payload = Buffer.from(envelope.payload, 'base64')
        .toString()
        .replace('"version":"10"', '"version":"3"')
      return Buffer.from(JSON.stringify({ ...envelope, payload: Buffer.from(payload).toString('base64') }))
    })
    await assign('10')
    await expectRefused('assignment_signature', /not signed by a key/)
  })

  test('that was valid once', async () => {
    const old = await issued('cam-01')
    await expectRecovered()
    instead(isAssignment, () => old.envelope)
    middleman.nudge()
    await expectRefused('assignment_replayed', new RegExp(`its rev is ${old.rev}, `))
  })

  test('that is meant for another device', async () => {
    await fleet.enrol('cam-02')
    await fleet.assign('cam-02', [{ model: MODEL, version: '3' }])
    const { envelope } = await issued('cam-02')
    instead(isAssignment, () => envelope)
    middleman.nudge()
    await expectRefused('assignment_other_device', 'it is for "cam-02", this is "cam-01"')
    await expectRecovered()
  })
})

describe('a version that publishers have signed', () => {
  test('for other hardware', async () => {
    const { version } = await publish({ hardware: ['sm87'] })
    await assign(version)
    await expectRefused('hardware_unfit', /sm87/, version)
  })

  test('older than the one that runs, where the assignment does not allow that', async () => {
    await assign('3')
    await expectRefused('downgrade_not_allowed', 'its release is 3, running is 10', '3')
  })

  test('under the security floor, whoever assigns it', async () => {
    await fleet.sign('vision', { floors: { [MODEL]: 5 } })
    const wanted = [{ model: MODEL, version: '3', allow_downgrade: true }]
    const refused = await fleet.registry.ask('PUT', '/v1/assignments/cam-01', { models: wanted })
    expect(await refused.json()).toMatchObject({ reason: 'below_security_floor' })
    const manifest = packVersion(scaling(3)).manifest
    const { rev } = await issued('cam-01')
    const models = wanted.map((each) => ({ ...each, release: 3, manifest }))
    const envelope = await stolen.assignment({ device: 'cam-01', rev: rev + 1, models })
    instead(isAssignment, () => envelope)
    middleman.nudge()
    await expectRefused('below_security_floor', 'its release is 3, the security floor is 5', '3')
    await expectRecovered()
  })
})

test('a timestamp far ahead, which keeps the real ones out, is forgotten once its key has been replaced', async () => {
  const forged = await stolen.timestamp(({ version }) => ({ version: version + 900_000 }))
  middleman.lie = giving(new Map([['timestamp.json', forged]]))
  middleman.nudge()
  await eventually('it is believed', async () => ((await glanceAt(device))?.trust?.timestamp ?? 0) > 900_000)
  middleman.tellTruth()
  await fleet.sign('vision')
  await expectRefused('metadata_rolled_back', /timestamp/)
  await rotateTimestamp()
  await expectRecovered()
  expect((await statusOf(device))?.trust).toMatchObject({ root: 2 })
})

/** As README says: the new key is brought to the registry before the root that names it. */
async function rotateTimestamp(): Promise<void> {
  const { state, url } = fleet.registry
  const keys = join(state, 'development-keys')
  const at = ['--dir', keys, '--registry', url, '--api-key-file', join(state, 'admin.key')]
  await runToEnd(folder.path, { command: [BINARY, 'keys', 'rotate', 'timestamp', ...at] })
  await cp(join(keys, 'registry/keys'), join(state, 'keys'), { recursive: true })
  const { exitCode, stderr } = await runToEnd(folder.path, { command: [BINARY, 'keys', 'sign-root', ...at] })
  if (exitCode !== 0) throw new Error(stderr)
}

test('a chunk that is wrong over HTTP comes over MQTT, and what is right goes live', async () => {
  const { version } = await publish()
  let lies = 0
  instead(
    ({ op }) => op === 'pack',
    (truth) => {
      lies += 1
      return flipped(truth)
    },
  )
  await assign(version)
  await fleet.ended(device, MODEL, { version, state: 'committed' })
  expect(lies).toBeGreaterThan(0)
  expect(await askScale(up.url)).toBe(`${version} times ${version}`)
})
