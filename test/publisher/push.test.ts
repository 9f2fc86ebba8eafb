/** From a folder on a publisher's machine to a signed version at a registry, and into a bundle. */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Bundle } from '../../src/bundle/bundle.ts'
import { bundlePieces } from '../../src/bundle/writer.ts'
import { EdgeError } from '../../src/kit/errors.ts'
import { bundleEntries } from '../../src/publisher/bundle-entries.ts'
import { KeptManifests } from '../../src/publisher/kept-manifests.ts'
import { changeFamily } from '../../src/publisher/publish.ts'
import { type PushOrder, pushVersion } from '../../src/publisher/push.ts'
import { RegistryClient } from '../../src/publisher/registry-client.ts'
import { VersionContent } from '../../src/publisher/version-content.ts'
import { decodeChunkIndex } from '../../src/store/chunks/chunk-index.ts'
import { signAssignment, verifyAssignment } from '../../src/trust/assignment.ts'
import { readManifest } from '../../src/trust/manifest.ts'
import { listVersion } from '../../src/trust/targets-change.ts'
import { hash } from '../trust/fleet.ts'
import { newKey, outcomeOf } from '../trust/tuf-simulator.ts'
import { FakeRegistry } from './fake-registry.ts'

let home: string
let registry: FakeRegistry
let lines: string[]

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'limpet-push-'))
  registry = new FakeRegistry()
  lines = []
})
afterEach(async () => {
  await registry.stop()
  await rm(home, { recursive: true, force: true })
})

/** Bytes that no compression shrinks, the same each time. */
function noise(length: number, seed = 1): Uint8Array {
  let state = seed
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state >>> 24
  })
}

async function writeFolder(name: string, files: Record<string, Uint8Array | string>): Promise<string> {
  const folder = join(home, name)
  for (const [path, content] of Object.entries(files)) {
    await mkdir(join(folder, path, '..'), { recursive: true })
    await writeFile(join(folder, path), content)
  }
  return folder
}

/** A clock under which no time passes. */
const PATIENT = { sleep: () => Promise.resolve() }

const WEIGHTS = noise(3_000_000)
const MODEL = {
  'config.toml': 'max_batch_size = 0\n',
  'labels.txt': 'cat\ndog\n',
  '1/model.onnx': noise(500_000, 7),
  '1/weights.bin': WEIGHTS,
  'golden/inputs.json': '[[]]',
  'golden/outputs.json': '[[1]]',
}

function ports(change: object = {}) {
  return {
    registry: new RegistryClient({ url: registry.url, apiKey: registry.apiKey, clock: PATIENT }),
    trust: registry.fleet.device().client,
    key: registry.fleet.publisher,
    probe: () =>
      Promise.resolve({
        providers: ['cpu'],
        signature: {
          inputs: [{ name: 'x', datatype: 'FP32', shape: [-1] }],
          outputs: [{ name: 'y', datatype: 'FP32', shape: [-1] }],
        },
        memoryMb: 12,
      }),
    settingsProviders: () => Promise.resolve(['cpu']),
    manifests: new KeptManifests(join(home, 'manifests')),
    print: (line: string) => void lines.push(line),
    ...change,
  }
}

function orderOf(folder: string, change: Partial<PushOrder> = {}): PushOrder {
  const variant = {
    name: 'default',
    folder,
    hardware: ['any'],
    providers: undefined,
    memoryMb: undefined,
    isUnchecked: false,
  }
  return {
    family: 'vision',
    name: undefined,
    modelVersion: undefined,
    release: undefined,
    variants: [variant],
    tolerance: { atolE6: 1000, rtolE6: 1000 },
    ...change,
  }
}

/** What a device finds of a version, down to every byte. */
async function fetched(model: string, version: string): Promise<Record<string, string>> {
  const view = await registry.fleet.device().client.refresh(registry.fleet)
  const { listed } = await view.facts(model, version)
  if (listed === undefined) throw new Error('not listed')
  const content = await VersionContent.fetch(ports().registry, listed)
  const found: Record<string, string> = {}
  for await (const { path, chunks } of content.files()) {
    const parts: Uint8Array[] = []
    for await (const { bytes } of chunks) parts.push(Uint8Array.from(bytes))
    found[path] = hash(Buffer.concat(parts))
  }
  return found
}

const posts = (kind: string) => registry.requests.filter((request) => request === `POST /v1/${kind}`).length

