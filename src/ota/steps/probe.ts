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
    const { p95Ms } = verdict
    if (p95Ms === undefined) return OK
    journal.setNote(`probe/${update.manifest}`, { p95Ms })
    return (await tooSlow(parts, job, { request, p95Ms })) ?? OK
  }
}

async function memoryLimit({ host }: Parts, neededBytes: number): Promise<number> {
  if (neededBytes > 0) return neededBytes + MEMORY_BASE_BYTES
  return Math.floor(MEMORY_SHARE * (await host.freeMemoryBytes()))
}

/** Than the version that runs. What was measured of that one may be of a quieter hour, so it is asked again. */
async function tooSlow(
  parts: Parts,
  { update, signal }: Job,
  { request, p95Ms }: { request: ProbeRequest; p95Ms: number },
): Promise<StepResult | undefined> {
  const { journal, store, probe } = parts
  const percentMax = update.policy.probePercentMax
  const good = journal.good(update.model)
  const running = await store.current(update.model)
  if (good?.p95Ms === undefined || running?.manifest !== good.manifest) return undefined
  if (isWithin(p95Ms, good.p95Ms, percentMax)) return undefined
  const before = await readPackage(parts, good)
  const folder = store.folder({ ...good, model: update.model })
  const again = await probe.run({ ...request, folder, golden: before?.golden }, signal)
  const beforeMs = again.isFit && again.p95Ms !== undefined ? again.p95Ms : good.p95Ms
  if (isWithin(p95Ms, beforeMs, percentMax)) return undefined
  return unfit(
    'slower',
    `p95 of the golden samples is ${p95Ms.toFixed(2)} ms, that of version ${good.version} is ` +
      `${beforeMs.toFixed(2)} ms, expected at most ${percentMax} % of it`,
  )
}

function isWithin(p95Ms: number, beforeMs: number, percentMax: number): boolean {
  return p95Ms <= (beforeMs * percentMax) / 100 || p95Ms - beforeMs <= DIFFERENCE_MS_MIN
}
