/**
 * How fast chunks come over the line: a registry from the compiled binary with its own broker on loopback, and a device in
 * this process that takes a model as the agent does, each chunk hashed. `--megabytes N` (256), `--limit N` megabytes a
 * second to hold it to.
 */
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type ChunkIndex, decodeChunkIndex } from '../src/store/chunks/chunk-index.ts'
import { eventually, startDevice } from '../test/kit/device-link.ts'
import { randomBytes } from '../test/kit/random-bytes.ts'
import { enrolDevice, type RunningRegistry, startRegistry } from '../test/kit/registry.ts'
import { packVersion, sha256Of, upload } from '../test/registry/publish.ts'

const PART_BYTES = 32 * 1024 ** 2

const { values } = parseArgs({
  options: { megabytes: { type: 'string', default: '256' }, limit: { type: 'string' } },
})
const bytesTotal = Number(values.megabytes) * 1e6
const folder = await mkdtemp(join(tmpdir(), 'limpet-bench-'))
const registry = await startRegistry(folder)
try {
  const indexes = await publish(registry)
  for (const transport of ['mqtt', 'http'] as const) await measure(transport, indexes)
} finally {
  await registry.stop()
  await rm(folder, { recursive: true })
}
process.exit(0)

/** As several files, so that making them does not take the memory that is to be measured. */
async function publish(to: RunningRegistry): Promise<Map<string, ChunkIndex>> {
  const indexes = new Map<string, ChunkIndex>()
  for (let at = 0; at < bytesTotal; at += PART_BYTES) {
    const bytes = randomBytes(Math.min(PART_BYTES, bytesTotal - at), at)
    const packed = packVersion({
      model: 'demo/bench',
      version: '1',
      release: 1,
      files: { 'model.onnx': bytes },
    })
    await upload(packed, (method, path, body) => to.ask(method, path, body))
    for (const index of packed.indexes) indexes.set(sha256Of(index), decodeChunkIndex(index))
  }
  Bun.gc(true)
  return indexes
}

async function measure(transport: 'mqtt' | 'http', indexes: ReadonlyMap<string, ChunkIndex>): Promise<void> {
  const { secret } = await enrolDevice(registry, `bench-${transport}`)
  const limit = values.limit === undefined ? undefined : Number(values.limit) * 1e6
  const device = startDevice(folder, {
    device: `bench-${transport}`,
    secret,
    mqttUrl: registry.mqttUrl,
    httpUrl: registry.url,
    transports: [transport],
    bandwidth: { bytesPerSecond: limit, hours: [] },
  })
  await eventually('the line is up', () => device.link.isUp)
  const before = process.memoryUsage.rss()
  let peak = before
  let bytes = 0
  const began = performance.now()
  for (const [index, chunks] of indexes) {
    const wanted = [...Array(chunks.count).keys()]
    const request = {
      index,
      wanted,
      length: (chunk: number) => chunks.length(chunk),
      signal: new AbortController().signal,
    }
    for await (const fetched of device.link.chunks.fetch(request)) {
      const sha256 = createHash('sha256').update(fetched.bytes).digest('hex')
      if (sha256 !== chunks.sha256(fetched.chunk)) throw new Error(`Chunk ${fetched.chunk} is wrong`)
      bytes += fetched.bytes.length
      peak = Math.max(peak, process.memoryUsage.rss())
    }
  }
  const seconds = (performance.now() - began) / 1000
  console.log(
    `${transport}: ${(bytes / 1e6).toFixed(0)} MB in ${seconds.toFixed(1)} s, ${(bytes / 1e6 / seconds).toFixed(1)} MB/s` +
      `${limit === undefined ? ', aim 40' : `, held to ${limit / 1e6}`}; resident ${(before / 1e6).toFixed(0)} MB, ` +
      `at most ${((peak - before) / 1e6).toFixed(0)} MB more`,
  )
  await device.stop()
}
