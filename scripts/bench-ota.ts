/**
 * What a new version of a model costs over the air, as a share of its file: real models changed by a script, taken
 * through the real store, so that what is counted is what was enough. Reach: at most 1 % for a change of the graph alone, 8 % beyond the head for a new head.
 */
import '../test/kit/no-telemetry.ts'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { InferenceSession } from 'onnxruntime-node'
import { findBoundaries } from '../src/store/chunks/boundaries.ts'
import { chunkFile, type FileSummary, sha256Of, summarizeFile } from '../src/store/chunks/chunk-file.ts'
import { decodeChunkIndex } from '../src/store/chunks/chunk-index.ts'
import { decodeChunk, encodeChunk, type StoredChunk } from '../src/store/chunks/stored-chunk.ts'
import { type ChunkSource, download } from '../src/store/download.ts'
import { closeAll } from '../src/store/staging.ts'
import { encodeManifest } from '../src/trust/manifest.ts'
import { openStore, type StoreStage } from '../test/kit/store-stage.ts'
import { describeMachine } from './bench-kit.ts'
import { changeGraph, changeHead, fineTune, largeModel, reencode } from './changed-models.ts'

const MODELS = join(import.meta.dir, '../models')
const REAL = ['text-orientation', 'silero-vad', 'text-detector']
/** Of one frame over MQTT: format, flags, request, chunk, part, parts. */
const FRAME_BYTES = 14

/** What has been published: objects by hash, and chunks as they are stored. */
class Registry {
  readonly objects = new Map<string, Uint8Array>()
  readonly #chunks = new Map<string, StoredChunk>()
  /** Of everything given away. */
  movedBytes = 0

  async publish(folder: string, version: string) {
    const path = `${version}/model.onnx`
    const boundaries = findBoundaries(folder, [path]).get(path)
    const summary = await summarizeFile(join(folder, path), boundaries?.at)
    for await (const { bytes } of chunkFile(join(folder, path), boundaries?.at)) {
      const sha256 = sha256Of(bytes)
      if (this.#chunks.has(sha256)) continue
      const stored = encodeChunk(bytes)
      this.#chunks.set(sha256, { ...stored, bytes: Uint8Array.from(stored.bytes) })
    }
    this.objects.set(sha256Of(summary.index), summary.index)
    return packageOf(path, version, summary)
  }

  readonly fetchObject = async (sha256: string) => {
    const object = this.objects.get(sha256)
    this.movedBytes += object?.length ?? 0
    return object
  }

  readonly source: ChunkSource = { name: 'registry', fetch: (request) => this.#give(request) }

  async *#give({ index: name, wanted }: Parameters<ChunkSource['fetch']>[0]) {
    const index = decodeChunkIndex(this.objects.get(name) ?? new Uint8Array(0))
    for (const chunk of wanted) {
      const stored = this.#chunks.get(index.sha256(chunk))
      if (stored === undefined) throw new Error(`Chunk ${chunk} has not been published`)
      this.movedBytes += stored.bytes.length + FRAME_BYTES
      yield { chunk, bytes: decodeChunk(stored, index.length(chunk)) }
    }
  }
}

function packageOf(path: string, version: string, { bytes, sha256, index }: FileSummary) {
  const files = [{ path, bytes, sha256, chunk_index: sha256Of(index) }]
  const tensors = [{ name: 'x', datatype: 'FP32', shape: [-1] }]
  const needs = { memory_mb: 1, disk_mb: 1 }
  const manifest = encodeManifest({
    format: 1,
    model: 'bench/model',
    version,
    release: 1,
    variants: [{ name: 'fp32', hardware: ['any'], providers: ['cpu'], needs, files }],
    signature: { inputs: tensors, outputs: tensors },
  })
  return { of: { model: 'bench/model', version, manifest: sha256Of(manifest), files }, manifest }
}

/** Brings a version to the device and says what had to be moved for it, its manifest included. */
async function bring(
  store: StoreStage,
  registry: Registry,
  version: Awaited<ReturnType<Registry['publish']>>,
) {
  const before = registry.movedBytes
  const assemblies = await store.staging.open(version.of, registry.fetchObject)
  for (const assembly of assemblies) {
    await store.seeds.fill(assembly)
    const { signal } = new AbortController()
    await download({ assembly, sources: [registry.source], signal, progress: () => undefined })
    if ((await assembly.finish()) > 0) throw new Error('A chunk is wrong')
  }
  await closeAll(assemblies)
  await store.versions.install(version.of, { staging: store.staging, manifest: version.manifest })
  return registry.movedBytes - before + version.manifest.length
}

const home = await mkdtemp(join(tmpdir(), 'limpet-bench-'))
try {
  console.log(`${describeMachine()}\n`)
  console.log('Bytes over the air for the next version: chunks, frames, chunk index and manifest')
  for (const name of REAL) {
    const original = await Bun.file(join(MODELS, name, '1/model.onnx')).bytes()
    const first = reencode(original)
    await compare(name, first)
    await reportMove('written by another tool', { first: original, second: first })
  }
  await compare('made up, 7 % head', largeModel(15, 1_024))
} finally {
  await rm(home, { recursive: true, force: true })
}

async function compare(name: string, first: Uint8Array): Promise<void> {
  const head = changeHead(first, 77)
  const changes = [
    { what: 'graph only', file: changeGraph(first), percentMax: 1 },
    {
      what: `new head (${percent(head.headBytes, first.length)} of it)`,
      file: head.file,
      percentMax: 8 + (head.headBytes / first.length) * 100,
    },
    { what: 'fine-tuned by 1 %', file: fineTune(first, 0.01, 5), percentMax: undefined },
    { what: 'fine-tuned by 10 %', file: fineTune(first, 0.1, 6), percentMax: undefined },
  ]
  console.log(`\n${name}, ${first.length} bytes`)
  for (const { what, file, percentMax } of changes) {
    await reportMove(what, { first, second: file, percentMax })
  }
}

async function reportMove(
  what: string,
  { first, second, percentMax }: { first: Uint8Array; second: Uint8Array; percentMax?: number | undefined },
): Promise<void> {
  // Still a model: what is measured is what somebody could have published.
  await InferenceSession.create(second)
  const moved = await moveBytes(first, second)
  const isReached = percentMax === undefined || (moved / second.length) * 100 <= percentMax
  const aim =
    percentMax === undefined ? '' : `at most ${percentMax.toFixed(1)} %: ${isReached ? '' : 'NOT '}reached`
  const share = percent(moved, second.length).padStart(8)
  console.log(`  ${what.padEnd(24)} ${String(moved).padStart(10)} bytes ${share}  ${aim}`)
  if (!isReached) process.exitCode = 1
}

/** What the second file costs a device that has the first one. */
async function moveBytes(first: Uint8Array, second: Uint8Array): Promise<number> {
  const folder = await mkdtemp(join(home, 'move-'))
  const registry = new Registry()
  await mkdir(join(folder, 'state'))
  const store = openStore(join(folder, 'state'))
  await Bun.write(join(folder, '1/model.onnx'), first)
  await Bun.write(join(folder, '2/model.onnx'), second)
  await bring(store, registry, await registry.publish(folder, '1'))
  const moved = await bring(store, registry, await registry.publish(folder, '2'))
  store.database.close()
  await rm(folder, { recursive: true })
  return moved
}

function percent(part: number, whole: number): string {
  return `${((part / whole) * 100).toFixed(2)} %`
}
