/**
 * What a device does with two versions of a model, from nothing to the second one serving and the first one removed,
 * until something kills it: `bun update-steps.ts STATE`. It can be started again at any time and goes on.
 */
import { readEnvironment } from '../../src/config/environment.ts'
import { present } from '../../src/kit/assert.ts'
import { armCrashPoints } from '../../src/kit/crash-point.ts'
import { placeOf } from '../../src/store/versions.ts'
import { FakeRegistry } from './package-stage.ts'
import { randomBytes } from './random-bytes.ts'
import { bring, openStore } from './store-stage.ts'

/** More than is committed at once, so that a kill finds some of it on disk and some of it not. */
const WEIGHTS_BYTES = 5_000_000

export function publishTwo(registry: FakeRegistry) {
  const weights = randomBytes(WEIGHTS_BYTES, 5)
  const changed = Uint8Array.from(weights)
  changed.set(randomBytes(4_600_000, 6), 400_000)
  const files = (version: string, bytes: Uint8Array) => ({
    [`${version}/model.onnx`]: bytes,
  })
  return [
    registry.publish({ version: '1', release: 1, files: files('1', weights) }),
    registry.publish({ version: '2', release: 2, files: files('2', changed) }),
  ] as const
}

async function run(state: string): Promise<void> {
  const store = openStore(state)
  const registry = new FakeRegistry()
  const [one, two] = publishTwo(registry)
  await store.pointer.sweep()
  const pointed = await store.pointer.read('yolo')
  await store.versions.sweep(new Set(pointed === undefined ? [] : [pointed]))
  await store.staging.keepOnly(new Set([one.of.manifest, two.of.manifest]))
  // Started again when the second one serves, it does not bring the first one back.
  const wanted = pointed === placeOf(two.of) ? [two] : [one, two]
  for (const version of wanted) {
    await bring(store, registry, version)
    await store.pointer.flip('yolo', placeOf(version.of))
  }
  for (const { place } of await store.versions.list()) {
    if (place !== placeOf(two.of)) await store.versions.remove(place)
  }
  process.stdout.write(`${registry.givenBytes}\n`)
}

if (import.meta.main) {
  armCrashPoints(readEnvironment().crashAt)
  await run(present(process.argv[2], 'a folder was given'))
}
