/**
 * What loading each sample model takes of the processor, all of this process together: as it is, when what is made of it is
 * written down on the way, and from what was written. Median of some loads; hashing model and entry is part of it.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EMBEDDED } from '../src/app/embedded.ts'
import { EngineCache } from '../src/engines/cache.ts'
import { systemClock } from '../src/kit/clock.ts'
import { setLogLevel } from '../src/kit/log.ts'
import { OrtBackend } from '../src/runtime/ort-backend.ts'
import { MODELS } from '../test/kit/binary.ts'
import { SESSION_OPTIONS } from '../test/kit/session-options.ts'
import { describeMachine, median } from './bench-kit.ts'

const LOADS = 15
setLogLevel('silent')
const folder = await mkdtemp(join(tmpdir(), 'limpet-prepared-'))
console.log(describeMachine())
for (const model of ['text-orientation', 'silero-vad', 'text-detector']) {
  const path = join(MODELS, model, '1/model.onnx')
  const plain = await measure(path, async () => 'off')
  const writing = await measure(path, async (cache) => {
    for (const { key } of await cache.list()) await cache.discard(key, 'to be written again')
    return 'keep'
  })
  const prepared = await measure(path, async () => 'keep')
  console.log(`${model}: as it is ${plain}, writing ${writing}, from what was written ${prepared}`)
}
await rm(folder, { recursive: true })
process.exit(0)

/** Of one load in milliseconds; a cache for each model, in which the loads before have left what they made. */
async function measure(
  path: string,
  prepare: (cache: EngineCache) => Promise<'keep' | 'off'>,
): Promise<string> {
  const home = join(folder, Bun.hash(path).toString())
  const cache = await EngineCache.open({
    folder: home,
    bytesMax: 2 ** 30,
    isKeeper: true,
    clock: systemClock,
  })
  const board = { board: 'this one' }
  const backend = new OrtBackend({
    libraryPath: EMBEDDED.onnxruntime.path,
    threads: 1,
    engines: { cache, board },
  })
  const times: number[] = []
  for (let load = 0; load <= LOADS; load += 1) {
    const engineCache = await prepare(cache)
    const before = process.cpuUsage()
    const session = await backend.load({ path }, { ...SESSION_OPTIONS, engineCache })
    await backend.settle()
    const { user, system } = process.cpuUsage(before)
    await session.close()
    // The first one finds nothing in any cache of the system.
    if (load > 0) times.push((user + system) / 1000)
  }
  return `${median(times).toFixed(1)} ms (from ${Math.min(...times).toFixed(1)})`
}
