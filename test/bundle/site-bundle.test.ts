/** A bundle beside a line that works, fails, or has something else. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { cp, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { Bundle } from '../../src/bundle/bundle.ts'
import { listBrought } from '../../src/bundle/check-bundle.ts'
import { encodeEnd, FOOTER_BYTES, HEAD, readFooter, readIndex } from '../../src/bundle/format.ts'
import { SiteBundle } from '../../src/bundle/site-bundle.ts'
import { bundlePieces, type NewEntry } from '../../src/bundle/writer.ts'
import { EdgeError } from '../../src/kit/errors.ts'
import { chunkFile, summarizeFile } from '../../src/store/chunks/chunk-file.ts'
import { decodeChunkIndex } from '../../src/store/chunks/chunk-index.ts'
import { PackWriter } from '../../src/store/chunks/pack.ts'
import { encodeChunk } from '../../src/store/chunks/stored-chunk.ts'
import { encodeManifest } from '../../src/trust/manifest.ts'
import { listVersion } from '../../src/trust/targets-change.ts'
import { SEED } from '../kit/seed.ts'
import { Fleet, hash, manifestOf } from '../trust/fleet.ts'
import { outcomeOf } from '../trust/tuf-simulator.ts'

let home: string
let path: string
let fleet: Fleet
let index: ReturnType<typeof decodeChunkIndex>
let indexName: string
const sites: SiteBundle[] = []
const down = new EdgeError('peer_failed', 'the line is down')

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'limpet-site-'))
  path = join(home, 'site.bundle')
  fleet = new Fleet()
  const file = join(home, 'weights.bin')
  await writeFile(
    file,
    Uint8Array.from({ length: 1_000_000 }, (_, at) => (at * at) >> 7),
  )
  const summary = await summarizeFile(file)
  index = decodeChunkIndex(summary.index)
  indexName = hash(summary.index)
  const manifest = manifestOf('1', 1)
  for (const variant of manifest.variants)
    variant.files = [
      { path: '1/w.bin', bytes: summary.bytes, sha256: summary.sha256, chunk_index: indexName },
    ]
  const bytes = encodeManifest(manifest)
  const listed = { model: 'vision/yolo', version: '1', release: 1, sha256: hash(bytes), bytes: bytes.length }
  await fleet.registry.accept(
    'vision',
    fleet.sign('vision', (targets) => listVersion(targets, listed)),
  )
  const pack = new PackWriter()
  for await (const chunk of chunkFile(file)) {
    pack.add({ sha256: hash(chunk.bytes), length: chunk.bytes.length, stored: encodeChunk(chunk.bytes) })
  }
  const finished = pack.finish()
  const entries: NewEntry[] = [
    ...[...fleet.files.files].map(([name, content]) => ({ name: `metadata/${name}`, bytes: content })),
    ...[...fleet.objects].map(([name, content]) => ({ name: `objects/${name}`, bytes: content })),
    { name: `objects/${hash(bytes)}`, bytes },
    { name: `objects/${indexName}`, bytes: summary.index },
    { name: `packs/${finished.sha256}`, bytes: finished.bytes },
    { name: 'assignments/cam-07', bytes: Buffer.from('an envelope') },
  ]
  await write(path, entries)
})
afterAll(async () => {
  for (const site of sites) await site.close()
  await rm(home, { recursive: true, force: true })
})

function siteAt(bundle: string): SiteBundle {
  const site = new SiteBundle(bundle)
  sites.push(site)
  return site
}

async function write(to: string, entries: readonly NewEntry[]): Promise<void> {
  const parts: Uint8Array[] = []
  for await (const piece of bundlePieces(from(entries))) parts.push(Uint8Array.from(piece))
  await writeFile(to, Buffer.concat(parts))
}

async function* from<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items
}

const deadLine = {
  name: 'line',
  fetchMetadata: () => Promise.reject(down),
  fetchObject: () => Promise.reject(down),
  fetch: (): AsyncIterable<never> => {
    throw down
  },
}

async function chunksOf(source: ReturnType<SiteBundle['chunks']>): Promise<number> {
  const wanted = Array.from({ length: index.count }, (_, chunk) => chunk)
  let count = 0
  const request = {
    index: indexName,
    wanted,
    length: (chunk: number) => index.length(chunk),
    signal: new AbortController().signal,
  }
  for await (const { chunk, bytes } of source.fetch(request)) {
    expect(hash(bytes)).toBe(index.sha256(chunk))
    count += 1
  }
  return count
}

describe('with the line down', () => {
  test('a device learns what is signed and gets every chunk', async () => {
    const site = siteAt(path)
    const view = await fleet.device().client.refresh(site.trustSource(deadLine))
    expect((await view.facts('vision/yolo', '1')).listed?.release).toBe(1)
    expect(await chunksOf(site.chunks(deadLine))).toBe(index.count)
    expect(
      await site.fetchAssignment({ device: 'cam-07', bytesMax: 100 }, () => Promise.reject(down)),
    ).toEqual(new Uint8Array(Buffer.from('an envelope')))
    expect(
      await site.fetchAssignment({ device: 'cam-08', bytesMax: 100 }, () => Promise.reject(down)),
    ).toBeUndefined()
  })

  test('and without a bundle it is told that the line is down', async () => {
    const site = siteAt(join(home, 'none'))
    await expect(fleet.device().client.refresh(site.trustSource(deadLine))).rejects.toBe(down)
    await expect(chunksOf(site.chunks(deadLine))).rejects.toBe(down)
  })

  test('a bundle that is torn is as good as none', async () => {
    const torn = join(home, 'torn.bundle')
    await write(torn, [])
    await truncate(torn, 20)
    await expect(fleet.device().client.refresh(siteAt(torn).trustSource(deadLine))).rejects.toBe(down)
  })

  test('a bundle that is brought later is found', async () => {
    const later = join(home, 'later.bundle')
    const site = siteAt(later)
    expect(await site.current()).toBeUndefined()
    await write(later, [])
    expect(await site.current()).toBeDefined()
  })

  test('a bundle that is replaced while it is read leaves the rest to the line', async () => {
    const replaced = join(home, 'replaced.bundle')
    await cp(path, replaced)
    const site = siteAt(replaced)
    const lineGave: number[] = []
    const line = {
      name: 'line',
      async *fetch(rest: Parameters<ReturnType<SiteBundle['chunks']>['fetch']>[0]) {
        lineGave.push(...rest.wanted)
        yield* siteAt(path).chunks(deadLine).fetch(rest)
      },
    }
    const wanted = Array.from({ length: index.count }, (_, chunk) => chunk)
    const request = {
      index: indexName,
      wanted,
      length: (chunk: number) => index.length(chunk),
      signal: new AbortController().signal,
    }
    const given = new Set<number>()
    for await (const { chunk } of site.chunks(line).fetch(request)) {
      given.add(chunk)
      if (given.size !== 3) continue
      await rm(replaced)
      await write(replaced, [])
      await site.current()
    }
    expect(given.size).toBe(index.count)
    expect(lineGave).toHaveLength(index.count - 3)
  })
})

describe('with the line up', () => {
  test('what is newest is asked of the line', async () => {
    const newer = new Fleet()
    const site = siteAt(path)
    const view = await newer.device().client.refresh(site.trustSource(newer))
    expect(view.versions.timestamp).toBe(1)
  })

  test('a refusal of the line is not talked over by the bundle', async () => {
    const site = siteAt(path)
    expect(await outcomeOf(() => new Fleet().device().client.refresh(site.trustSource(fleet)))).toBe(
      'signer_unknown',
    )
  })

  test('chunks that the bundle lacks come over the line', async () => {
    const site = siteAt(join(home, 'none'))
    const whole = siteAt(path)
    expect(await chunksOf(site.chunks(whole.chunks(deadLine)))).toBe(index.count)
  })
})

test('what it brings is told by version and variant', async () => {
  const bundle = await Bundle.open(path)
  const view = await fleet.device().client.refresh(bundle)
  const brought = await listBrought(bundle, view)
  expect(brought.map(({ listed, variants }) => [listed.version, variants])).toEqual([['1', ['fp16', 'fp32']]])
  await bundle.close()
})

test('an index of chance, or a good one with bytes changed, is never taken for another', () => {
  const entries = [
    { name: 'metadata/timestamp.json', bytes: 7, sha256: hash('a') },
    { name: `objects/${hash('b')}`, bytes: 9, sha256: hash('b') },
  ]
  const end = encodeEnd(entries)
  const size = HEAD.length + 16 + end.length
  const read = (bytes: Uint8Array) => {
    const { indexBytes, sha256 } = readFooter(bytes.subarray(bytes.length - FOOTER_BYTES), size)
    const indexAt = bytes.length - FOOTER_BYTES - indexBytes
    return readIndex(bytes.subarray(indexAt, indexAt + indexBytes), { sha256, size })
  }
  const good = read(end)
  expect(good.map(({ name, offset }) => [name, offset])).toEqual([
    ['metadata/timestamp.json', 8],
    [`objects/${hash('b')}`, 15],
  ])
  const changed = fc
    .record({ at: fc.nat(end.length - 1), put: fc.uint8Array({ maxLength: 6 }), take: fc.nat(6) })
    .map(
      ({ at, put, take }) =>
        new Uint8Array(Buffer.concat([end.subarray(0, at), put, end.subarray(at + take)])),
    )
  fc.assert(
    fc.property(fc.oneof(changed, fc.uint8Array({ maxLength: 400 })), (bytes) => {
      try {
        expect(read(bytes)).toEqual(good)
      } catch (error) {
        if (!(error instanceof EdgeError)) throw error
      }
    }),
    { seed: SEED, numRuns: 3000 },
  )
})
