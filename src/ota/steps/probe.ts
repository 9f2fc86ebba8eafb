import { readPackage } from '../package.ts'
import type { Parts } from '../parts.ts'
import type { ProbeRequest } from '../ports.ts'
import { type Job, OK, type Step, type StepResult, unfit } from '../step.ts'
import { gone } from './gone.ts'

const MIB = 1024 ** 2
/** Below this a difference is the machine's, not the model's. */
const DIFFERENCE_MS_MIN = 2
/** Of the free memory, for a version that does not say what it needs. */
const MEMORY_SHARE = 0.8
/** What the process needs before it has loaded anything. */
const MEMORY_BASE_BYTES = 512 * MIB

/** Has the version proven in a process of its own, whose end is a verdict and no accident. */
export function createProbe(parts: Parts): Step {
  const { store, probe, journal } = parts
  return async (job) => {
    const { update, signal } = job
    const wanted = await readPackage(parts, update)
    if (wanted === undefined) return gone(update)
    const request: ProbeRequest = {
      folder: store.folder(wanted),
      golden: wanted.golden,
      memoryBytesMax: await memoryLimit(parts, wanted.variant.needs.memory_mb * MIB),
    }
    const verdict = await probe.run(request, signal)
    if (!verdict.isFit) return unfit(verdict.code, verdict.reason)
    const { typicalMs } = verdict
    if (typicalMs === undefined) return OK
    journal.setNote(`probe/${update.manifest}`, { typicalMs })
    return (await tooSlow(parts, job, { request, typicalMs })) ?? OK
  }
}

async function memoryLimit({ host }: Parts, neededBytes: number): Promise<number> {
  if (neededBytes > 0) return neededBytes + MEMORY_BASE_BYTES
  return Math.floor(MEMORY_SHARE * (await host.freeMemoryBytes()))
}

/**
 * Than the version that runs. What one probe measures of either may be of a busy moment, so both are asked again, and the
 * best of the new one is held against the worst of the old one.
 */
async function tooSlow(
  parts: Parts,
  { update, signal }: Job,
  { request, typicalMs }: { request: ProbeRequest; typicalMs: number },
): Promise<StepResult | undefined> {
  const { journal, store, probe } = parts
  const percentMax = update.policy.probePercentMax
  const good = journal.good(update.model)
  const running = await store.current(update.model)
  if (good?.typicalMs === undefined || running?.manifest !== good.manifest) return undefined
  if (isWithin(typicalMs, good.typicalMs, percentMax)) return undefined
  const before = await readPackage(parts, good)
  const folder = store.folder({ ...good, model: update.model })
  const old = await probe.run({ ...request, folder, golden: before?.golden }, signal)
  const again = await probe.run(request, signal)
  if (!again.isFit) return unfit(again.code, again.reason)
  const beforeMs = Math.max(good.typicalMs, (old.isFit && old.typicalMs) || 0)
  const nowMs = Math.min(typicalMs, again.typicalMs ?? typicalMs)
  if (isWithin(nowMs, beforeMs, percentMax)) return undefined
  return unfit(
    'slower',
    `half of the golden samples take over ${nowMs.toFixed(2)} ms, in version ${good.version} it was ` +
      `${beforeMs.toFixed(2)} ms, expected at most ${percentMax} % of it`,
  )
}

function isWithin(nowMs: number, beforeMs: number, percentMax: number): boolean {
  return nowMs <= (beforeMs * percentMax) / 100 || nowMs - beforeMs <= DIFFERENCE_MS_MIN
}