describe('pushing', () => {
  test('every file arrives, and the manifest says what they are', async () => {
    const folder = await writeFolder('yolo', MODEL)
    expect(await pushVersion(orderOf(folder), ports())).toMatchObject({ release: 1 })
    expect(await fetched('vision/yolo', '1')).toEqual(
      Object.fromEntries(Object.entries(MODEL).map(([path, content]) => [path, hash(content)])),
    )
    const view = await registry.fleet.device().client.refresh(registry.fleet)
    const { listed } = await view.facts('vision/yolo', '1')
    const manifest = readManifest(
      registry.fleet.objects.get(listed?.sha256 ?? '') ?? new Uint8Array(),
      listed as NonNullable<typeof listed>,
    )
    expect(manifest).toMatchObject({
      golden: { path: 'golden', atol_e6: 1000, rtol_e6: 1000 },
      variants: [
        { name: 'default', hardware: ['any'], providers: ['cpu'], needs: { memory_mb: 12, disk_mb: 4 } },
      ],
    })
    expect(lines.join('\n')).toContain('(100 %)')
  })

  test('a second version sends only what is new', async () => {
    await pushVersion(orderOf(await writeFolder('a/yolo', MODEL)), ports())
    const before = [...registry.packs.values()].reduce((sum, { length }) => sum + length, 0)
    const { '1/model.onnx': _old, '1/weights.bin': _weights, ...rest } = MODEL
    const folder = await writeFolder('b/yolo', {
      ...rest,
      '2/model.onnx': noise(20_000, 9),
      '2/weights.bin': WEIGHTS,
    })
    expect(await pushVersion(orderOf(folder), ports())).toMatchObject({ release: 2 })
    const after = [...registry.packs.values()].reduce((sum, { length }) => sum + length, 0)
    expect(after - before).toBeLessThan(22_000)
  })

  test('the same again does nothing, other files under the same version are refused', async () => {
    const folder = await writeFolder('yolo', MODEL)
    await pushVersion(orderOf(folder), ports())
    const packs = posts('packs')
    expect(await pushVersion(orderOf(folder), ports())).toMatchObject({ release: 1 })
    expect(lines.at(-1)).toContain('nothing to do')
    await writeFile(join(folder, 'labels.txt'), 'dog\ncat\n')
    expect(await outcomeOf(() => pushVersion(orderOf(folder), ports()))).toBe('manifest_mismatch')
    expect(posts('packs')).toBe(packs)
  })

  test('an upload that broke off goes on where it was', async () => {
    const folder = await writeFolder('yolo', { ...MODEL, '1/more.bin': noise(9_000_000, 3) })
    let sent = 0
    const broken = ports()
    const post = broken.registry.postPack.bind(broken.registry)
    broken.registry.postPack = async (bytes) => {
      sent += 1
      if (sent === 2) throw new EdgeError('peer_failed', 'the line is cut')
      await post(bytes)
    }
    await expect(pushVersion(orderOf(folder), broken)).rejects.toThrow('the line is cut')
    expect(registry.packs.size).toBe(1)
    const kept = registry.chunks.size
    await pushVersion(orderOf(folder), ports())
    expect(registry.packs.size).toBe(2)
    expect([...registry.packs.values()].reduce((sum, { length }) => sum + length, 0)).toBeLessThan(13_000_000)
    expect(kept).toBeGreaterThan(0)
  }, 60_000)

  test('a registry that fails for a while is waited for', async () => {
    registry.failPacks = 5
    await pushVersion(orderOf(await writeFolder('yolo', MODEL)), ports())
    expect(posts('packs')).toBe(6)
    registry.failPacks = 100
    const other = await writeFolder('other', { ...MODEL, '1/model.onnx': noise(30_000, 77) })
    await expect(pushVersion(orderOf(other), ports())).rejects.toThrow('503')
    expect(posts('packs')).toBe(13)
  })

  test('two variants of one version share what they have in common', async () => {
    const full = await writeFolder('full/yolo', MODEL)
    const { 'golden/inputs.json': _in, 'golden/outputs.json': _out, ...bare } = MODEL
    const half = await writeFolder('half/yolo', { ...bare, '1/model.onnx': noise(250_000, 8) })
    const variant = {
      name: 'fp16',
      folder: half,
      hardware: ['sm87'],
      providers: ['tensorrt', 'cuda'],
      memoryMb: 900,
      isUnchecked: true,
    }
    const order = orderOf(full)
    await pushVersion({ ...order, variants: [variant, ...order.variants] }, ports())
    const bytes = [...registry.packs.values()].reduce((sum, { length }) => sum + length, 0)
    expect(bytes).toBeLessThan(3_800_000)
    expect((await fetched('vision/yolo', '1'))['1/weights.bin']).toBe(hash(WEIGHTS))
  })

  test('golden samples of the first variant serve the second', async () => {
    const full = await writeFolder('full/yolo', MODEL)
    const { 'golden/inputs.json': _in, 'golden/outputs.json': _out, ...bare } = MODEL
    const half = await writeFolder('half/yolo', bare)
    const order = orderOf(full)
    const variant = { ...(order.variants[0] as (typeof order.variants)[number]), name: 'fp16', folder: half }
    await pushVersion({ ...order, variants: [...order.variants, variant] }, ports())
    expect(await readFile(join(half, 'golden/inputs.json'), 'utf8')).toBe('[[]]')
  })

  test('what is not fit is not uploaded', async () => {
    const folder = await writeFolder('yolo', MODEL)
    const probe = () => Promise.reject(new EdgeError('model_invalid', 'golden sample 0: wrong'))
    await expect(pushVersion(orderOf(folder), ports({ probe }))).rejects.toThrow('golden sample 0')
    expect(registry.requests.filter((request) => !request.startsWith('GET '))).toEqual([])
  })

  test('a key that may not publish is refused before anything is uploaded', async () => {
    const folder = await writeFolder('yolo', MODEL)
    expect(await outcomeOf(() => pushVersion(orderOf(folder), ports({ key: newKey() })))).toBe(
      'publisher_not_delegated',
    )
    expect(await outcomeOf(() => pushVersion(orderOf(folder, { family: 'audio' }), ports()))).toBe(
      'publisher_not_delegated',
    )
    expect(registry.requests.filter((request) => !request.startsWith('GET /'))).toEqual([])
  })

  test("a wrong API key is refused with the registry's words", async () => {
    const folder = await writeFolder('yolo', MODEL)
    const wrong = new RegistryClient({ url: registry.url, apiKey: 'wrong', clock: PATIENT })
    await expect(pushVersion(orderOf(folder), ports({ registry: wrong }))).rejects.toThrow('401')
  })

  test('a release has to rise', async () => {
    await pushVersion(orderOf(await writeFolder('a/yolo', MODEL), { release: 10 }), ports())
    const { '1/model.onnx': model, '1/weights.bin': _w, ...rest } = MODEL
    const next = await writeFolder('b/yolo', { ...rest, '2/model.onnx': model })
    expect(await outcomeOf(() => pushVersion(orderOf(next, { release: 10 }), ports()))).toBe(
      'manifest_mismatch',
    )
    expect(await pushVersion(orderOf(next), ports())).toMatchObject({ release: 11 })
  })

  test('of two publishers at once both get through', async () => {
    const folder = await writeFolder('yolo', MODEL)
    const { registry: client, trust } = ports()
    let raced = false
    const port = {
      refresh: () => trust.refresh(client),
      now: () => trust.now().ms,
      postMetadata: async (role: string, bytes: Uint8Array) => {
        if (!raced) await pushVersion(orderOf(folder), ports())
        raced = true
        await client.postMetadata(role, bytes)
      },
      versionSeen: () => Promise.resolve(0),
    }
    const listed = { model: 'vision/other', version: '1', release: 1, sha256: hash('x'), bytes: 1 }
    await changeFamily('vision', (targets) => listVersion(targets, listed), {
      port,
      key: registry.fleet.publisher,
    })
    const view = await registry.fleet.device().client.refresh(registry.fleet)
    expect((await view.listModels()).map(({ model }) => model)).toEqual(['vision/other', 'vision/yolo'])
  })

  test.each([
    ['several versions, and none named', { '1/model.onnx': 'x', '2/model.onnx': 'y' }, '--model-version'],
    ['no version', { 'config.toml': '' }, 'holds no version'],
  ])('a folder with %s is refused', async (_name, files, words) => {
    await expect(pushVersion(orderOf(await writeFolder('yolo', files)), ports())).rejects.toThrow(words)
  })

  test('other versions and hidden files stay at home', async () => {
    const folder = await writeFolder('yolo', { ...MODEL, '2/model.onnx': 'other', '.git/config': 'secret' })
    await pushVersion(orderOf(folder, { modelVersion: '1' }), ports())
    expect(Object.keys(await fetched('vision/yolo', '1')).sort()).toEqual(Object.keys(MODEL).sort())
  })

  test('a link out of the folder is refused', async () => {
    const folder = await writeFolder('yolo', MODEL)
    await writeFile(join(home, 'secret'), 'secret')
    await symlink(join(home, 'secret'), join(folder, 'linked.txt'))
    await expect(pushVersion(orderOf(folder), ports())).rejects.toThrow('leads out of the folder')
  })
})

