/** A fleet's trust as `limpet keys init` makes it, a registry that signs, a publisher, and a device of them. */
import { createHash } from 'node:crypto'
import { signFirstFiles } from '../../src/trust/ceremony.ts'
import { TrustClient, type TrustSource } from '../../src/trust/client.ts'
import { HighWaterMemory } from '../../src/trust/high-water.ts'
import type { SigningKey } from '../../src/trust/key.ts'
import { encodeManifest, type Manifest } from '../../src/trust/manifest.ts'
import { NO_TARGETS, readTargets } from '../../src/trust/metadata-fields.ts'
import { MetadataMemory } from '../../src/trust/metadata-files.ts'
import { DEFAULT_EXPIRY, TufRepository } from '../../src/trust/repository.ts'
import type { TargetsFields } from '../../src/trust/sign-metadata.ts'
import { listVersion, signNextTargets } from '../../src/trust/targets-change.ts'
import { FakeClock } from '../kit/fake-clock.ts'
import { newKey, START_MS } from './tuf-simulator.ts'

const BUILT_MS = START_MS - 30 * 24 * 3600 * 1000

export class Fleet implements TrustSource {
  readonly clock = new FakeClock()
  readonly keys = {
    root: [newKey(), newKey(), newKey()],
    targets: newKey(),
    director: newKey(),
    snapshot: newKey(),
    timestamp: newKey(),
  }
  readonly publisher: SigningKey
  readonly online: SigningKey[] = [this.keys.director, this.keys.snapshot, this.keys.timestamp]
  readonly files: MetadataMemory
  readonly objects: Map<string, Uint8Array>
  readonly registry: TufRepository
  readonly firstRoot: Uint8Array

  constructor({ publisher = newKey(), startMs = START_MS } = {}) {
    this.publisher = publisher
    this.clock.advance(startMs)
    const publishers = new Map([['vision', publisher]])
    const first = signFirstFiles({ ...this.keys, rootThreshold: 2, publishers, nowMs: startMs })
    this.files = new MetadataMemory(first.metadata)
    this.objects = new Map(first.objects)
    this.firstRoot = first.metadata.get('1.root.json') as Uint8Array
    this.registry = new TufRepository({
      files: this.files,
      readKeys: () => Promise.resolve(this.online),
      readObject: (sha256) => this.fetchObject(sha256),
      clock: this.clock,
      expiry: DEFAULT_EXPIRY,
    })
  }

  fetchMetadata(name: string): Promise<Uint8Array | undefined> {
    return this.registry.read(name)
  }

  fetchObject(sha256: string): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.objects.get(sha256))
  }

  /** The newest metadata of a role of targets, as a signer reads it. */
  newest(role: string): TargetsFields {
    const versions = [...this.files.files.keys()].filter((name) => name.endsWith(`.${role}.json`))
    const newest = versions.sort((one, other) => Number.parseInt(one, 10) - Number.parseInt(other, 10)).at(-1)
    const bytes = newest === undefined ? undefined : this.files.files.get(newest)
    return bytes === undefined ? NO_TARGETS : readTargets(bytes)
  }

  sign(role: string, change: (targets: TargetsFields) => TargetsFields, key = this.publisher): Uint8Array {
    return signNextTargets(change(this.newest(role)), { keys: [key], days: 365, nowMs: this.clock.now() })
  }

  async publish(manifest: Manifest): Promise<string> {
    const bytes = encodeManifest(manifest)
    const sha256 = hash(bytes)
    this.objects.set(sha256, bytes)
    const { model, version, release } = manifest
    const listed = { model, version, release, sha256, bytes: bytes.length }
    await this.registry.accept(
      'vision',
      this.sign('vision', (targets) => listVersion(targets, listed)),
    )
    return sha256
  }

  device(files = new MetadataMemory(), highWater = new HighWaterMemory()) {
    const clock = new FakeClock()
    clock.advance(this.clock.now())
    const client = new TrustClient({
      files,
      highWater,
      clock,
      builtMs: BUILT_MS,
      enrolledRoot: this.firstRoot,
      makeNonce: () => '0123456789abcdef'.repeat(2),
    })
    return { client, clock, files, highWater }
  }
}

export function manifestOf(version: string, release: number, model = 'vision/yolo'): Manifest {
  return {
    format: 1,
    model,
    version,
    release,
    variants: [
      {
        name: 'fp16',
        hardware: ['sm87'],
        providers: ['tensorrt', 'cuda'],
        needs: { memory_mb: 900, disk_mb: 260 },
        files: [
          { path: `${version}/model.onnx`, bytes: 10, sha256: hash('fp16'), chunk_index: hash('index') },
        ],
      },
      {
        name: 'fp32',
        hardware: ['any'],
        providers: ['cpu'],
        needs: { memory_mb: 0, disk_mb: 0 },
        files: [
          { path: `${version}/model.onnx`, bytes: 20, sha256: hash('fp32'), chunk_index: hash('index') },
        ],
      },
    ],
    signature: {
      inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 3] }],
      outputs: [{ name: 'y', datatype: 'FP32', shape: [-1] }],
    },
  }
}

export function hash(content: Uint8Array | string): string {
  return createHash('sha256').update(content).digest('hex')
}
