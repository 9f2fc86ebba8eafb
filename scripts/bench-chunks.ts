/**
 * How fast models are cut, chunks packed and unpacked, and files put together; and what memory a file of 1 GiB takes
 * while it is put together, in a process of its own. Reach: under 150 MB.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { present } from '../src/kit/assert.ts'
import type { Assembly } from '../src/store/assembly.ts'
import { findBoundaries } from '../src/store/chunks/boundaries.ts'
import { chunkFile, sha256Of, summarizeFile } from '../src/store/chunks/chunk-file.ts'
import { decodeChunkIndex, encodeChunkIndex } from '../src/store/chunks/chunk-index.ts'
import { decodeChunk, encodeChunk } from '../src/store/chunks/stored-chunk.ts'
import { type ChunkSource, download } from '../src/store/download.ts'
import { hashFile } from '../src/store/file-hash.ts'
import { Seeds } from '../src/store/seeds.ts'
import { randomBytes } from '../test/kit/random-bytes.ts'
import { openStore } from '../test/kit/store-stage.ts'
import { describeMachine, median } from './bench-kit.ts'
import { largeModel } from './changed-models.ts'

const ROUNDS = 5
const GIBIBYTE = 2 ** 30
const CHUNK_BYTES = 64 * 1024
const PATH = '1/model.onnx'
/** The encoding is slow enough for fewer. */
const SAMPLE_CHUNKS = 300

/** A file of random chunks, each made when it is asked for. */
const large: ChunkSource = {
  name: 'made up',
  async *fetch({ wanted }) {
    for (const chunk of wanted) yield { chunk, bytes: randomBytes(CHUNK_BYTES, chunk) }
  },
}

const home = await mkdtemp(join(tmpdir(), 'limpet-bench-'))
try {
  const [task, folder = home] = process.argv.slice(2)
  if (task === 'assemble-large') await assembleLarge(folder)
  else {
    console.log(`${describeMachine()}\n`)
    await measureSpeed()
    await measureMemory()
  }
} finally {
  await rm(home, { recursive: true, force: true })
}

async function measureSpeed(): Promise<void> {
  const path = join(home, PATH)
  const model = largeModel(31, 1_024)
  await Bun.write(path, model)
  const at = findBoundaries(home, [PATH]).get(PATH)?.at
  const summary = await summarizeFile(path, at)
  const chunks: Uint8Array[] = []
  for await (const { bytes } of chunkFile(path, at)) chunks.push(Uint8Array.from(bytes))
  const sample = chunks.slice(0, SAMPLE_CHUNKS)
  const sampleBytes = sample.reduce((sum, { length }) => sum + length, 0)
  const stored = sample.map((chunk) => ({ length: chunk.length, ...encodeChunk(chunk) }))

  console.log(`${model.length} bytes in ${chunks.length} chunks, median of ${ROUNDS}`)
  await report('cut, hashed, indexed', model.length, () => timed(() => summarizeFile(path, at)))
  await report('weights encoded', sampleBytes, () => timed(async () => sample.map(encodeChunk)))
  await report('weights decoded', sampleBytes, () =>
    timed(async () => stored.map((each) => decodeChunk(each, each.length))),
  )
  const source: ChunkSource = {
    name: 'memory',
    async *fetch({ wanted }) {
      for (const chunk of wanted) yield { chunk, bytes: chunks[chunk] ?? new Uint8Array(0) }
    },
  }
  await report('put together from a source', model.length, () =>
    timedAssembly(summary, (part) => fetchAll(part, source)),
  )
  await report('put together from seeds', model.length, () =>
    timedAssembly(summary, async (part, store) => {
      const seeds = new Seeds({ database: store.database, root: home })
      seeds.add('1', new Map([['model.onnx', decodeChunkIndex(summary.index)]]))
      await seeds.fill(part)
    }),
  )
}

async function report(what: string, bytes: number, work: () => Promise<number>): Promise<void> {
  const times: number[] = []
  for (let round = 0; round < ROUNDS; round++) times.push(await work())
  console.log(`  ${what.padEnd(28)} ${(bytes / 1e3 / median(times)).toFixed(0).padStart(6)} MB/s`)
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return performance.now() - began
}

/** With the hashing of the whole at the end, and everything synced. */
async function timedAssembly(
  summary: { bytes: number; sha256: string; index: Uint8Array },
  fill: (part: Assembly, store: ReturnType<typeof openStore>) => Promise<void>,
): Promise<number> {
  const state = await mkdtemp(join(home, 'state-'))
  const store = openStore(state)
  const part = await openPart(store, summary)
  const took = await timed(async () => {
    await fill(part, store)
    if (part.missing().length > 0 || (await part.finish()) > 0) throw new Error('Chunks are missing or wrong')
  })
  await part.close()
  store.database.close()
  await rm(state, { recursive: true })
  return took
}

async function openPart(
  store: ReturnType<typeof openStore>,
  { bytes, sha256, index }: { bytes: number; sha256: string; index: Uint8Array },
): Promise<Assembly> {
  const files = [{ path: PATH, bytes, sha256, chunk_index: sha256Of(index) }]
  const of = { model: 'bench/model', version: '1', manifest: 'bench', files }
  const [part] = await store.staging.open(of, async () => index)
  return present(part, 'the version has one file')
}

async function fetchAll(assembly: Assembly, source: ChunkSource): Promise<void> {
  const { signal } = new AbortController()
  await download({ assembly, sources: [source], signal, progress: () => undefined })
}

/** The index is made here and the file put together there, so that only the one is in the other's memory. */
async function measureMemory(): Promise<void> {
  const count = GIBIBYTE / CHUNK_BYTES
  const whole = new Bun.CryptoHasher('sha256')
  const chunks = Array.from({ length: count }, (_, chunk) => {
    const bytes = randomBytes(CHUNK_BYTES, chunk)
    whole.update(bytes)
    return { length: CHUNK_BYTES, sha256: sha256Of(bytes) }
  })
  await Bun.write(join(home, 'index'), encodeChunkIndex(chunks))
  await Bun.write(join(home, 'sha256'), whole.digest('hex'))
  const child = Bun.spawn(['bun', import.meta.path, 'assemble-large', home], {
    stdout: 'inherit',
    stderr: 'inherit',
  })
  if ((await child.exited) !== 0) process.exitCode = 1
}

async function assembleLarge(folder: string): Promise<void> {
  const sha256 = await Bun.file(join(folder, 'sha256')).text()
  const index = await Bun.file(join(folder, 'index')).bytes()
  const state = join(folder, 'large')
  await mkdir(state)
  const part = await openPart(openStore(state), { bytes: GIBIBYTE, sha256, index })
  const took = await timed(async () => {
    await fetchAll(part, large)
    if ((await part.finish()) > 0) throw new Error('A chunk is wrong')
  })
  await part.close()
  if ((await hashFile(part.path)) !== sha256) throw new Error('The file is not what it should be')
  const status = await Bun.file('/proc/self/status').text()
  const peak = Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1e3
  const speed = (GIBIBYTE / 1e3 / took).toFixed(0)
  console.log(
    `1 GiB put together at ${speed} MB/s, its random bytes made meanwhile; at most ${peak.toFixed(0)} MB resident`,
  )
  if (peak > 150) process.exitCode = 1
}
