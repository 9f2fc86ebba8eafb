import { stat, writeFile } from 'node:fs/promises'
import { setPriority } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { loadConfig } from '../config/config.ts'
import { readEnvironment } from '../config/environment.ts'
import { Ensembles } from '../inference/ensemble/ensembles.ts'
import type { Lane } from '../inference/lane.ts'
import { Lanes } from '../inference/lanes.ts'
import { systemClock } from '../kit/clock.ts'
import { messageOf } from '../kit/errors.ts'
import { compareAnswer, type Difference } from '../ota/golden.ts'
import type { GoldenTolerance } from '../ota/ports.ts'
import type { TensorSpec } from '../runtime/backend.ts'
import { describeRefusal } from '../runtime/describe-refusal.ts'
import { type RunnableSample, readGolden, toElements } from './golden-tensors.ts'
import { waitForStop } from './lifecycle.ts'
import { ModelRepository } from './model-repository.ts'
import { type ProbeReport, unfitReport } from './probe-report.ts'
import { openBackend } from './runtime.ts'

export interface ProbeOptions {
  /** Of the model, with exactly one version in it. */
  readonly folder: string
  readonly golden: GoldenTolerance | undefined
  readonly config: string | undefined
  readonly state: string | undefined
}

/** Runs that only warm up. */
const WARM_RUNS = 3
const RUNS_MAX = 200
const MEASURE_MS_MAX = 3_000
const NICE = 10
/** The kernel ends this process first when memory runs out. */
const OOM_SCORE = '1000'

/**
 * Loads one version and proves it, in the process that it may take along: whoever started this watches it. Gives way to
 * everything else on the machine.
 */
export async function probeHere(options: ProbeOptions): Promise<ProbeReport> {
  await giveWay()
  const environment = readEnvironment()
  // Nobody is there to hear the verdict.
  if (environment.isSupervised) void waitForStop(environment).then(() => process.exit(1))
  const config = await loadConfig(options.config ?? environment.config)
  // What it makes of the version on the way is there when the version is switched to.
  const kept = { state: options.state ?? environment.state, engines: 'guest' } as const
  const backend = await openBackend({ config, ...kept })
  const lanes = new Lanes({ backend, clock: systemClock, runsMax: 1 })
  const folder = resolve(options.folder)
  const repository = new ModelRepository({
    root: dirname(folder),
    lanes,
    ensembles: new Ensembles({ lanes, clock: systemClock }),
    queueItemsMax: 1,
    warmUpMsMax: config.models.warmup_seconds_max * 1000,
  })
  const began = systemClock.elapsed()
  const statuses = await repository.load(basename(folder)).catch((error: unknown) => messageOf(error))
  if (typeof statuses === 'string') return unfitReport('load_failed', statuses)
  const broken = statuses.filter(({ state, reason }) => state !== 'READY' || reason !== '')
  if (broken.length > 0) return unfitReport('load_failed', broken.map(({ reason }) => reason).join('; '))
  const [lane, other] = lanes.ready(basename(folder))
  if (lane === undefined || other !== undefined)
    return unfitReport('load_failed', `"${folder}" holds ${lanes.index().length} versions, expected one`)
  const loadMs = systemClock.elapsed() - began
  const proof = await proveGolden(lane, folder, options)
  // Afterwards: a provider that took it may have failed on the samples.
  const report = { ...describe(lane), load_ms: round(loadMs), ...proof }
  await lanes.close()
  await backend.stop()
  return report
}

async function giveWay(): Promise<void> {
  try {
    setPriority(NICE)
    await writeFile('/proc/self/oom_score_adj', OOM_SCORE)
  } catch {
    // Where the system does not let it, the watcher's limits have to do.
  }
}

function describe(lane: Lane): ProbeReport {
  const { providers, refusals, placement, signature } = lane.session
  const specs = (list: readonly TensorSpec[]) =>
    list.map(({ name, datatype, shape }) => ({
      name,
      datatype,
      shape: shape === undefined ? null : [...shape],
    }))
  return {
    ...unfitReport('load_failed', ''),
    fit: true,
    code: '',
    version: lane.version,
    providers: [...providers],
    refusals: refusals.map(describeRefusal),
    placement: placement?.map((placed) => ({ ...placed, operators: [...placed.operators] })) ?? null,
    signature: { inputs: specs(signature.inputs), outputs: specs(signature.outputs) },
  }
}

type Proof = Pick<ProbeReport, 'fit' | 'code' | 'reason' | 'golden' | 'latency'>

/** Without samples a version that loads is fit: nothing says what it should answer. */
async function proveGolden(lane: Lane, folder: string, { golden }: ProbeOptions): Promise<Proof> {
  const loads = { fit: true, code: '', reason: '', golden: null, latency: null } as const
  if (golden === undefined) return loads
  try {
    await stat(join(folder, golden.path))
    const samples = await readGolden(join(folder, golden.path))
    const { passed, difference } = await answerAll(lane, samples, golden)
    const counted = { samples: samples.length, passed }
    if (difference !== undefined) return { ...loads, fit: false, ...difference, golden: counted }
    return { ...loads, golden: counted, latency: await measure(lane, samples) }
  } catch (error) {
    return { ...loads, fit: false, code: 'golden_failed', reason: messageOf(error) }
  }
}

/** The first difference is the reason, all samples are counted. */
async function answerAll(lane: Lane, samples: readonly RunnableSample[], tolerance: GoldenTolerance) {
  let passed = 0
  let first: Difference | undefined
  for (const [index, sample] of samples.entries()) {
    const difference = await answerOne(lane, sample, tolerance)
    if (difference === undefined) passed += 1
    else first ??= { ...difference, reason: `golden sample ${index}: ${difference.reason}` }
  }
  return { passed, difference: first }
}

async function answerOne(
  lane: Lane,
  { inputs, expected }: RunnableSample,
  tolerance: GoldenTolerance,
): Promise<Difference | undefined> {
  const result = await lane.infer({ inputs, outputs: undefined, signal: undefined })
  try {
    return compareAnswer(expected, result.outputs.map(toElements), tolerance)
  } finally {
    result.release()
  }
}

async function measure(lane: Lane, samples: readonly RunnableSample[]): Promise<ProbeReport['latency']> {
  const times: number[] = []
  const began = systemClock.elapsed()
  for (let run = 0; run < RUNS_MAX + WARM_RUNS; run += 1) {
    const sample = samples[run % samples.length] as RunnableSample
    const started = systemClock.elapsed()
    const result = await lane.infer({ inputs: sample.inputs, outputs: undefined, signal: undefined })
    result.release()
    if (run >= WARM_RUNS) times.push(systemClock.elapsed() - started)
    if (times.length > 0 && systemClock.elapsed() - began > MEASURE_MS_MAX) break
  }
  times.sort((a, b) => a - b)
  const quantile = (share: number) => times[Math.ceil(share * times.length) - 1] ?? 0
  return { runs: times.length, p50_ms: round(quantile(0.5)), p95_ms: round(quantile(0.95)) }
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000
}