describe('verifying', () => {
  test('a chunk that the registry has changed is found', async () => {
    await pushVersion(orderOf(await writeFolder('yolo', MODEL)), ports())
    for (const bytes of registry.packs.values()) bytes[1_000_000] = (bytes[1_000_000] ?? 0) ^ 1
    await expect(fetched('vision/yolo', '1')).rejects.toThrow(/hashes to|Cannot unpack/)
  })

  test('a chunk index of other chunks is found', async () => {
    await pushVersion(orderOf(await writeFolder('yolo', MODEL)), ports())
    for (const [name, bytes] of registry.fleet.objects) {
      if (Buffer.from(bytes).toString('latin1', 0, 4) === 'LCI1') bytes[10] = (bytes[10] ?? 0) ^ 1
      registry.fleet.objects.set(name, bytes)
    }
    expect(await outcomeOf(() => fetched('vision/yolo', '1'))).toBe('object_tampered')
  })
})

describe('a bundle', () => {
  async function bundled(): Promise<string> {
    await pushVersion(orderOf(await writeFolder('yolo', MODEL)), ports())
    const { director } = registry.fleet.keys
    const view = await registry.fleet.device().client.refresh(registry.fleet)
    const { listed } = await view.facts('vision/yolo', '1')
    const entry = { model: 'vision/yolo', version: '1', manifest: listed?.sha256 ?? '', release: 1 }
    registry.assignments.set(
      'cam-07',
      signAssignment({ device: 'cam-07', rev: 3, issued: '2026-11-01T00:00:00Z', models: [entry] }, director),
    )
    const path = join(home, 'site.bundle')
    const { registry: client, trust } = ports()
    const entries = bundleEntries(
      { versions: [{ model: 'vision/yolo', version: '1' }], devices: ['cam-07'] },
      { registry: client, trust, nowMs: registry.fleet.clock.now(), report: () => undefined },
    )
    const parts: Uint8Array[] = []
    for await (const piece of bundlePieces(entries)) parts.push(piece)
    await writeFile(path, Buffer.concat(parts))
    return path
  }

  test('stands in for the registry: a new device gets everything out of it, verified on the same path', async () => {
    const bundle = await Bundle.open(await bundled())
    const { client } = registry.fleet.device()
    const view = await client.refresh(bundle)
    const { listed } = await view.facts('vision/yolo', '1')
    const manifest = readManifest(
      (await bundle.fetchObject(listed?.sha256 ?? '', 1e6)) ?? new Uint8Array(),
      listed as NonNullable<typeof listed>,
    )
    for (const { path, chunk_index: index, sha256 } of manifest.variants[0]?.files ?? []) {
      const chunks = decodeChunkIndex((await bundle.fetchObject(index, 1e6)) ?? new Uint8Array())
      const parts: Uint8Array[] = []
      const wanted = Array.from({ length: chunks.count }, (_, chunk) => chunk)
      const request = {
        index,
        wanted,
        length: (chunk: number) => chunks.length(chunk),
        signal: new AbortController().signal,
      }
      for await (const { chunk, bytes } of bundle.fetch(request)) {
        expect(hash(bytes)).toBe(chunks.sha256(chunk))
        parts.push(Uint8Array.from(bytes))
      }
      expect([path, hash(Buffer.concat(parts))]).toEqual([path, sha256])
    }
    const envelope = await bundle.fetchAssignment('cam-07', 1e6)
    expect(
      verifyAssignment(envelope ?? new Uint8Array(), {
        device: 'cam-07',
        directorKeys: view.directorKeys,
        lastRev: 2,
      }).rev,
    ).toBe(3)
    expect(bundle.devices).toEqual(['cam-07'])
    await bundle.close()
  })

  test('of another fleet is refused by the device', async () => {
    const bundle = await Bundle.open(await bundled())
    const other = new FakeRegistry()
    expect(await outcomeOf(() => other.fleet.device().client.refresh(bundle))).toBe('signer_unknown')
    await other.stop()
    await bundle.close()
  })

  test('cut off at any place, or with any bit changed, is refused', async () => {
    const path = await bundled()
    const whole = new Uint8Array(await readFile(path))
    const torn = join(home, 'torn.bundle')
    for (let part = 0; part < 24; part += 1) {
      await writeFile(torn, whole.slice(0, Math.floor((whole.length * part) / 24)))
      await expect(Bundle.open(torn)).rejects.toThrow('Cannot read the bundle')
      const changed = Uint8Array.from(whole)
      const at = Math.min(whole.length - 1, Math.floor((whole.length * part) / 23))
      changed[at] = (changed[at] ?? 0) ^ 4
      await writeFile(torn, changed)
      await expect(Bundle.open(torn)).rejects.toThrow('Cannot read the bundle')
    }
    await writeFile(torn, Buffer.concat([whole, Buffer.from('x')]))
    await expect(Bundle.open(torn)).rejects.toThrow('Cannot read the bundle')
  })
})
