/** A process that keeps two entries, takes the first one out for the second, until something kills it: `bun engine-steps.ts FOLDER`. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readEnvironment } from '../../src/config/environment.ts'
import { EngineCache } from '../../src/engines/cache.ts'
import { engineKey } from '../../src/engines/key.ts'
import { present } from '../../src/kit/assert.ts'
import { systemClock } from '../../src/kit/clock.ts'
import { armCrashPoints } from '../../src/kit/crash-point.ts'
import { engineFacts } from './engine-facts.ts'

const folder = present(process.argv[2], 'a folder was given')
armCrashPoints(readEnvironment().crashAt)
const cache = await EngineCache.open({ folder, bytesMax: 100_000, isKeeper: true, clock: systemClock })
for (const letter of ['a', 'b']) {
  const facts = engineFacts({ model: letter.repeat(64) })
  const draft = present(await cache.draft(engineKey(facts), 70_000), 'the disk has room')
  await writeFile(join(draft, 'model.onnx'), letter.repeat(70_000))
  await cache.keep(draft, { facts, libraries: {}, madeFor: 'm/1', unfit: '', signature: '' })
}
